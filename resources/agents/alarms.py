"""Configuration of alarms: rules on live readings, and what the collector sends to the agents when one is broken.

The collector evaluates the rules itself and publishes by itself, with a key of its own whose role is `alarm`: neither
the database nor Dagster is on the way from a reading to an emergency.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from resources.agents.wire.message import AGENT_ID_PATTERN, AgentId, Priority
from resources.core.configuration.settings import Duration, Name, StrictModel
from resources.core.errors import ConfigError
from resources.core.tags import SensorCatalog
from resources.transport.broker import BrokerConfig

LONGEST_TIMEOUT = timedelta(minutes=5)
"""Longest time an alarm's message is valid: a token lives no longer, and an older emergency is history."""

_Timeout = Annotated[Duration, Field(gt=timedelta(0), le=LONGEST_TIMEOUT)]
_WILD = frozenset("*?[")


class AlarmCommand(StrictModel):
    """A command that goes to agents at once with the emergency; theirs must allow the role `alarm`."""

    name: str = Field(min_length=1, max_length=128)
    """The command, as the agents declare it."""
    args: dict[str, Any] = Field(default_factory=dict)
    """Its arguments."""
    targets: tuple[AgentId, ...] = Field(min_length=1)
    """Agents that get it."""
    timeout: _Timeout = timedelta(seconds=60)
    """The command is not begun later than this; at most 5m."""
    with_alarm: bool = False
    """True adds the argument `alarm`: what the emergency event says."""


class AlarmRule(StrictModel):
    """One limit on one or more sensors, each of which has an alarm of its own."""

    sensors: tuple[str, ...] = Field(("*",), min_length=1)
    """Sensor ids, or patterns with `*`, `?` and `[...]`; every tag with numbers if absent."""
    above: float | None = Field(None, allow_inf_nan=False)
    """The alarm is raised by values above, in the tags' `unit`; this or `below`."""
    below: float | None = Field(None, allow_inf_nan=False)
    """The alarm is raised by values below."""
    hysteresis: float = Field(0.0, ge=0, allow_inf_nan=False)
    """The alarm ends only when the value has come back over the limit by this much, in the tags' `unit`."""
    duration: Duration = Field(timedelta(0), ge=timedelta(0))
    """The value must have been beyond the limit for this long without interruption."""
    priority: Priority = "critical"
    """Priority of the event and of the command."""
    message: str = Field("", max_length=500)
    """What people should know when it is raised."""
    topic: str = Field("emergency", pattern=AGENT_ID_PATTERN)
    """Topic of the event that says it is raised."""
    cleared_topic: str | None = Field("system_status", pattern=AGENT_ID_PATTERN)
    """Topic of the event that says it is over; null: only the platform is told."""
    timeout: _Timeout = LONGEST_TIMEOUT
    """An event that could not be sent for this long is not sent any more; at most 5m."""
    command: AlarmCommand | None = None
    """What agents are told to do at once; nothing if absent."""

    @model_validator(mode="after")
    def _has_one_limit(self) -> Self:
        if (self.above is None) == (self.below is None):
            raise ValueError("a rule needs above or below, one of them: make two rules of a band")
        return self

    @property
    def threshold(self) -> float:
        """The limit."""
        limit = self.below if self.above is None else self.above
        assert limit is not None
        return limit

    @property
    def direction(self) -> str:
        """On which side of the limit the alarm is: `above` or `below`."""
        return "below" if self.above is None else "above"


class AlarmsConfig(StrictModel):
    """The alarms of one collector."""

    private_key: Path
    """`<agent_id>.jwk` of the collector, mode 0600, role alarm: `gl agents keys FOLDER --agent ID --role alarm`."""
    broker: BrokerConfig | None = None
    """The broker with a user of the collector's own; that of `agents` if absent."""
    late_limit: Duration = Field(timedelta(seconds=30), gt=timedelta(0))
    """Readings older than this, or as far ahead, are no live readings: they neither raise an alarm nor end one."""
    rules: dict[Name, AlarmRule] = Field(default_factory=dict)
    """Name of the rule -> rule. None ends every alarm that stands."""


def watched_sensors(rule: AlarmRule, catalog: SensorCatalog) -> list[int]:
    """Return the numbers of the sensors a rule is about, ascending.

    Raises:
        ConfigError: An entry fits no sensor, or names a text.
    """
    found: set[int] = set()
    for entry in rule.sensors:
        keys = _fitting(entry, catalog)
        if not keys:
            raise ConfigError(
                f"sensors: {entry} fits no tag with numbers; `gl tags list` shows the sensor ids there are"
            )
        found.update(keys)
    return sorted(found)


def refuse_unwatchable(rules: Mapping[str, AlarmRule], catalog: SensorCatalog) -> None:
    """Refuse rules that watch nothing.

    Raises:
        ConfigError: An entry of a rule fits no sensor; the message names the rule.
    """
    for name, rule in rules.items():
        try:
            watched_sensors(rule, catalog)
        except ConfigError as error:
            raise ConfigError(f"alarms.rules.{name}.{error}") from error


def _fitting(entry: str, catalog: SensorCatalog) -> list[int]:
    if not _WILD & set(entry):
        key = catalog.get(entry)
        return [] if key is None or catalog.sensors[key].is_text else [key]
    return [k for k, s in enumerate(catalog.sensors) if not s.is_text and fnmatchcase(s.sensor_id, entry)]
