from __future__ import annotations

from resources.demo_plant.counts import SourceCounts


def test_counts_when_values_were_added_then_tell_how_many_fall_into_a_span() -> None:
    counts = SourceCounts("opc_ua")
    for time_us in (10, 20, 20, 30):
        counts.add(time_us)
    counts.add(40, 3)
    assert counts.sent == 7
    assert counts.sent_between(20, 40) == 3
    assert counts.sent_between(41, 50) == 0


def test_counts_when_shown_then_hold_what_is_particular_to_the_protocol() -> None:
    counts = SourceCounts("mqtt")
    counts.extra["unheard"] += 2
    counts.misbehaved["nan"] += 1
    assert counts.as_json(pending=4) == {
        "kind": "mqtt",
        "sent": 0,
        "pending": 4,
        "misbehaved": {"nan": 1},
        "unheard": 2,
    }
