"""What the fake holds: generated records, and what was changed by hand since."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from typing import Any

from resources.core.clock import Clock, SystemClock
from resources.demo_plant.erp.oracle.records import Maker, Record, stamp
from resources.demo_plant.erp.oracle.resources import RESOURCES

_PLANNED_DAYS = 30
"""Work orders are planned this far ahead."""


class OracleBook:
    """The records of a pod; threads may share it."""

    def __init__(self, *, seed: int = 42, first_day: date = date(2024, 1, 1), clock: Clock | None = None) -> None:
        """Hold records from `first_day` up to the clock's now; work orders also of the coming month."""
        self._clock: Clock = clock or SystemClock()
        self.first_day = first_day
        self._maker = Maker(seed, self._clock.now)
        self._changed: dict[str, dict[Any, Record | None]] = {name: {} for name in RESOURCES}
        self._lock = threading.Lock()

    def today(self) -> date:
        """Return the current day, UTC."""
        return self._clock.now().date()

    def records(self, resource: str, first: date | None = None, last: date | None = None) -> Iterator[Record]:
        """Yield the records of a resource by key; of dated ones those made from `first` to `last`.

        What was changed by hand is always among them, whatever its date.
        """
        key = RESOURCES[resource].key
        with self._lock:
            changed = dict(self._changed[resource])
        kept = (record for record in self._generated(resource, first, last) if record[key] not in changed)
        by_hand = sorted((record for record in changed.values() if record is not None), key=lambda r: str(r.get(key)))
        yield from heapq.merge(kept, by_hand, key=lambda record: str(record.get(key)))

    def find(self, resource: str, key: object) -> Record | None:
        """Return one record by its key; None if there is none."""
        name, day = RESOURCES[resource].key, self._maker.day_of(resource, key)
        return next((record for record in self.records(resource, day, day) if record[name] == key), None)

    def enter(self, resource: str, record: Mapping[str, Any]) -> None:
        """Add or replace a record, late or odd as it may be; it needs its key. It is stamped as updated now."""
        with self._lock:
            self._changed[resource][record[RESOURCES[resource].key]] = {
                **record,
                "LastUpdateDate": stamp(self._clock.now()),
            }

    def change(self, resource: str, key: object, fields: Mapping[str, Any]) -> None:
        """Correct a record.

        Raises:
            KeyError: There is none of that key.
        """
        held = self.find(resource, key)
        if held is None:
            raise KeyError(key)
        self.enter(resource, {**held, **fields})

    def vanish(self, resource: str, key: object) -> None:
        """Let a record disappear, as a purge does."""
        with self._lock:
            self._changed[resource][key] = None

    def _generated(self, resource: str, first: date | None, last: date | None) -> Iterator[Record]:
        if resource == "installedBaseAssets":
            yield from self._maker.assets()
            return
        if resource == "currenciesLOV":
            yield from self._maker.currencies()
            return
        make = {
            "meterReadings": self._maker.meter_readings,
            "maintenanceWorkOrders": self._maker.work_orders,
            "journalBatches": self._maker.journal_batches,
        }[resource]
        end = self.today() + timedelta(days=_PLANNED_DAYS if resource == "maintenanceWorkOrders" else 0)
        day = max(first or self.first_day, self.first_day)
        while day <= min(last or end, end):
            yield from make(day)
            day += timedelta(days=1)
