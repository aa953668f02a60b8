"""The trigger of agent health: records who went away, came back or is unwell, and asks for a snapshot of the registry.

The cursor remembers how each agent was. A snapshot is asked for once nothing has changed for a tick, so that a fleet
that comes up is one run and not a hundred; or after SETTLED_AFTER, if something always changes.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import structlog

from gl_assets.agents.jobs import agent_registry_job
from resources.agents.members.agent_list import ListedAgent, list_agents
from resources.core.errors import PlatformError
from resources.databases.timescale.notes.events import record_event
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

SETTLED_AFTER = timedelta(minutes=5)
"""A snapshot is asked for this long after the first change, even if changes go on."""

_EVENTS = {
    "online": ("agent_online", "info"),
    "degraded": ("agent_degraded", "warning"),
    "offline": ("agent_offline", "error"),
}
"""Status -> type and severity of the event in scada.events."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the cursor remembers."""

    statuses: Mapping[str, str] | None = None
    """Agent id -> status; None: nobody has looked yet."""
    changed_at: float | None = None
    """When the first change was seen that no snapshot shows, seconds since the epoch; None: there is none."""
    snapshots: int = 0
    """How many were asked for: part of their run keys."""

    @classmethod
    def load(cls, cursor: str | None) -> "Remembered":
        """Return what a cursor holds; an unreadable one counts as none."""
        try:
            return cls(**json.loads(cursor or "{}"))
        except (ValueError, TypeError):
            return cls()

    def dump(self) -> str:
        """Return the cursor."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class Change:
    """An agent that is not as it was."""

    agent: ListedAgent
    before: str | None
    """Its status before; None: it is new."""

    @property
    def message(self) -> str:
        """The change in a sentence."""
        name = self.agent.agent_id + (f" ({self.agent.agent_name})" if self.agent.agent_name else "")
        was = "is new and" if self.before is None else f"was {self.before} and"
        why = f": {self.agent.status_reason}" if self.agent.status_reason else ""
        return f"agent {name} {was} is {self.agent.status}{why}"

    def time(self, now: datetime) -> datetime:
        """Return when it changed: an agent that went away did so after it was last heard."""
        return self.agent.last_heartbeat or now if self.agent.status == "offline" else now


@dataclass(frozen=True, slots=True)
class Look:
    """What one tick has found."""

    memory: Remembered
    changes: Sequence[Change] = field(default=())
    snapshot: bool = False
    """Whether a snapshot is due."""


def look(agents: Sequence[ListedAgent], memory: Remembered, now: datetime) -> Look:
    """Return what has changed since the last tick, and whether a snapshot is due; the first tick changes nothing."""
    statuses = {agent.agent_id: agent.status for agent in agents}
    if memory.statuses is None:
        return Look(replace(memory, statuses=statuses))
    before = memory.statuses
    changes = [Change(agent, before.get(agent.agent_id)) for agent in agents if _changed(agent, before)]
    changed_at = memory.changed_at
    if changed_at is None and (changes or set(before) - set(statuses)):
        changed_at = now.timestamp()
    settled = not changes or (changed_at is not None and now.timestamp() - changed_at >= SETTLED_AFTER.total_seconds())
    if changed_at is None or not settled:
        return Look(replace(memory, statuses=statuses, changed_at=changed_at), changes)
    return Look(Remembered(statuses, None, memory.snapshots + 1), changes, snapshot=True)


def build_agent_health_sensor(config: Integrations) -> dg.SensorDefinition:
    """Return the sensor of this site's agents."""

    @dg.sensor(
        name="agent_health_sensor",
        job=agent_registry_job,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Records in scada.events which agents went away, came back or are unwell, and asks for a snapshot "
        "of the registry once that has settled.",
    )
    def agent_health_sensor(
        context: dg.SensorEvaluationContext, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return a run for a snapshot if one is due, or how the agents are."""
        now, memory = datetime.now(UTC), Remembered.load(context.cursor)
        try:
            with timescale.connection() as connection:
                # while no orchestrator listened, e.g. over an upgrade, silence is no news of the agents
                found = look(list_agents(connection, as_noted=True), memory, now)
                for change in found.changes:
                    record(connection, config.site, change, now)
        except (PlatformError, psycopg.Error) as error:
            structlog.get_logger(__name__).warning("agent_health_waits", error=str(error).strip())
            return dg.SkipReason(f"waiting: {str(error).strip()}")
        cursor = found.memory.dump()
        if found.snapshot:
            key = f"agents/{found.memory.snapshots}/{now:%Y%m%dT%H%M%S}"
            return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key)], cursor=cursor)
        return dg.SensorResult(skip_reason=_told(found), cursor=cursor)

    return agent_health_sensor


def record(connection: psycopg.Connection, site: str, change: Change, now: datetime) -> None:
    """Add a change to scada.events and to the log; the caller commits."""
    agent = change.agent
    event_type, severity = _EVENTS[agent.status]
    say = structlog.get_logger(__name__)
    (say.info if severity == "info" else say.warning)(event_type, agent_id=agent.agent_id, before=change.before)
    record_event(
        connection,
        site,
        event_type=event_type,
        source=agent.agent_id,
        message=change.message,
        details={
            "before": change.before,
            "status": agent.status,
            "reason": agent.status_reason,
            "last_heartbeat": None if agent.last_heartbeat is None else agent.last_heartbeat.isoformat(),
            "performance_score": agent.performance_score,
        },
        time=change.time(now),
        severity=severity,
    )


def _changed(agent: ListedAgent, before: Mapping[str, str]) -> bool:
    known = before.get(agent.agent_id)
    # who is declared and was never heard of is no news
    return agent.status != known and not (known is None and agent.status == "offline")


def _told(found: Look) -> str:
    statuses = list((found.memory.statuses or {}).values())
    counts = ", ".join(f"{statuses.count(name)} {name}" for name in _EVENTS)
    changes = f"; {len(found.changes)} changed, a snapshot follows once that has settled" if found.changes else ""
    return f"{len(statuses)} agents: {counts}{changes}"
