"""`gl bench agents`: signed commands to 99 agents over a bare paho round trip; load, search and a thousand agents.

Everything runs through one Mosquitto and one scratch database in the same run, the agents in a process of their own,
the rate limit off. Which figure is held to which limit stands in `TARGETS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Literal

import structlog

from benchmarks.agents import capability as agents_capability
from benchmarks.agents.fanout import measure_fanout, measure_message
from benchmarks.agents.load import measure_thousand, measure_throughput
from benchmarks.agents.plant import Servers, fleet, servers
from benchmarks.scratch_database import machine
from resources.core.errors import ConfigError

PARTS = ("fanout", "message", "throughput", "capability", "thousand")
AGENTS = 99
MANY = 1000
SEARCHES = 5000
_WITH_FLEET = ("fanout", "message", "throughput")

TARGETS: dict[str, tuple[Literal["least", "most"], float]] = {
    "fanout_vs_bare": ("most", 2.5),
    "messages_per_s": ("least", 1000.0),
    "capability_query_ms": ("most", 5.0),
    "capability_stale_s": ("most", 1.0),
    "thousand_complete": ("least", 1.0),
}
"""Figure -> what it has to be at least or at most."""

GOALS: dict[str, tuple[Literal["least", "most"], float]] = {
    "fanout_p99_ms": ("most", 80.0),
    "message_p99_ms": ("most", 10.0),
    "messages_per_s": ("least", 3000.0),
}
"""Figure -> what is aimed at on a machine with nothing else to do; a miss is told and does not fail."""


def run(progress: Callable[[str], None], *, broadcasts: int = 200, parts: Iterable[str] = PARTS) -> dict[str, Any]:
    """Return the figures of `parts`, their targets, and which of them were missed.

    Raises:
        ConfigError: There is no such part.
    """
    parts = tuple(parts)
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"gl bench agents has no part {part}: there are {', '.join(PARTS)}")
    figures: dict[str, Any] = {"machine": machine()}
    with ExitStack() as stack:
        quiet = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        stack.callback(structlog.configure, **quiet)
        place = stack.enter_context(servers(progress))
        figures |= _with_agents(place, tuple(part for part in _WITH_FLEET if part in parts), broadcasts, progress)
        if "thousand" in parts:
            with fleet(place, MANY, progress) as many:
                figures |= measure_thousand(many, progress)
        if "capability" in parts:
            figures |= agents_capability.measure(place.database_url, SEARCHES, progress)
    targets = {name: f"at {bound} {limit:g}" for name, (bound, limit) in TARGETS.items() if name in figures}
    goals = {name: f"at {bound} {limit:g}" for name, (bound, limit) in GOALS.items() if name in figures}
    return figures | {
        "targets": targets,
        "goals": goals,
        "goals_missed": missed(figures, GOALS),
        "missed": missed(figures),
    }


def missed(
    figures: dict[str, Any], limits: dict[str, tuple[Literal["least", "most"], float]] | None = None
) -> list[str]:
    """Return the names of the figures that miss their target, or another limit."""
    return [
        name
        for name, (bound, limit) in (TARGETS if limits is None else limits).items()
        if name in figures and (figures[name] < limit if bound == "least" else figures[name] > limit)
    ]


def _with_agents(
    place: Servers, parts: tuple[str, ...], broadcasts: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    """Measure what one fleet of agents serves."""
    figures: dict[str, Any] = {}
    if not parts:
        return figures
    with fleet(place, AGENTS, progress) as agents:
        if "fanout" in parts:
            figures |= measure_fanout(place, agents, broadcasts, progress)
        if "message" in parts:
            figures |= measure_message(agents, 2 * broadcasts, progress)
        if "throughput" in parts:
            figures |= measure_throughput(agents, broadcasts, progress)
    return figures
