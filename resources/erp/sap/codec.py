"""Measurement documents as an Arrow table of typed columns: what was used, in which unit, when by the local clock.

A document that cannot be understood keeps its row; `problems` says what is wrong with it. Amounts are decimals to
nine places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from decimal import Decimal, InvalidOperation
from typing import Any

import pyarrow as pa

from resources.core.errors import ConfigError
from resources.core.units import conversion
from resources.erp.records import ALTERED, Record
from resources.erp.sap.config import SapConfig
from resources.erp.sap.units import si_of, ucum_of

AMOUNT = pa.decimal128(38, 9)

DOCUMENTS_SCHEMA = pa.schema(
    [
        pa.field("document", pa.string()),
        pa.field("measuring_point", pa.string()),
        pa.field("reading_date", pa.date32()),
        pa.field("reading_time", pa.time64("us")),
        pa.field("amount", AMOUNT),
        pa.field("unit", pa.string()),
        pa.field("is_reversed", pa.bool_()),
        pa.field("status", pa.string()),
        pa.field("counter_reading", pa.string()),
        pa.field("text", pa.string()),
        pa.field("problems", pa.list_(pa.string())),
    ]
)
"""One row per document: `amount` in `unit` (UCUM), date and time of the reading in the system's zone."""

_PLACES = Decimal("1e-9")
_LARGEST = Decimal("1e28")


class _Problem(Exception):  # noqa: N818 - a finding about one record, not an error of the program
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


def documents_table(records: Sequence[Record], config: SapConfig) -> pa.Table:
    """Return measurement documents as a table of DOCUMENTS_SCHEMA, in the order given."""
    return pa.Table.from_pylist([_row(record, config) for record in records], schema=DOCUMENTS_SCHEMA)


def _row(record: Record, config: SapConfig) -> dict[str, Any]:
    problems: list[str] = []
    if record.get(ALTERED):
        problems.append("holds characters or numbers that a database cannot keep; they were replaced")
    row: dict[str, Any] = {
        "document": _text(record, "MeasurementDocument", problems),
        "measuring_point": _text(record, "MeasuringPoint", problems),
        "reading_date": _parsed(record, "MsmtRdngDate", date, problems),
        "reading_time": _parsed(record, "MsmtRdngTime", time, problems),
        "is_reversed": record.get("MsmtRdngIsReversed") is True,
        "status": _optional(record.get("MsmtRdngStatus")),
        "counter_reading": _optional(record.get("MeasurementCounterReading")),
        "text": _optional(record.get("MeasurementDocumentText")),
        "problems": problems,
    }
    try:
        row["unit"] = _unit(record, config)
        row["amount"] = _amount(record, str(row["unit"]), config)
    except _Problem as problem:
        problems.append(problem.text)
    return row


def _text(record: Record, name: str, problems: list[str]) -> str | None:
    value = record.get(name)
    if isinstance(value, str) and value.strip():
        return value.strip()
    problems.append(f"{name} is missing")
    return None


def _optional(value: object) -> str | None:
    return str(value) if value not in (None, "") else None


def _parsed(record: Record, name: str, kind: type[date] | type[time], problems: list[str]) -> date | time | None:
    value = record.get(name)
    if value in (None, ""):
        problems.append(f"{name} is missing")
        return None
    try:
        return kind.fromisoformat(str(value))
    except ValueError:
        problems.append(f"{name} {str(value)[:40]!r} is not of the form {'2026-01-31' if kind is date else '10:15:00'}")
        return None


def _unit(record: Record, config: SapConfig) -> str:
    code = record.get("MeasurementReadingEntryUoM")
    if not isinstance(code, str) or not code.strip():
        raise _Problem("MeasurementReadingEntryUoM is missing")
    unit = ucum_of(code.strip(), config.unit_codes)
    if unit is None:
        raise _Problem(f"unit {code[:20]!r} is not known: add it to unit_codes of the system")
    return unit


def _amount(record: Record, unit: str, config: SapConfig) -> Decimal:
    """Return what was used, in the entry unit.

    The entry pair (InEntryUoM, EntryUoM) holds it, except for a counter whose value was entered: there it holds the
    counter's position, and the amount is the difference, which SAP keeps in the SI unit.
    """
    if not _is_counter(record, config):
        return _bounded(_number(record, "MeasurementReadingInEntryUoM"), "MeasurementReadingInEntryUoM")
    difference = _number(record, "MsmtCounterReadingDifference")
    try:
        factor, _ = conversion(unit, si_of(unit))
    except ConfigError:
        raise _Problem(f"the counter's difference cannot be converted to {unit}: its SI unit is not known") from None
    return _bounded(difference / Decimal(str(factor)), "MsmtCounterReadingDifference")


def _is_counter(record: Record, config: SapConfig) -> bool:
    meter = config.meters.get(str(record.get("MeasuringPoint")))
    if meter is not None and meter.reading != "auto":
        return meter.reading == "counter"
    if record.get("MsmtCntrReadingDiffIsEntered") is True:
        return False
    # points that are no counters have the initial value 0 in both
    return bool(_known(record, "MeasurementCounterReading")) or bool(_known(record, "MsmtCounterReadingDifference"))


def _known(record: Record, name: str) -> Decimal:
    try:
        return _number(record, name)
    except _Problem:
        return Decimal(0)


def _number(record: Mapping[str, Any], name: str) -> Decimal:
    value = record.get(name)
    if value is None or value == "":
        raise _Problem(f"{name} is missing")
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
            raise InvalidOperation
        # text is what a service sends that is IEEE754Compatible
        number = Decimal(str(value))
    except InvalidOperation:
        raise _Problem(f"{name} {str(value)[:40]!r} is no number") from None
    if not number.is_finite():
        raise _Problem(f"{name} {str(value)[:40]!r} is no number")
    return number


def _bounded(number: Decimal, name: str) -> Decimal:
    if abs(number) >= _LARGEST:
        raise _Problem(f"{name} is larger than any amount")
    return number.quantize(_PLACES)
