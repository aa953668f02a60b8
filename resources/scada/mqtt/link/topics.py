"""Whether a topic filter covers a topic. Source: MQTT 5.0, 4.7."""

from __future__ import annotations


def matches(topic_filter: str, topic: str) -> bool:
    """Return whether `topic` is delivered to a subscription of `topic_filter` (shared subscriptions included)."""
    if topic_filter.startswith("$share/"):
        topic_filter = topic_filter.split("/", 2)[2]
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    for number, level in enumerate(wanted):
        if level == "#":
            return True
        if number >= len(levels) or level not in ("+", levels[number]):
            return False
    return len(wanted) == len(levels)
