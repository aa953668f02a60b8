"""What is judged of a standard table: which parts, and what fills it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gl_assets.erp.bodies import SNAPSHOT
from gl_assets.erp.feeds import Feed, standard_key
from gl_assets.erp.judging.model import Verdict, Verdicts
from gl_assets.erp.tables import FactTable, MasterTable
from resources.databases.timescale.quality.gate_results import red_gates
from resources.erp.auditing.audit import Connection, Days
from resources.erp.standardised.incoming import StandardTable

MOST_SHOWN = 5
"""Examples that a result shows."""


@dataclass(frozen=True)
class Scope:
    """What is judged: parts of a standard table, and what fills it."""

    connection: Connection
    table: MasterTable
    feeds: Sequence[Feed]
    days: Days
    """None for master data."""
    warn_rejected_share: float = 0.01
    site: str = ""

    @property
    def stored(self) -> StandardTable:
        """The table in the database."""
        return stored_as(self.table)

    @property
    def asset(self) -> str:
        """The asset's key as a path."""
        return standard_key(self.table.name).to_user_string()

    @property
    def parts(self) -> list[date | None]:
        """The parts, in order."""
        return [None] if self.days is None else list(self.days)

    @property
    def named_feeds(self) -> list[tuple[str, str]]:
        """(system, dataset) of all that fills the table."""
        return [(feed.system, feed.dataset) for feed in self.feeds]

    def held(self) -> dict[str, set[date | None]]:
        """Return feed -> its parts that a red gate on the landed records holds back: their rows are those of before."""
        parts = {name_of(part): part for part in self.parts}
        return {
            str(feed): {
                parts[gate.partition] for gate in red_gates(self.connection, feed.key.to_user_string(), list(parts))
            }
            for feed in self.feeds
        }

    def all_passed_but(
        self,
        wrong: Mapping[date | None, dict[str, Any]],
        fine: dict[str, Any],
        measured: Mapping[date | None, float] | None = None,
    ) -> Verdicts:
        """Return a verdict per part: failed with the figures of `wrong`, passed with `fine`.

        `measured` is how many fail of each part, where that is counted: 0 of the others.
        """
        return {
            part: Verdict(part not in wrong, wrong.get(part, fine), None if measured is None else measured.get(part, 0))
            for part in self.parts
        }


def stored_as(table: MasterTable) -> StandardTable:
    """Return a standard table as the database has it."""
    return StandardTable(table.name, table.columns, table.business_date if isinstance(table, FactTable) else None)


def name_of(part: date | None) -> str:
    """Return the partition key of a part."""
    return part.isoformat() if part else SNAPSHOT


def part_named(name: str) -> date | None:
    """Return the part of a partition key."""
    return None if name == SNAPSHOT else date.fromisoformat(name)
