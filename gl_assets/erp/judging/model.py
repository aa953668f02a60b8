"""What a check of ERP data is: a sentence about the parts of a table, with an effect and limit to be configured.

A part is a business day, or the snapshot of master data. Other tables are judged one partition at a time
(`gl_assets.checks.model`); here a run may have two years of days, so that a check judges all of them in one statement.
No Dagster.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from resources.core.configuration.gates import LIMITS, Effect, GateSetting, Kind, setting_of

REVISION = 1
"""Business days have no revisions: a day that is brought in again is replaced as a whole."""

Settings = Mapping[str, Mapping[str, GateSetting]]
"""What the configuration says of gates: table -> gate -> setting."""
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of one part."""

    passed: bool
    figures: dict[str, Any]
    measured: float | None = field(default=None, compare=False)
    """The figure that is held against the limit, and drawn over time; None: there is none, or nothing to judge."""


Verdicts = dict[date | None, Verdict]
"""Part -> what a check says of it; None is the snapshot of master data."""


@dataclass(frozen=True, slots=True)
class Check:
    """One check: its sentence, what a failure does, and the function that judges."""

    name: str
    description: str
    judge: Callable[..., Any]
    effect: Effect = "warn"
    kind: Kind | None = None
    """What it asks, where its limit can be configured by that; the others are configured by their names, and have
    limits of their own."""
    limit: float | None = None
    """As the configuration writes it: `most` of what is counted, `least` of a share or a score; None: its own."""
    examples: Callable[[Any, date | None], Rows] | None = field(default=None, compare=False)
    """Returns the first rows of a part that fail, for a red result."""

    @property
    def blocking(self) -> bool:
        """Whether a failure stops what follows in the run."""
        return self.effect == "block"

    def configured(self, table: str, settings: Settings) -> "Check":
        """Return the check with what the configuration says of it for a table."""
        said = setting_of(settings, table, self.kind or self.name, self.name)
        limit = getattr(said, LIMITS[self.kind]) if self.kind is not None and self.kind != "freshness" else None
        return replace(self, effect=said.effect or self.effect, limit=self.limit if limit is None else float(limit))

    def held(self, verdict: Verdict) -> Verdict:
        """Return a verdict as the limit in force decides."""
        if self.limit is None or verdict.measured is None or self.kind is None:
            return verdict
        enough = verdict.measured >= self.limit if LIMITS[self.kind] == "least" else verdict.measured <= self.limit
        return replace(verdict, passed=enough)


def in_force(checks: Sequence[Check], table: str, settings: Settings) -> list[Check]:
    """Return checks as configured for a table, without those that are off."""
    found = [check.configured(table, settings) for check in checks]
    return [check for check in found if check.effect != "off"]
