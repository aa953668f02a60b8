"""Is everything as it should be: one finding per source, the buffer, the clock, each ERP system and the agent registry.

What is asked is a list of contributors, each a function that returns findings; a part of the platform that has
something to say adds one. Red makes `/healthz` answer 503; a warning is shown and leaves it at 200.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from resources.core.clock import Clock
from resources.transport.http.call_stats import read_stats
from resources.transport.turns.circuit_breaker import Circuit
from resources.window_buffer.buffer import WindowBuffer
from sensors.collector.state import SourceState

Level = Literal["green", "warning", "red"]

ERP_SILENT_LIMIT = timedelta(hours=49)
"""A system pulled daily that has given nothing for two days is stale."""

REGISTRY_LIMIT = timedelta(minutes=5)
"""Agents send a heartbeat every 30 s: a registry whose newest is older than this is not kept up to date."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found; `detail` says to a person what is wrong and what to do."""

    name: str
    level: Level
    detail: str
    facts: Mapping[str, object] = field(default_factory=dict, compare=False)
    """The same for programs, where there is more to say."""


Contributor = Callable[[], Iterable[Finding]]
"""Looks at one part of the platform; returns at once."""


def report(contributors: Iterable[Contributor], now: datetime) -> tuple[bool, dict[str, Any]]:
    """Return whether nothing is red, and the whole as it is shown."""
    findings = [finding for look in contributors for finding in look()]
    red = any(finding.level == "red" for finding in findings)
    warned = any(finding.level == "warning" for finding in findings)
    level = "red" if red else "warning" if warned else "green"
    return not red, {"status": level, "time": now.isoformat(), "findings": [asdict(finding) for finding in findings]}


def source_findings(
    states: Mapping[str, SourceState], clock: Clock, *, disconnected_limit: timedelta, silent_limit: timedelta
) -> Iterable[Finding]:
    """Yield one finding per source: red when it is away, or connected but silent, for longer than its limit."""
    mark = clock.monotonic()
    for state in states.values():
        name = f"source.{state.name}"
        if not state.connected:
            away_s = mark - (state.down_since if state.down_since is not None else state.started)
            level: Level = "red" if away_s > disconnected_limit.total_seconds() else "warning"
            why = f"not connected for {away_s:.0f} s: {state.last_error or 'connecting'}"
            yield Finding(name, level, why + _next_attempt(state, mark), connection_facts(state, mark))
            continue
        heard = max(mark_ for mark_ in (state.last_received, state.connected_since, state.started) if mark_ is not None)
        silent_s = mark - heard
        if silent_s > silent_limit.total_seconds():
            silent = f"connected, but silent for {silent_s:.0f} s: check that the device sends values"
            yield Finding(name, "red", silent, connection_facts(state, mark))
        elif state.failed_items:
            first, why = next(iter(state.failed_items.items()))
            failed = f"{len(state.failed_items)} tags cannot be read, the first: {first}: {why}"
            yield Finding(name, "warning", failed, connection_facts(state, mark))
        else:
            yield Finding(name, "green", f"connected, {state.rows} rows", connection_facts(state, mark))


def connection_facts(state: SourceState, mark: float) -> dict[str, object]:
    """Return how a source's connection fares, for programs; what is not known is left out."""
    facts: dict[str, object] = {
        "endpoint": state.endpoint,
        "circuit": state.circuit.value,
        "failures_in_row": state.failures_in_row,
        "next_attempt_s": None if state.next_attempt is None else round(max(0.0, state.next_attempt - mark), 1),
        "service_level": state.service_level,
        "health_ms": None if state.health_s is None else round(state.health_s * 1000, 1),
        "health_at": None if state.health_at is None else state.health_at.isoformat(),
    }
    return {name: value for name, value in facts.items() if value is not None}


def _next_attempt(state: SourceState, mark: float) -> str:
    if state.next_attempt is None:
        return ""
    due = f"next attempt in {max(0.0, state.next_attempt - mark):.0f} s"
    if state.circuit is not Circuit.OPEN:
        return f"; {due}"
    return f"; circuit open after {state.failures_in_row} failures, {due} or when it shows a sign of life"


def buffer_findings(buffer: WindowBuffer) -> Iterable[Finding]:
    """Yield what the buffer says of itself and of the clocks."""
    state = buffer.state()
    if state.full:
        yield Finding(
            "buffer",
            "red",
            f"full: {state.bytes} of {state.max_bytes} bytes; nothing more is acknowledged until windows are stored, "
            "or disk is freed: check the database and Dagster, free disk space, or raise buffer.max_bytes",
        )
    elif state.damaged_bytes:
        yield Finding("buffer", "red", f"{state.damaged_bytes} bytes can no longer be read: check the disk")
    else:
        yield Finding("buffer", "green", f"{state.held_windows} windows, {state.bytes} of {state.max_bytes} bytes")
    if state.clock_alarms:
        names = ", ".join(alarm.source for alarm in state.clock_alarms)
        yield Finding(
            "clock",
            "red",
            f"clock skew: most readings of {names} lie in the future; set the clock of the device or of this machine "
            "within the hour for which they are held",
        )
    else:
        yield Finding("clock", "green", f"{state.clock_steps} steps, the last {state.last_clock_step_s:+.1f} s")


def erp_findings(home: Path, systems: Iterable[str], clock: Clock) -> Iterable[Finding]:
    """Yield one finding per ERP system, from what its last runs left under GL_HOME."""
    held = read_stats(home)
    for system in systems:
        name, figures = f"erp.{system}", held.get(system)
        if figures is None:
            yield Finding(name, "green", "not asked yet")
            continue
        ok_at, error_at = _instant(figures.get("last_ok_at")), _instant(figures.get("last_error_at"))
        error = figures.get("last_error")
        if error_at is not None and (ok_at is None or error_at > ok_at):
            what = "token or credentials refused" if error == "AuthError" else f"last call failed ({error})"
            yield Finding(name, "red", f"{what} at {error_at.isoformat()}; last answer {_said(ok_at)}")
        elif ok_at is not None and clock.now() - ok_at > ERP_SILENT_LIMIT:
            yield Finding(name, "red", f"stale: last answer {_said(ok_at)}; check the schedule of its assets")
        else:
            yield Finding(name, "green", f"last answer {_said(ok_at)}")


def registry_finding(newest_heartbeat: datetime | None, asked_at: datetime | None, clock: Clock) -> Finding:
    """Return whether the agent registry is kept up to date, as the database said when it was last asked."""
    if asked_at is None or clock.now() - asked_at > REGISTRY_LIMIT:
        return Finding("agents.registry", "warning", "not known: the database has not answered lately")
    if newest_heartbeat is None:
        return Finding("agents.registry", "warning", "no agent has ever sent a heartbeat")
    age = clock.now() - newest_heartbeat
    if age > REGISTRY_LIMIT:
        return Finding(
            "agents.registry",
            "red",
            f"stale: the newest heartbeat is {age.total_seconds():.0f} s old; check the agents' broker",
        )
    return Finding("agents.registry", "green", f"newest heartbeat {age.total_seconds():.0f} s ago")


def _instant(text: object) -> datetime | None:
    return datetime.fromisoformat(text) if isinstance(text, str) else None


def _said(instant: datetime | None) -> str:
    return instant.isoformat() if instant else "never"
