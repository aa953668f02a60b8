"""Pages of Finance & Operations as records: lines out of their orders, journals not asked for left out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from resources.core.errors import DataError
from resources.erp.declared import DatasetConfig
from resources.erp.dynamics.config import DynamicsOptions, filter_property
from resources.erp.pulling.members import Member, explode

JOURNAL = "LedgerJournalHeader"
"""Navigation property from a journal's line to its header."""


_CUT = b'@odata.nextLink"'
"""Within an entity: a child list of which the rest is on another page."""


class RecordReader:
    """Turns the entities of a page into the records of a dataset."""

    def __init__(self, declared: DatasetConfig, options: DynamicsOptions) -> None:
        """Build the readers that the dataset needs; most need none."""
        self._explode = declared.explode
        self._names = frozenset(name.lower() for name in options.journal_names)
        self._posted_only = options.posted_only
        self._journal = Member(f"{JOURNAL}.JournalName") if options.by_journal else None
        self._posted = Member(f"{JOURNAL}.IsPosted")

    @property
    def alters(self) -> bool:
        """Whether there may be more or fewer records than entities."""
        return self._explode is not None or self._journal is not None

    def records(self, entities: Sequence[bytes]) -> list[bytes]:
        """Return the records that entities hold, in their order.

        Raises:
            DataError: An entity is not what the dataset says, or came without all that is expanded of it.
        """
        if any(_CUT in entity for entity in entities):
            raise DataError(
                "an entity of which not all that is expanded came with it; ask for smaller pages (http.page_size), or "
                "read the children's own set as a dataset"
            )
        kept = list(entities) if self._journal is None else [entity for entity in entities if self._counts(entity)]
        if self._explode is None:
            return kept
        return [record for entity in kept for record in explode(entity, self._explode)]

    def _counts(self, line: bytes) -> bool:
        """Return whether the journal of a line is one that is asked for."""
        assert self._journal is not None
        name = self._journal.of(line)
        if name is None:
            raise DataError(f"a line without {JOURNAL}.JournalName, by which lines are chosen: is it in expand?")
        chosen = not self._names or name.lower() in self._names
        return chosen and (not self._posted_only or self._posted.of(line) == "Yes")


class DayReader:
    """Tells whether the entities of a page belong to the day that was asked for."""

    def __init__(self, declared: DatasetConfig, start: datetime, end: datetime) -> None:
        """Judge by the business date of a dataset, which has one, against `[start, end)`."""
        assert declared.business_date is not None
        self._date = Member(filter_property(declared, declared.business_date))
        self._start, self._end = start, end

    def stranger(self, entities: Sequence[bytes]) -> str | None:
        """Return the date of an entity of another day, None if there is none.

        What is no date is left to the rules of the table, which reject that one record.

        Raises:
            DataError: As `Member.of`.
        """
        return next((text for text in sorted(self._date.values(entities)) if not self._within(text)), None)

    def _within(self, text: str) -> bool:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return True
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        return self._start <= moment < self._end
