"""The records that the Dynamics-like service holds: generated for any business day, and what was changed by hand.

Deterministic: a day of a company is a function of the seed. No history is kept: any day of two years can be asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from resources.core.clock import Clock, SystemClock
from resources.demo_plant.erp.dynamics import masters, orders
from resources.demo_plant.erp.dynamics.entities import entity_sets
from resources.demo_plant.erp.dynamics.ledger import (
    COMPANIES,
    Company,
    general_journal_entries,
    journal_headers,
    journal_lines,
)

Record = dict[str, Any]

GENERAL_JOURNAL = "GeneralJournalAccountEntries"
"""Set of the posted entries in this version, unless the service is told another one."""

BUSINESS_DATES = {
    "LedgerJournalHeaders": "",
    "LedgerJournalLines": "TransDate",
    "ProductionOrderHeaders": "ScheduledStartDate",
    "PurchaseOrderHeadersV2": "AccountingDate",
    "PurchaseOrderLinesV2": "",
}
"""Set of daily records -> the property by which its days are told apart; "" where it has none."""


class DynamicsBook:
    """What the system holds, by set and business day."""

    def __init__(
        self,
        *,
        seed: int = 42,
        zone: str = "UTC",
        first_day: date = date(2024, 1, 1),
        companies: tuple[Company, ...] = COMPANIES,
        general_journal: str = GENERAL_JOURNAL,
        clock: Clock | None = None,
    ) -> None:
        """Hold days from `first_day` up to today in `zone`; `general_journal` names the set of posted entries."""
        self.first_day = first_day
        self.companies = companies
        self.general_journal = general_journal
        self.sets = entity_sets(general_journal)
        self.business_dates = {**BUSINESS_DATES, general_journal: "AccountingDate"}
        self._seed = seed
        self._zone = ZoneInfo(zone)
        self._clock: Clock = clock or SystemClock()
        self._changed: dict[tuple[str, str], tuple[date, Record | None]] = {}
        self._lock = threading.Lock()
        self._generated = lru_cache(maxsize=64)(self._generate)

    @property
    def default_company(self) -> str:
        """The company of the user behind the application: what is read where a request is not cross-company."""
        return self.companies[0].data_area

    def today(self) -> date:
        """Return the current day in the system's zone."""
        return self._clock.now().astimezone(self._zone).date()

    def key(self, entity_set: str, record: Mapping[str, Any]) -> str:
        """Return a record's key, as it stands in parentheses behind the set; "" if a part of it is missing."""
        keys = self.sets[entity_set].keys
        return ",".join(f"{key}={record[key]!r}" for key in keys) if all(key in record for key in keys) else ""

    def day(self, entity_set: str, day: date) -> list[Record]:
        """Return the records of a set that belong to a business day, by key; without one of master data."""
        found: dict[str, Record] = {}
        if self.first_day <= day <= self.today():
            found = {self.key(entity_set, record): record for record in self._generated(entity_set, day)}
        with self._lock:
            for (of, key), (held, record) in self._changed.items():
                if of == entity_set:
                    found.pop(key, None)
                if of == entity_set and record is not None and held == day:
                    found[key] = record
        return [found[key] for key in sorted(found)]

    def masters(self, entity_set: str) -> list[Record]:
        """Return the records of a set that has no days."""
        found = {self.key(entity_set, record): record for record in masters.records(entity_set, self.companies)}
        with self._lock:
            for (of, key), (_, record) in self._changed.items():
                if of == entity_set:
                    found.pop(key, None)
                    found |= {key: record} if record is not None else {}
        return [found[key] for key in sorted(found)]

    def enter(self, entity_set: str, record: Mapping[str, Any], *, day: date) -> None:
        """Add a record to a day, or put it in place of the one that has its key; another day moves it."""
        with self._lock:
            self._changed[entity_set, self.key(entity_set, record)] = (day, dict(record))

    def vanish(self, entity_set: str, record: Mapping[str, Any]) -> None:
        """Let a record disappear."""
        with self._lock:
            self._changed[entity_set, self.key(entity_set, record)] = (date.min, None)

    def touched(self, entity_set: str) -> list[date]:
        """Return the days of the records that were entered by hand."""
        with self._lock:
            return [day for (of, _), (day, record) in self._changed.items() if of == entity_set and record is not None]

    def restore(self) -> None:
        """Forget all that was changed by hand."""
        with self._lock:
            self._changed.clear()

    def _generate(self, entity_set: str, day: date) -> list[Record]:
        found: list[Record] = []
        for company in self.companies:
            if entity_set == "LedgerJournalHeaders":
                found += journal_headers(self._seed, company, day, posted=day < self.today())
            elif entity_set == "LedgerJournalLines":
                found += journal_lines(self._seed, company, day)
            elif entity_set == self.general_journal:
                found += general_journal_entries(self._seed, company, day) if day < self.today() else []
            elif entity_set == "ProductionOrderHeaders":
                found += orders.production_orders(self._seed, company, day, (self.today() - day).days)
            elif entity_set == "PurchaseOrderHeadersV2":
                found += orders.purchase_orders(self._seed, company, day)
            elif entity_set == "PurchaseOrderLinesV2":
                found += orders.purchase_lines(self._seed, company, day)
        return found
