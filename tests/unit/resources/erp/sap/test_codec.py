"""Measurement documents as columns: which number is the consumption, in which unit, and what a bad one lacks."""

from __future__ import annotations

from datetime import date, time
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.erp.records import ALTERED, read_ahead
from resources.erp.sap.codec import DOCUMENTS_SCHEMA, documents_table
from resources.erp.sap.config import SapConfig
from resources.erp.sap.units import UCUM, si_of, ucum_of
from resources.erp.storable import storable_record
from resources.transport.json_text import parse_json
from tests.unit.resources.transport.test_parts import settings

DOCUMENT: dict[str, Any] = {
    "MeasurementDocument": "0001",
    "MeasuringPoint": "MP1",
    "MsmtRdngDate": "2026-11-20",
    "MsmtRdngTime": "10:15:00",
    "MeasurementReadingInEntryUoM": Decimal("12.5"),
    "MeasurementReadingEntryUoM": "KWH",
    "MeasurementCounterReading": Decimal("0"),
    "MsmtCounterReadingDifference": Decimal("0"),
    "MsmtCntrReadingDiffIsEntered": False,
    "MsmtRdngIsReversed": False,
}


def decoded(changes: dict[str, Any], **config: Any) -> dict[str, Any]:
    table = documents_table([{**DOCUMENT, **changes}], SapConfig.model_validate(settings(**config)))
    assert table.schema == DOCUMENTS_SCHEMA
    row: dict[str, Any] = table.to_pylist()[0]
    return row


def test_a_document_when_sound_has_no_problems() -> None:
    row = decoded({})
    assert row == {
        "document": "0001",
        "measuring_point": "MP1",
        "reading_date": date(2026, 11, 20),
        "reading_time": time(10, 15),
        "amount": Decimal("12.5"),
        "unit": "kW.h",
        "is_reversed": False,
        "status": None,
        "counter_reading": "0",
        "text": None,
        "problems": [],
    }


@pytest.mark.parametrize(
    ("changes", "reading", "amount"),
    [
        ({}, "auto", "12.5"),
        # an entered difference is the amount, though SAP keeps the counter beside it
        ({"MeasurementCounterReading": 9e9, "MsmtCntrReadingDiffIsEntered": True}, "auto", "12.5"),
        # a counter's entry pair holds its position; the difference is in joule
        ({"MeasurementCounterReading": 9e9, "MsmtCounterReadingDifference": Decimal(36_000_000)}, "auto", "10"),
        ({"MsmtCounterReadingDifference": "7200000"}, "auto", "2"),
        ({"MsmtCounterReadingDifference": Decimal(36_000_000)}, "interval", "12.5"),
        ({"MsmtCounterReadingDifference": 0}, "counter", "0"),
        ({"MeasurementReadingEntryUoM": "TO", "MsmtCounterReadingDifference": 10824}, "auto", "10.824"),
        ({"MeasurementReadingEntryUoM": "L", "MsmtCounterReadingDifference": Decimal("0.25")}, "auto", "250"),
        ({"MeasurementReadingInEntryUoM": "1.25"}, "auto", "1.25"),
    ],
)
def test_the_amount_when_read_is_what_was_used(changes: dict[str, Any], reading: str, amount: str) -> None:
    row = decoded(changes, meters={"MP1": {"energy_type": "e", "plant_code": "p", "reading": reading}})
    assert row["problems"] == []
    assert row["amount"] == Decimal(amount)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"MeasurementDocument": None}, "MeasurementDocument is missing"),
        ({"MeasuringPoint": " "}, "MeasuringPoint is missing"),
        ({"MsmtRdngDate": "20.11.2026"}, "MsmtRdngDate '20.11.2026' is not of the form 2026-01-31"),
        ({"MsmtRdngTime": None}, "MsmtRdngTime is missing"),
        ({"MeasurementReadingInEntryUoM": "12,5"}, "MeasurementReadingInEntryUoM '12,5' is no number"),
        ({"MeasurementReadingInEntryUoM": True}, "MeasurementReadingInEntryUoM 'True' is no number"),
        ({"MeasurementReadingInEntryUoM": "NaN"}, "MeasurementReadingInEntryUoM 'NaN' is no number"),
        ({"MeasurementReadingInEntryUoM": Decimal("1e40")}, "MeasurementReadingInEntryUoM is larger than any amount"),
        ({"MeasurementReadingEntryUoM": ""}, "MeasurementReadingEntryUoM is missing"),
        ({"MeasurementReadingEntryUoM": "FTL"}, "unit 'FTL' is not known: add it to unit_codes of the system"),
        ({ALTERED: True}, "holds characters or numbers that a database cannot keep; they were replaced"),
    ],
)
def test_a_bad_document_when_read_says_what_is_wrong(changes: dict[str, Any], problem: str) -> None:
    assert decoded(changes)["problems"] == [problem]


def test_units_when_configured_come_before_the_list() -> None:
    assert decoded({"MeasurementReadingEntryUoM": "ZEN"}, unit_codes={"ZEN": "GJ"})["unit"] == "GJ"
    row = decoded({"MeasurementReadingEntryUoM": "ZEN", "MsmtCounterReadingDifference": 1}, unit_codes={"ZEN": "Cel"})
    assert "its SI unit is not known" in row["problems"][0]
    assert ucum_of("kwh", {}) == "kW.h"


def test_every_known_unit_when_converted_has_its_si_unit() -> None:
    from resources.core.units import conversion

    for unit in UCUM.values():
        assert conversion(unit, si_of(unit))[0] > 0


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(sorted(DOCUMENT)), json_values))
def test_any_record_when_read_is_a_row_and_never_an_error(changes: dict[str, Any]) -> None:
    row = decoded(changes)
    assert row["problems"] or row["amount"] is not None


@given(st.dictionaries(st.text(), json_values))
def test_any_record_when_kept_is_json_without_what_postgres_refuses(record: dict[str, Any]) -> None:
    kept, raw = storable_record(record)
    assert b"\\u0000" not in raw.replace(b"\\\\", b"")
    assert (ALTERED in kept) == (kept != record)
    parse_json(raw)


def test_a_page_when_read_ahead_is_fetched_before_it_is_asked_for() -> None:
    fetched: list[int] = []
    closed: list[bool] = []

    def pages() -> Any:
        try:
            for number in range(4):
                fetched.append(number)
                yield number
        finally:
            closed.append(True)

    ahead = read_ahead(pages())
    assert next(ahead) == 0
    ahead.close()
    assert fetched[:1] == [0]
    assert len(fetched) <= 2
    assert closed == [True]
    assert list(read_ahead(pages())) == [0, 1, 2, 3]


def test_an_error_when_reading_ahead_comes_where_its_page_would() -> None:
    def pages() -> Any:
        yield 1
        raise ValueError("page 2")

    ahead = read_ahead(pages())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="page 2"):
        next(ahead)
