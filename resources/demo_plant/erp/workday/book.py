"""What the fake Workday holds: cost centers, workers and journals of an invented company.

Deterministic: a journal is a function of the seed and its day, so any past day can be asked for without history being
kept. Workers carry names and pay on purpose: a client that must not take them has to be tried against their presence.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Any

from resources.core.clock import Clock, SystemClock
from resources.demo_plant.erp.workday.people import workers_of

Thing = dict[str, Any]
"""A business object: field -> value, amounts as text, dates as ISO text, instants as aware datetimes."""

COMPANY = "GL-DEMO"
ACCOUNTS = {
    "6400": "Natural gas",
    "6410": "Electricity",
    "6420": "Water",
    "6500": "Maintenance",
    "1600": "Inventory",
    "2000": "Accounts payable",
}
_SPENT_ON = (("6400", "ENERGY"), ("6410", "ENERGY"), ("6420", "WATER"), ("6500", "MAINTENANCE"))
_CURRENCIES = ("EUR",) * 12 + ("USD", "USD", "JPY", "KWD")
_DIGITS = {"JPY": 0, "KWD": 3}
_LATEST_CHANGE = timedelta(days=4)
"""A journal is corrected within this time after it was made, if at all."""

_COST_CENTERS = (
    ("4711", "Boiler house", "2015-01-01", None),
    ("4712", "Furnace", "2015-01-01", None),
    ("4713", "Heat recovery", "2018-07-01", None),
    ("4720", "Utilities", "2015-01-01", None),
    ("4730", "Maintenance", "2015-01-01", None),
    ("4740", "Laboratory", "2019-03-01", None),
    ("4790", "Coal yard", "2015-01-01", "2021-12-31"),
)


def wid_of(*parts: object) -> str:
    """Return the Workday ID of a thing: 32 hexadecimal digits."""
    return hashlib.blake2b(":".join(map(str, parts)).encode(), digest_size=16).hexdigest()


class WorkdayBook:
    """Generated objects, and what was changed by hand since; threads may share it."""

    def __init__(
        self, *, seed: int = 42, first_day: date = date(2024, 1, 1), clock: Clock | None = None, staff: int = 60
    ) -> None:
        """Hold journals from `first_day` up to the clock's now, in UTC; `staff` is the number of workers."""
        self.seed = seed
        self.first_day = first_day
        self.clock: Clock = clock or SystemClock()
        self._workers = workers_of(seed, staff, [code for code, *_ in _COST_CENTERS])
        self._cost_centers: dict[str, Thing] = {code: self._cost_center(code, *rest) for code, *rest in _COST_CENTERS}
        self._changed: dict[str, Thing | None] = {}
        self._lock = threading.Lock()

    def today(self) -> date:
        """Return the current day."""
        return self.clock.now().date()

    def reset(self) -> None:
        """Forget what was changed by hand."""
        with self._lock:
            self._changed.clear()
            self._cost_centers = {code: self._cost_center(code, *rest) for code, *rest in _COST_CENTERS}

    def cost_centers(self) -> list[Thing]:
        """Return all cost centers, by code."""
        with self._lock:
            return [self._cost_centers[code] for code in sorted(self._cost_centers)]

    def workers(self) -> list[Thing]:
        """Return all workers, by number."""
        with self._lock:
            return list(self._workers)

    def set_cost_center(self, code: str, fields: Mapping[str, Any] | None) -> None:
        """Change or add a cost center; None takes it away."""
        with self._lock:
            if fields is None:
                del self._cost_centers[code]
                return
            held = self._cost_centers.get(code) or self._cost_center(code, code, "2024-01-01", None)
            self._cost_centers[code] = {**held, "updated": self.clock.now(), **fields}

    def journals(self, first: date, last: date, *, as_of: datetime | None = None) -> list[Thing]:
        """Return the journals with accounting dates in `[first, last]` that were entered by `as_of`, by number."""
        now = self.clock.now()
        moment = min(as_of or now, now)
        found: dict[str, Thing] = {}
        day = max(first, self.first_day)
        while day <= min(last, self.today()):
            found |= {journal["number"]: journal for journal in self._generated(day, moment)}
            day += timedelta(days=1)
        with self._lock:
            for number, journal in self._changed.items():
                found.pop(number, None)
                if journal is not None and first.isoformat() <= journal["accounting_date"] <= last.isoformat():
                    found[number] = journal
        return [journal for _, journal in sorted(found.items()) if journal["created"] <= moment]

    def journals_updated(self, since: datetime, until: datetime, *, as_of: datetime | None = None) -> list[Thing]:
        """Return the journals that were made or changed in `[since, until]`, by number."""
        first = (since - _LATEST_CHANGE).date()
        touched = self.journals(first, self.today(), as_of=as_of)
        with self._lock:
            late = [j for j in self._changed.values() if j is not None and j["accounting_date"] < first.isoformat()]
        return [journal for journal in [*late, *touched] if since <= journal["updated"] <= until]

    def change(self, number: str, fields: Mapping[str, Any]) -> None:
        """Correct the journal `number`; a new accounting_date moves it.

        Raises:
            KeyError: There is no such journal.
        """
        day = date(int(number[3:7]), int(number[7:9]), int(number[9:11]))
        journal = next((j for j in self.journals(day, day) if j["number"] == number), None)
        if journal is None:
            raise KeyError(number)
        with self._lock:
            self._changed[number] = {**journal, "updated": self.clock.now(), **fields}

    def vanish(self, number: str) -> None:
        """Let a journal disappear, as one that is unposted does."""
        with self._lock:
            self._changed[number] = None

    def enter(self, number: str, fields: Mapping[str, Any]) -> None:
        """Add a journal, late or odd as it may be, made of one of the same form; `fields` go before its own."""
        day = date.fromisoformat(fields["accounting_date"])
        now = self.clock.now()
        journal = {**self._journal(day, 0, Random(number), now), "number": number, "wid": wid_of("journal", number)}
        with self._lock:
            self._changed[number] = {**journal, "created": now, "updated": now, **fields}

    @staticmethod
    def _cost_center(code: str, name: str, since: str, until: str | None) -> Thing:
        return {
            "wid": wid_of("cost_center", code),
            "code": code,
            "name": name,
            "valid_from": since,
            "valid_to": until,
            "manager": f"E{1000 + int(code, 36) % 50}",
            "updated": datetime.fromisoformat(f"{since}T08:00:00+00:00"),
        }

    def _generated(self, day: date, moment: datetime) -> list[Thing]:
        chance = Random(f"{self.seed}:{day}")
        count = chance.randint(6, 14) if day.weekday() < 5 else chance.randint(1, 3)
        return [self._journal(day, index, Random(f"{self.seed}:{day}:{index}"), moment) for index in range(count)]

    def _journal(self, day: date, index: int, chance: Random, moment: datetime) -> Thing:
        number = f"JE-{day:%Y%m%d}-{index:04d}"
        currency = chance.choice(_CURRENCIES)
        created = datetime.combine(day, time(6), UTC) + timedelta(minutes=chance.randint(0, 900))
        lines = self._lines(chance, _DIGITS.get(currency, 2))
        memo = f"{ACCOUNTS[lines[0]['account']]} {day}"
        corrected = created + timedelta(minutes=chance.randint(60, int(_LATEST_CHANGE.total_seconds() / 60) - 1000))
        is_corrected = chance.random() < 0.1 and corrected <= moment
        return {
            "wid": wid_of("journal", number),
            "number": number,
            "status": "POSTED",
            "company": COMPANY,
            "currency": currency,
            "ledger": "ACTUALS",
            "accounting_date": day.isoformat(),
            "source": "Spreadsheet_Upload",
            "memo": f"{memo}, corrected" if is_corrected else memo,
            "created": created,
            "updated": corrected if is_corrected else created,
            "lines": lines,
        }

    @staticmethod
    def _lines(chance: Random, digits: int) -> list[Thing]:
        """Return what was spent, and the debt that balances it."""
        scale = 10**digits
        lines, total = [], 0
        for order in range(1, chance.randint(1, 4) + 1):
            account, category = chance.choice(_SPENT_ON)
            amount = chance.randint(50, 20_000) * scale + chance.randint(0, scale - 1)
            total += amount
            lines.append(
                {
                    "order": order,
                    "account": account,
                    "debit": _money(amount, digits),
                    "credit": _money(0, digits),
                    "memo": ACCOUNTS[account],
                    "cost_center": chance.choice(_COST_CENTERS[:-1])[0],
                    "spend_category": category,
                }
            )
        balance = {"account": "2000", "debit": _money(0, digits), "credit": _money(total, digits), "memo": "Payable"}
        lines.append({**balance, "order": len(lines) + 1, "cost_center": None, "spend_category": None})
        return lines


def _money(amount: int, digits: int) -> str:
    text = str(amount).rjust(digits + 1, "0")
    return f"{text[:-digits]}.{text[-digits:]}" if digits else text
