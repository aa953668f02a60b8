"""What a gate is: a sentence about a subject, true when it passes, with an effect and a limit that can be configured.

The gates of windows are in `gates`, those of all other tables in `table_gates`; both are made of what is here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import dagster as dg

from resources.core.configuration.gates import LIMITS, Effect, GateSetting, Kind, setting_of

Subject = TypeVar("Subject")

MOST_SHOWN = 5
"""Most failing rows, sensors or gaps that a result shows."""

Settings = Mapping[str, Mapping[str, GateSetting]]
"""What the configuration says of gates: table -> gate -> setting."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a gate says: passed or not, and the figures that led to it."""

    passed: bool
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """Rows that fail: how many, the first of them, and figures beside."""

    failing: int
    first: Sequence[Mapping[str, Any]] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gate(Generic[Subject]):
    """One gate: what it asks, what a failure does, and the function that judges a subject by a limit."""

    name: str
    description: str
    judge: Callable[[Subject, float], Verdict]
    kind: Kind
    limit: float = 0.0
    """As the configuration writes it; of freshness in seconds."""
    effect: Effect = "warn"

    @property
    def blocking(self) -> bool:
        """Whether a failure holds back what is made from the partition."""
        return self.effect == "block"

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        """A gate that blocks is an error, one that does not warns."""
        return dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN

    def configured(self, table: str, settings: Settings) -> "Gate[Subject]":
        """Return the gate with what the configuration says of it for this table."""
        said = setting_of(settings, table, self.kind, self.name)
        limit = getattr(said, LIMITS[self.kind])
        if limit is not None:
            limit = limit.total_seconds() if self.kind == "freshness" else float(limit)
        return replace(self, effect=said.effect or self.effect, limit=self.limit if limit is None else limit)


def in_force(gates: Sequence[Gate[Subject]], table: str, settings: Settings) -> list[Gate[Subject]]:
    """Return the gates as configured for a table, without those that are off."""
    found = [gate.configured(table, settings) for gate in gates]
    return [gate for gate in found if gate.effect != "off"]


def specs(gates: Sequence[Gate[Any]], asset: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Return gates as Dagster check specs, without partitions: results of partitions name theirs one by one."""
    return [
        dg.AssetCheckSpec(gate.name, asset=asset, description=gate.description, blocking=gate.blocking)
        for gate in gates
    ]


def at_most(found: Finding, limit: float) -> Verdict:
    """Return a verdict that passes where at most so many rows fail."""
    figures = {**found.figures, "failing": found.failing, "measured": found.failing, "limit": limit}
    if found.failing:
        figures["first"] = [dict(row) for row in found.first[:MOST_SHOWN]]
    return Verdict(found.failing <= limit, figures)


def at_least(measured: float | None, limit: float, **figures: Any) -> Verdict:
    """Return a verdict that passes where a figure reaches its limit, or where there is none to judge."""
    if measured is None:
        return Verdict(True, {**figures, "limit": limit, "note": "nothing to judge"})
    return Verdict(measured >= limit, {**figures, "measured": round(measured, 6), "limit": limit})
