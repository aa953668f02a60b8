"""The measurement documents of the demo plant's meters, as a SAP system would hold them.

Deterministic: a document is a function of the seed, the measuring point and the hour, so any past day can be asked for
without history being kept. Each reading is taken on the full hour and covers the hour before it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from resources.core.clock import Clock
from resources.demo_plant.erp.sap.books.book import FIRST_DAY, Book, Document

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


class MeterBook(Book):
    """The measurement documents of the meters."""

    key = ("MeasurementDocument",)
    day_property = "MsmtRdngDate"

    def __init__(
        self,
        *,
        seed: int = 42,
        zone: str = "UTC",
        first_day: date = FIRST_DAY,
        meters: tuple[DemoMeter, ...] = METERS,
        clock: Clock | None = None,
    ) -> None:
        """Hold documents from `first_day` up to the clock's now; dates and times are of `zone`."""
        super().__init__(seed=seed, zone=zone, first_day=first_day, clock=clock)
        self._meters = meters

    def generated(self, day: date) -> list[Document]:
        """Return the readings of a day that have been taken, by hour and meter."""
        # the day's hours are counted in UTC: a local day may have 23 or 25 of them
        instant = datetime.combine(day, time(), self.zone).astimezone(UTC)
        until = datetime.combine(day + timedelta(days=1), time(), self.zone).astimezone(UTC)
        documents = []
        while instant < until and instant <= self.clock.now():
            documents += [self._document(n, meter, instant) for n, meter in enumerate(self._meters)]
            instant += _HOUR
        return documents

    def _document(self, index: int, meter: DemoMeter, instant: datetime) -> Document:
        hour = (instant - _EPOCH) // _HOUR
        total = self._total(meter, hour)
        amount = round(total - self._total(meter, hour - 1), 3)
        factor, si_unit = _SI[meter.unit]
        local = instant.astimezone(self.zone)
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
        return self.draw(name, hour) - 0.5
