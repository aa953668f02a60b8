"""Rules of alarms as configured: what is refused, with what message, before anything runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from resources.agents.alarm_messages import messages_of
from resources.agents.alarms import AlarmRule, AlarmsConfig, watched_sensors
from resources.agents.wire.message import Formatter
from resources.core.alarms import AlarmChange
from resources.core.clock import ManualClock
from resources.core.tags import Sensor, SensorCatalog
from resources.integrations import Integrations
from tests.alarms_support import RAISED
from tests.unit.sensors.collector.bench import NOON

CATALOG = SensorCatalog(
    [Sensor("b1.p", "bar", "plc"), Sensor("b2.p", "bar", "plc"), Sensor("b1.mode", "1", "plc", is_text=True)]
)
BROKER = {"host": "broker.example"}


def integrations(rule: dict[str, Any], alarms: dict[str, Any] | None = None, **more: Any) -> Integrations:
    tags = [
        {"sensor_id": "b1.p", "unit": "bar", "topic": "p"},
        {"sensor_id": "b1.mode", "data": "text", "topic": "mode"},
    ]
    agents = {"broker": BROKER, "private_key": "GL-001.jwk", "public_keys": "keys.jwks", **more.pop("agents", {})}
    return Integrations.model_validate(
        {
            "site": "plant",
            "start": "2026-11-01T00:00:00Z",
            "sources": {
                "plc": {"kind": "mqtt", "broker": BROKER, "client_id": "c", "topic_filters": ["#"], "tags": tags}
            },
            "agents": agents,
            "alarms": {"private_key": "alarm-1.jwk", "rules": {"high": rule}, **(alarms or {})},
            **more,
        }
    )


@pytest.mark.parametrize(
    ("sensors", "keys"),
    [(["*"], [0, 1]), (["b1.*"], [0]), (["b?.p", "b1.p"], [0, 1]), (["b[2-9].p"], [1]), (["b2.p"], [1])],
    ids=["all", "texts are none", "twice", "set", "by id"],
)
def test_watched_sensors_when_patterns_fit_then_their_numbers(sensors: list[str], keys: list[int]) -> None:
    assert watched_sensors(AlarmRule.model_validate({"sensors": sensors, "above": 1}), CATALOG) == keys


@pytest.mark.parametrize(
    "given",
    [{}, {"above": 1, "below": 2}, {"above": 1, "sensors": []}, {"above": 1, "hysteresis": -1}, {"above": "inf"}],
    ids=["no limit", "two limits", "no sensor", "negative hysteresis", "infinite"],
)
def test_rule_when_it_makes_no_sense_then_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AlarmRule.model_validate(given)


@pytest.mark.parametrize("timeout", ["0s", "301s"])
def test_rule_when_its_message_would_be_valid_for_never_or_too_long_then_refused(timeout: str) -> None:
    with pytest.raises(ValidationError):
        AlarmRule.model_validate({"above": 1, "timeout": timeout})


@pytest.mark.parametrize(
    ("rule", "agents", "says"),
    [
        ({"sensors": ["b9.p"], "above": 1}, {}, r"alarms.rules.high.sensors: b9.p fits no tag with numbers"),
        ({"sensors": ["b1.mode"], "above": 1}, {}, "b1.mode fits no tag with numbers"),
        ({"sensors": ["z*"], "above": 1}, {}, r"z\* fits no tag with numbers"),
        ({"above": 1, "topic": "boilers"}, {}, "alarms.rules.high: event .*: no topic boilers"),
        (
            {"above": 1},
            {"topics": {"emergency": {"payload_schema": {"required": ["building"]}}}},
            "does not fit topic emergency",
        ),
        (
            {"above": 1},
            {"permissions": {"events": {"emergency": {"roles": ["orchestrator"]}}}},
            "alarm-1 with role alarm may not send it",
        ),
        (
            {"above": 1, "command": {"name": "stop", "targets": ["GL-002"]}},
            {"permissions": {"commands": {"stop": {"roles": ["orchestrator"]}}}},
            "command stop: alarm-1 with role alarm may not send it",
        ),
    ],
    ids=["unknown sensor", "text", "pattern of nothing", "topic", "schema", "may not publish", "may not command"],
)
def test_configuration_when_a_rule_cannot_work_then_refused_by_name(
    rule: dict[str, Any], agents: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        integrations(rule, agents=agents)


def test_configuration_when_there_are_alarms_and_no_agents_then_refused() -> None:
    with pytest.raises(ValidationError, match="needs the block agents"):
        Integrations.model_validate(
            {
                "site": "plant",
                "start": "2026-11-01T00:00:00Z",
                "alarms": {"private_key": "alarm-1.jwk"},
            }
        )


def test_configuration_when_the_alarms_broker_is_not_an_allowed_host_then_refused() -> None:
    with pytest.raises(ValidationError, match=r"alarms.broker.host: host other.example is not in allowed_hosts"):
        integrations({"above": 1}, {"broker": {"host": "other.example"}}, allowed_hosts=["broker.example"])


def test_configuration_when_it_is_right_then_defaults_as_documented() -> None:
    alarms = integrations({"above": 1}).alarms
    assert alarms == AlarmsConfig(private_key=Path("alarm-1.jwk"), rules={"high": AlarmRule(above=1.0)})
    rule = alarms.rules["high"]
    assert (rule.topic, rule.cleared_topic, rule.priority, rule.direction) == (
        "emergency",
        "system_status",
        "critical",
        "above",
    )
    assert AlarmRule(below=-2.0).threshold == -2.0


def test_messages_when_an_alarm_is_raised_then_event_and_command_belong_together() -> None:
    rule = AlarmRule.model_validate(
        {
            "above": 10,
            "priority": "high",
            "command": {"name": "stop", "args": {"slowly": False}, "targets": ["GL-002", "GL-002"], "with_alarm": True},
        }
    )
    change = replace(RAISED, priority="high")
    assert AlarmChange.from_json(change.to_json()) == change
    event, command = messages_of(change, rule, Formatter("alarm-1", ManualClock(NOON)), change.message_id)
    assert (event.message_id, event.topic, event.priority) == (change.message_id, "emergency", "high")
    assert event.payload["reason"] == "high raised: b1.p is 12 bar, limit 10 bar"
    assert command.correlation_id == event.message_id
    assert command.target_agents == ["GL-002"]
    assert command.payload == {"name": "stop", "args": {"slowly": False, "alarm": event.payload}}
    assert (event.timeout_seconds, command.timeout_seconds) == (300, 60)
