"""The records the fake makes up: each a function of the seed, the day and its place in it, so no history is kept.

Every resource is made day by day, in the order of its key, which grows with the day.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

Record = dict[str, Any]
"""A record: attribute -> value as it stands in JSON; children under their name, as a list."""

_EPOCH = datetime(2020, 1, 1, tzinfo=UTC)
_HOUR = timedelta(hours=1)
_ORGANIZATION = {"OrganizationId": 300100000001001, "OrganizationCode": "M100"}


@dataclass(frozen=True, slots=True)
class OracleMeter:
    """A meter of an asset; its unit stands in the meter's definition, not in the readings."""

    code: str
    asset_number: str
    energy_type: str
    unit: str
    mean_per_h: float


METERS = (
    OracleMeter("FRN2-GAS", "FRN-2", "natural_gas", "m3", 610.0),
    OracleMeter("FRN2-POWER", "FRN-2", "electricity", "kW.h", 131.0),
    OracleMeter("HEX1-STEAM", "HEX-1", "steam", "t", 3.4),
    OracleMeter("HEX1-POWER", "HEX-1", "electricity", "kW.h", 18.0),
    OracleMeter("SITE-POWER", "SUB-1", "electricity", "kW.h", 905.0),
)
"""The meters; they are read on the full hour, each reading covers the hour before."""

_KEYS = {
    "meterReadings": (300_300_000_000_000, 24 * 64),
    "maintenanceWorkOrders": (300_400_000_000_000, 16),
    "journalBatches": (300_600_000_000_000, 16),
}
"""Resource -> its first key, and how many keys a day has."""

ASSET_NUMBERS = ("FRN-2", "HEX-1", "SUB-1", *(f"PMP-{n}" for n in range(1, 13)), *(f"VLV-{n}" for n in range(1, 10)))
"""Numbers of the assets."""

ACCOUNTS = ("610100", "610200", "615300", "151000", "201500", "331000")
"""Natural accounts of the ledger."""

COST_CENTERS = ("1510", "1520", "4711", "0000")
"""Second segment of an account combination; 0000 is none."""


def stamp(instant: datetime) -> str:
    """Return an instant as Fusion writes a timestamp."""
    return instant.astimezone(UTC).isoformat(timespec="seconds")


class Maker:
    """Makes the records of a seed."""

    def __init__(self, seed: int, now: Callable[[], datetime]) -> None:
        """Take the seed, and the clock that says what has happened yet."""
        self._seed = seed
        self._now = now

    def noise(self, name: str) -> float:
        """Return a number from 0 to 1 that depends on the seed and the name alone."""
        digest = hashlib.blake2b(f"{self._seed}:{name}".encode(), digest_size=4).digest()
        return int.from_bytes(digest) / 2**32

    def day_of(self, resource: str, key: object) -> date | None:
        """Return the day for which the record of a key was made; None if it is of no day."""
        if resource not in _KEYS or not isinstance(key, int):
            return None
        base, a_day = _KEYS[resource]
        days = (key - base) // a_day
        return _EPOCH.date() + timedelta(days=days) if 0 <= days < 40_000 else None

    def meter_readings(self, day: date) -> Iterator[Record]:
        """Yield the readings of a day (UTC) up to now."""
        instant = datetime.combine(day, time(), UTC)
        for hour in range(24):
            at = instant + hour * _HOUR
            if at > self._now():
                return
            yield from (self._reading(index, meter, at) for index, meter in enumerate(METERS))

    def _reading(self, index: int, meter: OracleMeter, at: datetime) -> Record:
        hour = (at - _EPOCH) // _HOUR
        total = self._total(meter, hour)
        return {
            "MeterReadingId": _KEYS["meterReadings"][0] + hour * 64 + index,
            "AssetId": _asset_id(meter.asset_number),
            "AssetNumber": meter.asset_number,
            "MeterId": 300_100_000_002_000 + index,
            "MeterCode": meter.code,
            "ReadingDate": stamp(at),
            "ReadingTypeCode": "ORA_ABSOLUTE",
            "ReadingValue": total,
            "ReadingNetChange": round(total - self._total(meter, hour - 1), 3),
            "DisplayedValue": total,
            "NetValue": total,
            "InitialFlag": False,
            "ResetFlag": False,
            "RolloverFlag": False,
            "DisabledFlag": False,
            "CanceledFlag": False,
            "Comments": None,
            **_who(at + timedelta(minutes=1), at + timedelta(minutes=1), "METERING"),
        }

    def _total(self, meter: OracleMeter, hour: int) -> float:
        """Return the counter after `hour`: a daily swing in closed form, and noise too small to run it backwards."""
        swing = -0.2 * 24 / math.tau * math.cos(math.tau * (hour - 8) / 24)
        return round(meter.mean_per_h * (hour + swing + 0.1 * self.noise(f"{meter.code}:{hour}")), 3)

    def work_orders(self, day: date) -> Iterator[Record]:
        """Yield the maintenance work orders planned to start on a day (UTC)."""
        number = (day - _EPOCH.date()).days
        for index in range(int(self.noise(f"orders:{number}") * 6)):
            yield self._work_order(number * 16 + index, datetime.combine(day, time(6 + 2 * index), UTC))

    def _work_order(self, number: int, start: datetime) -> Record:
        asset = ASSET_NUMBERS[int(self.noise(f"asset:{number}") * len(ASSET_NUMBERS))]
        corrective = self.noise(f"type:{number}") < 0.3
        end = start + timedelta(hours=1 + int(self.noise(f"hours:{number}") * 8))
        done = end < self._now()
        created = start - timedelta(days=14)
        return {
            "WorkOrderId": _KEYS["maintenanceWorkOrders"][0] + number,
            "WorkOrderNumber": f"MWO-{number}",
            **_ORGANIZATION,
            "AssetId": _asset_id(asset),
            "AssetNumber": asset,
            "WorkOrderDescription": f"{'Repair' if corrective else 'Inspect'} {asset}",
            "WorkOrderTypeCode": "CORRECTIVE" if corrective else "PREVENTIVE",
            "WorkOrderSubTypeCode": "ORA_EMERGENCY" if corrective else None,
            "WorkOrderStatusCode": "ORA_COMPLETED" if done else "ORA_RELEASED",
            "WorkOrderPriority": 1 + int(self.noise(f"priority:{number}") * 5),
            "PlannedStartDate": stamp(start),
            "PlannedCompletionDate": stamp(end),
            "ActualStartDate": stamp(start) if done else None,
            "ActualCompletionDate": stamp(end) if done else None,
            **_who(created, end if done else created, "PLANNER"),
            "WorkOrderOperation": [
                {
                    "WoOperationId": 300_500_000_000_000 + number * 8 + step,
                    "OperationSequenceNumber": 10 * (step + 1),
                    "OperationName": name,
                    "WorkCenterCode": "MAINT",
                    "PlannedStartDate": stamp(start),
                    "PlannedCompletionDate": stamp(end),
                }
                for step, name in enumerate(("Isolate", "Work", "Release"))
            ],
        }

    def assets(self) -> Iterator[Record]:
        """Yield the assets."""
        for index, number in enumerate(ASSET_NUMBERS):
            installed = _EPOCH - timedelta(days=400 - index)
            yield {
                "AssetId": _asset_id(number),
                "AssetNumber": number,
                "AssetDescription": f"{_KINDS[number[:3]]} {number}",
                "ItemNumber": f"ITEM-{number[:3]}",
                "SerialNumber": f"SN{index:05d}",
                "OperatingOrganizationId": _ORGANIZATION["OrganizationId"],
                "OperatingOrganizationCode": _ORGANIZATION["OrganizationCode"],
                "CurrentLocationContextCode": "ORA_INTERNAL_LOCATION",
                "LocationNumber": f"M100-{'HALL-A' if index % 2 else 'HALL-B'}",
                "InServiceDate": stamp(installed + timedelta(days=10)),
                "InstalledDate": stamp(installed),
                "StatusCode": "RETIRED" if number == _RETIRED else "ACTIVE",
                "ActiveEndDate": stamp(installed + timedelta(days=300)) if number == _RETIRED else None,
                **_who(installed, installed + timedelta(days=10), "ASSETMGR"),
            }

    def journal_batches(self, day: date) -> Iterator[Record]:
        """Yield the batches whose first journal is dated `day`: none at weekends, as ledgers have it.

        The second batch of a day has more lines than fit into its page, the third reverses itself on the next day.
        """
        if day.weekday() >= 5:
            return
        number = (day - _EPOCH.date()).days
        for index, source in enumerate(("Payables", "Cost Management", "Manual")):
            posted = datetime.combine(day, time(18, index), UTC)
            if posted > self._now():
                return
            key = _KEYS["journalBatches"][0] + number * 16 + index
            days = (day, day + timedelta(days=1)) if source == "Manual" else (day,)
            lines = 40 if source == "Cost Management" else 4
            yield {
                "JeBatchId": key,
                "BatchName": f"{source} {day.isoformat()}",
                "BatchDescription": None,
                "DefaultPeriodName": day.strftime("%b-%y"),
                "Status": "P",
                "UserJeSourceName": source,
                "ActualFlagMeaning": "Actual",
                "PostedDate": stamp(posted),
                "ReversalFlag": source == "Manual",
                **_who(posted - timedelta(hours=2), posted, "GLPOST"),
                "journalHeaders": [self._journal(key, source, dated, lines, posted) for dated in days],
            }

    def _journal(self, batch: int, source: str, day: date, lines: int, posted: datetime) -> Record:
        currency = "USD" if self.noise(f"currency:{batch}") < 0.2 else "EUR"
        return {
            "JournalName": f"{source} {day.isoformat()} {currency}",
            "JournalDescription": f"{source} of {day.isoformat()}",
            "LedgerName": "Plant Ledger",
            "LedgerCurrencyCode": "EUR",
            "CurrencyCode": currency,
            "PeriodName": day.strftime("%b-%y"),
            "DefaultEffectiveDate": day.isoformat(),
            "UserJeCategoryName": "Energy" if source == "Cost Management" else "Other",
            "LegalEntityName": "Process Heat Works",
            **_who(posted - timedelta(hours=2), posted, "GLPOST"),
            "journalLines": list(self._journal_lines(f"{batch}:{day}", lines, currency, posted)),
        }

    def _journal_lines(self, name: str, lines: int, currency: str, posted: datetime) -> Iterator[Record]:
        """Yield pairs of a debit and a credit of the same amount."""
        for line in range(1, lines + 1):
            pair = (line + 1) // 2
            amount = round(100 + 9_000 * self.noise(f"amount:{name}:{pair}"), 2)
            accounted = round(amount * 0.92, 2) if currency == "USD" else amount
            debit = line % 2 == 1
            cost_center = COST_CENTERS[pair % 3] if debit else COST_CENTERS[3]
            account = ACCOUNTS[pair % 3 + (0 if debit else 3)]
            yield {
                "JeLineNumber": line,
                "AccountCombination": f"01-{cost_center}-{account}-0000-000",
                "AccountedDr": accounted if debit else None,
                "AccountedCr": None if debit else accounted,
                "EnteredDr": amount if debit else None,
                "EnteredCr": None if debit else amount,
                "CurrencyCode": currency,
                "Description": f"line {line}",
                **_who(posted, posted, "GLPOST"),
            }

    def currencies(self) -> Iterator[Record]:
        """Yield currencies, which every pod has."""
        for code, name in (("EUR", "Euro"), ("GBP", "Pound Sterling"), ("USD", "US Dollar")):
            yield {"CurrencyCode": code, "Name": name, "EnabledFlag": "Y"}


_KINDS = {"FRN": "Furnace", "HEX": "Heat exchanger", "SUB": "Substation", "PMP": "Pump", "VLV": "Valve"}


_RETIRED = ASSET_NUMBERS[-1]
"""An asset that is no longer in use."""


def _asset_id(number: str) -> int:
    return 300_200_000_000_000 + ASSET_NUMBERS.index(number)


def _who(created: datetime, updated: datetime, user: str) -> Record:
    return {"CreationDate": stamp(created), "LastUpdateDate": stamp(updated), "LastUpdatedBy": user}
