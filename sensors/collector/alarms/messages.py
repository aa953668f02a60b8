"""The messages of an alarm: the event that it is raised, the command that goes with it, the event that it is over."""

from __future__ import annotations

from typing import Any

from resources.agents.alarms import AlarmRule
from resources.agents.message import Formatter, Message, rfc3339
from resources.core.alarms import AlarmChange
from resources.core.clock import from_micros


def event_payload(change: AlarmChange) -> dict[str, Any]:
    """Return what an event says of an alarm; also the argument `alarm` of a command."""
    return {
        "alarm": change.rule,
        "state": change.state,
        "sensor_id": change.sensor_id,
        "source": change.source,
        "value": change.value,
        "unit": change.unit,
        "threshold": change.threshold,
        "direction": change.direction,
        "raised_at": rfc3339(from_micros(change.raised_us)),
        "at": rfc3339(from_micros(change.at_us)),
        "message": change.text,
    }


def messages_of(change: AlarmChange, rule: AlarmRule, formatter: Formatter, raised_id: str) -> list[Message]:
    """Return what is to be sent; `raised_id` is the message_id of the event that said it was raised."""
    if change.state == "cleared":
        if rule.cleared_topic is None:
            return []
        over = formatter.event(
            rule.cleared_topic,
            event_payload(change),
            timeout_s=rule.timeout.total_seconds(),
            correlation_id=raised_id,
            message_id=change.message_id,
        )
        return [over]
    event = formatter.event(
        rule.topic,
        event_payload(change),
        timeout_s=rule.timeout.total_seconds(),
        priority=rule.priority,
        message_id=change.message_id,
    )
    return [event, *_command(change, rule, formatter)]


def _command(change: AlarmChange, rule: AlarmRule, formatter: Formatter) -> list[Message]:
    told = rule.command
    if told is None:
        return []
    args = {**told.args, "alarm": event_payload(change)} if told.with_alarm else told.args
    command = formatter.command(
        told.name,
        args,
        targets=list(dict.fromkeys(told.targets)),
        timeout_s=told.timeout.total_seconds(),
        priority=rule.priority,
    )
    return [command.model_copy(update={"correlation_id": change.message_id})]
