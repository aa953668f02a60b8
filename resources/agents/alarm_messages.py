"""The messages of an alarm: the event that it is raised, the command that goes with it, the event that it is over."""

from __future__ import annotations

from typing import Any

from resources.agents.alarms import AlarmRule, AlarmsConfig, watched_sensors
from resources.agents.config import AgentsConfig
from resources.agents.event_topics import EventTopics
from resources.agents.wire.message import Formatter, Message, new_id, rfc3339
from resources.core.alarms import AlarmChange, State
from resources.core.clock import SystemClock, from_micros, to_micros
from resources.core.errors import ConfigError, DataError
from resources.core.tags import SensorCatalog

ROLE = "alarm"
"""Role of the key that a collector signs alarms with."""


def event_payload(change: AlarmChange) -> dict[str, Any]:
    """Return what an event says of an alarm; also the argument `alarm` of a command."""
    return {
        "alarm": change.rule,
        "state": change.state,
        "reason": change.sentence,
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
    told_to_agents = formatter.command(
        told.name,
        args,
        targets=list(dict.fromkeys(told.targets)),
        timeout_s=told.timeout.total_seconds(),
        priority=rule.priority,
    )
    return [told_to_agents.model_copy(update={"correlation_id": change.message_id})]


def refuse_unsendable(alarms: AlarmsConfig, agents: AgentsConfig, catalog: SensorCatalog) -> None:
    """Refuse rules whose messages the agents or the platform would refuse.

    Raises:
        ConfigError: A topic is none of the site, its schema does not allow what an alarm says, or the permissions do
            not allow the role alarm to send it.
    """
    formatter, topics = Formatter(alarms.private_key.stem, SystemClock()), EventTopics(agents.topics)
    for name, rule in alarms.rules.items():
        raised = _example(name, rule, catalog, "raised")
        over = _example(name, rule, catalog, "cleared")
        try:
            for message in (
                *messages_of(raised, rule, formatter, new_id()),
                *messages_of(over, rule, formatter, new_id()),
            ):
                agents.permissions.refuse_sending(message, ROLE)
                if message.message_type == "event":
                    topics.refuse_sending(message)
        except DataError as error:
            raise ConfigError(f"alarms.rules.{name}: {error}") from error


def _example(name: str, rule: AlarmRule, catalog: SensorCatalog, state: State) -> AlarmChange:
    sensor = catalog.sensors[watched_sensors(rule, catalog)[0]]
    now_us = to_micros(SystemClock().now())
    return AlarmChange(
        rule=name,
        sensor_id=sensor.sensor_id,
        source=sensor.source,
        unit=sensor.unit,
        state=state,
        raised_us=now_us,
        at_us=now_us,
        began_us=now_us,
        value=rule.threshold,
        threshold=rule.threshold,
        direction=rule.direction,
        priority=rule.priority,
        text=rule.message,
        message_id=new_id(),
        noticed_us=now_us,
    )
