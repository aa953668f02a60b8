"""The measurement documents of the demo plant's meters, as a SAP system would hold them.

Deterministic: a document is a function of the seed, the measuring point and the hour, so any past day can be asked for
without history being kept. Each reading is taken on the full hour and covers the hour before it.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from resources.core.clock import Clock, SystemClock

Document = dict[str, Any]
"""A MeasurementDocument: property -> value as it stands in JSON."""

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_SI = {"KWH": (3_600_000.0, "J"), "M3": (1.0, "M3"), "TO": (1000.0, "KG")}
"""Entry unit -> factor to the SI base unit, and that unit as SAP codes it."""


@dataclass(frozen=True, slots=True)
class DemoMeter:
    """One measuring point: what it counts, in which entry unit, and how much of it in a mean hour."""

    point: str
    equipment: str
    energy_type: str
    unit: str
    mean_per_h: float
    counter: bool = False
    """True: the entered value is the counter's; False: the amount of the hour is entered as a difference."""


METERS = (
    DemoMeter("B1-GAS", "boiler_1", "natural_gas", "M3", 818.0),
    DemoMeter("B1-STEAM", "boiler_1", "steam", "TO", 10.0, counter=True),
    DemoMeter("B1-POWER", "boiler_1", "electricity", "KWH", 64.0),
    DemoMeter("B2-GAS", "boiler_2", "natural_gas", "M3", 496.0),
    DemoMeter("B2-STEAM", "boiler_2", "steam", "TO", 6.0, counter=True),
    DemoMeter("B2-POWER", "boiler_2", "electricity", "KWH", 41.0),
    DemoMeter("F1-GAS", "furnace_1", "natural_gas", "M3", 540.0),
    DemoMeter("F1-POWER", "furnace_1", "electricity", "KWH", 122.0),
)
"""The meters; steam and gas of a boiler fit an efficiency near 90 %."""


class MeterBook:
    """What the system holds: generated documents, and what was changed by hand since."""

    def __init__(
        self,
        *,
        seed: int = 42,
        zone: str = "UTC",
        first_day: date = date(2024, 1, 1),
        meters: tuple[DemoMeter, ...] = METERS,
        clock: Clock | None = None,
    ) -> None:
        """Hold documents from `first_day` up to the clock's now; dates and times are of `zone`."""
        self._seed = seed
        self._zone = ZoneInfo(zone)
        self.first_day = first_day
        self._meters = meters
        self._clock: Clock = clock or SystemClock()
        self._changed: dict[str, Document | None] = {}
        self._lock = threading.Lock()

    def today(self) -> date:
        """Return the current day in the system's zone."""
        return self._clock.now().astimezone(self._zone).date()

    def day(self, day: date) -> list[Document]:
        """Return the documents dated `day`, by number."""
        found = {} if day < self.first_day else {d["MeasurementDocument"]: d for d in self._generated(day)}
        with self._lock:
            for number, document in self._changed.items():
                found.pop(number, None)
                if document is not None and document["MsmtRdngDate"] == day.isoformat():
                    found[number] = document
        return [found[number] for number in sorted(found)]

    def change(self, number: str, fields: Mapping[str, Any], *, day: date) -> None:
        """Correct the document `number` of `day`; a new MsmtRdngDate moves it.

        Raises:
            KeyError: There is no such document that day.
        """
        document = next((d for d in self.day(day) if d["MeasurementDocument"] == number), None)
        if document is None:
            raise KeyError(number)
        with self._lock:
            self._changed[number] = {**document, **fields}

    def vanish(self, number: str) -> None:
        """Let a document disappear, as an archive run does."""
        with self._lock:
            self._changed[number] = None

    def enter(self, document: Mapping[str, Any]) -> None:
        """Add a document, late or odd as it may be; it needs MeasurementDocument and MsmtRdngDate."""
        with self._lock:
            self._changed[str(document["MeasurementDocument"])] = dict(document)

    def _generated(self, day: date) -> list[Document]:
        # the day's hours are counted in UTC: a local day may have 23 or 25 of them
        instant = datetime.combine(day, time(), self._zone).astimezone(UTC)
        until = datetime.combine(day + timedelta(days=1), time(), self._zone).astimezone(UTC)
        documents = []
        while instant < until and instant <= self._clock.now():
            documents += [self._document(n, meter, instant) for n, meter in enumerate(self._meters)]
            instant += _HOUR
        return documents

    def _document(self, index: int, meter: DemoMeter, instant: datetime) -> Document:
        hour = (instant - _EPOCH) // _HOUR
        total = self._total(meter, hour)
        amount = round(total - self._total(meter, hour - 1), 3)
        factor, si_unit = _SI[meter.unit]
        local = instant.astimezone(self._zone)
        return {
            "MeasurementDocument": f"{hour * 64 + index:020d}",
            "MeasuringPoint": meter.point,
            "MeasuringPointPositionNumber": "",
            "MsmtRdngDate": local.date().isoformat(),
            "MsmtRdngTime": local.time().isoformat(),
            "Characteristic": f"ENERGY_{meter.unit}",
            "CharcValueUnit": si_unit,
            "MeasurementReading": (total if meter.counter else amount) * factor,
            "MeasurementReadingInEntryUoM": total if meter.counter else amount,
            "MeasurementReadingEntryUoM": meter.unit,
            "MeasurementCounterReading": total * factor,
            "MsmtCounterReadingDifference": amount * factor,
            "MsmtCntrReadingDiffIsEntered": not meter.counter,
            "MsmtValuationCode": "",
            "MeasurementDocumentText": f"{meter.equipment} {meter.energy_type}",
            "MsmtRdngByUser": "METERING",
            "MsmtRdngStatus": "",
            "MsmtRdngIsReversed": False,
        }

    def _total(self, meter: DemoMeter, hour: int) -> float:
        """Return the counter after `hour`: a daily swing in closed form, and noise too small to run it backwards."""
        swing = -0.2 * 24 / math.tau * math.cos(math.tau * (hour - 8) / 24)
        noise = 0.1 * self._noise(meter.equipment, hour) + 0.01 * self._noise(meter.point, hour)
        return round(meter.mean_per_h * (hour + swing + noise), 3)

    def _noise(self, name: str, hour: int) -> float:
        digest = hashlib.blake2b(f"{self._seed}:{name}:{hour}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) / 2**32 - 0.5
