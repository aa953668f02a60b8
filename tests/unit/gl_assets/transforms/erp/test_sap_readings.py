"""Measurement documents as rows: which number is the consumption, in which unit, and what a bad one lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gl_assets.erp.tables import TABLES
from gl_assets.transforms.erp.facts import Standardised
from gl_assets.transforms.erp.mapping import paths_read, standardise
from gl_assets.transforms.erp.scoring import completeness
from gl_assets.transforms.erp.validation import judge
from gl_assets.transforms.values.unit_codes import UCUM, ucum_of
from resources.core.physics.units import conversion, parse_unit
from resources.erp.declared import DatasetConfig
from resources.erp.records import ALTERED
from resources.erp.sap.config import SapConfig
from resources.erp.sap.units import si_of
from tests.unit.gl_assets.erp.landed import facts, landed

SCHEMA = TABLES["energy_consumption"].schema
DATASET = DatasetConfig.model_validate(SapConfig.shipped_datasets()["energy_consumption"])
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


def mapped(documents: Sequence[Mapping[str, Any]], **known: Any) -> Standardised:
    keys = [str(document.get("MeasurementDocument")) for document in documents]
    columns = landed(documents, paths_read(DATASET, "sap"), keys)
    return standardise(columns, DATASET, SCHEMA, facts("energy_consumption", kind="sap", **known))


def row(changes: dict[str, Any], **known: Any) -> tuple[dict[str, Any], list[str]]:
    found = mapped([{**DOCUMENT, **changes}], **known)
    return found.rows.to_dict("records")[0], found.problems.get(0, [])


def test_a_document_when_sound_is_a_row_without_problems() -> None:
    found, problems = row({"MsmtRdngStatus": "1", "MeasurementDocumentText": 'a "b" \\ c\n'})
    assert problems == []
    assert {name: found[name] for name in ("consumption_id", "meter_id", "consumption_value", "consumption_unit")} == {
        "consumption_id": "0001",
        "meter_id": "MP1",
        "consumption_value": Decimal("12.5"),
        "consumption_unit": "kW.h",
    }
    assert found["transaction_date"] == date(2026, 11, 20)
    assert found["period_end"] == datetime(2026, 11, 20, 9, 15, tzinfo=UTC)
    assert json.loads(found["extra"])["text"] == 'a "b" \\ c'
    assert found["energy_type"] == "unknown"


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
        # no quotient of these ends; the ninth place is rounded
        ({"MsmtCounterReadingDifference": 1}, "auto", "0.000000278"),
    ],
)
def test_the_amount_when_read_is_what_was_used(changes: dict[str, Any], reading: str, amount: str) -> None:
    meters = {"MP1": {"energy_type": "e", "plant_code": "p", "reading": reading}}
    found, problems = row(changes, meters=meters)
    assert problems == []
    assert found["consumption_value"] == Decimal(amount)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"MeasurementDocument": None}, "MeasurementDocument is missing"),
        ({"MeasuringPoint": " "}, "MeasuringPoint is missing"),
        ({"MsmtRdngDate": "20.11.2026"}, "MsmtRdngDate '20.11.2026' is not of the form 2026-01-31"),
        ({"MsmtRdngTime": None}, "MsmtRdngTime is missing"),
        ({"MsmtRdngTime": "25:00:00"}, "MsmtRdngTime '25:00:00' is not of the form 10:15:00"),
        ({"MeasurementReadingInEntryUoM": "12,5"}, "MeasurementReadingInEntryUoM '12,5' is no number"),
        ({"MeasurementReadingInEntryUoM": True}, "MeasurementReadingInEntryUoM 'true' is no number"),
        ({"MeasurementReadingInEntryUoM": "NaN"}, "MeasurementReadingInEntryUoM 'NaN' is no number"),
        ({"MeasurementReadingInEntryUoM": Decimal("1e40")}, "MeasurementReadingInEntryUoM is larger than any amount"),
        ({"MeasurementReadingInEntryUoM": "1e999999"}, "MeasurementReadingInEntryUoM is larger than any amount"),
        ({"MeasurementReadingEntryUoM": ""}, "MeasurementReadingEntryUoM is missing"),
        ({"MeasurementReadingEntryUoM": "FTL"}, "unit 'FTL' is not known: add it to unit_codes of the system"),
        ({"MeasurementReadingEntryUoM": "EA"}, "unit 'EA' is not known: add it to unit_codes of the system"),
        ({ALTERED: True}, "holds characters or numbers that a database cannot keep; they were replaced"),
    ],
)
def test_a_bad_document_when_read_says_what_is_wrong(changes: dict[str, Any], problem: str) -> None:
    assert row(changes)[1] == [problem]


def test_a_counter_without_difference_when_read_says_so() -> None:
    meters = {"MP1": {"energy_type": "e", "plant_code": "p", "reading": "counter"}}
    assert row({"MsmtCounterReadingDifference": None}, meters=meters)[1] == ["MsmtCounterReadingDifference is missing"]


def test_a_difference_when_it_becomes_too_large_in_the_unit_of_entry_says_so() -> None:
    changes = {"MeasurementReadingEntryUoM": "L", "MsmtCounterReadingDifference": Decimal(10**27)}
    assert row(changes)[1] == ["MsmtCounterReadingDifference is larger than any amount"]


def test_units_when_configured_come_before_the_list() -> None:
    assert row({"MeasurementReadingEntryUoM": "ZEN"}, unit_codes={"ZEN": "GJ"})[0]["consumption_unit"] == "GJ"
    changes = {"MeasurementReadingEntryUoM": "ZEN", "MsmtCounterReadingDifference": 1}
    assert row(changes, unit_codes={"ZEN": "Cel"})[1] == [
        "the counter's difference cannot be converted to Cel: its SI unit is not known"
    ]
    assert ucum_of("kwh", {}) == "kW.h"


def test_every_known_unit_when_it_measures_is_one_of_ucum() -> None:
    for unit in UCUM.values():
        assert unit.startswith("{") or parse_unit(unit)
    for unit in ("W.h", "kW.h", "MW.h", "GW.h", "J", "kJ", "MJ", "GJ", "TJ", "m3", "L", "g", "kg", "t"):
        assert conversion(unit, si_of(unit))[0] > 0


def test_a_reversed_document_when_read_is_withdrawn() -> None:
    found = mapped([DOCUMENT, {**DOCUMENT, "MsmtRdngIsReversed": True}])
    assert found.withdrawn.tolist() == [False, True]


def test_documents_of_many_units_when_read_together_are_converted_each_by_its_own() -> None:
    documents = [
        {**DOCUMENT, "MeasurementReadingEntryUoM": unit, "MsmtCounterReadingDifference": difference}
        for unit, difference in (("KWH", 3_600_000), ("TO", 1000), ("FTL", 1), ("KWH", None), ("MWH", 3_600_000))
    ]
    found = mapped(documents)
    assert [value or None for value in found.rows["consumption_value"].fillna(0)] == [
        Decimal(1),
        Decimal(1),
        None,
        Decimal("12.5"),
        Decimal("0.001"),
    ]
    assert list(found.problems.index) == [2]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.dictionaries(st.sampled_from(sorted(DOCUMENT)), json_values), max_size=4))
def test_any_records_when_read_are_rows_and_never_an_error(changes: list[dict[str, Any]]) -> None:
    found = mapped([{**DOCUMENT, **change} for change in changes])
    judged = judge(found.rows, SCHEMA, found.problems)
    assert len(judged.good) + len(judged.reasons) == len(changes)
    assert set(found.problems.index) <= set(judged.reasons.index)


HOURS = [
    (date(2026, 10, 25), 25, datetime(2026, 10, 24, 22, tzinfo=UTC)),
    (date(2026, 3, 29), 23, datetime(2026, 3, 28, 23, tzinfo=UTC)),
    (date(2026, 6, 1), 24, datetime(2026, 5, 31, 22, tzinfo=UTC)),
]


def hourly(day: date, first: datetime, hours: int) -> list[dict[str, Any]]:
    """One document an hour, as a clock in Berlin shows it, numbered in the order of entry."""
    from zoneinfo import ZoneInfo

    clock = [(first + timedelta(hours=n)).astimezone(ZoneInfo("Europe/Berlin")) for n in range(hours)]
    return [
        {**DOCUMENT, "MeasurementDocument": f"{n:04}", "MsmtRdngDate": str(day), "MsmtRdngTime": f"{at:%H:%M:%S}"}
        for n, at in enumerate(clock)
    ]


@pytest.mark.parametrize(("day", "hours", "first"), HOURS)
def test_hours_when_the_clock_changes_stay_an_hour_apart(day: date, hours: int, first: datetime) -> None:
    meters = {"MP1": {"energy_type": "e", "plant_code": "p", "interval": timedelta(hours=1)}}
    rows = mapped(list(reversed(hourly(day, first, hours))), meters=meters).rows
    ends = sorted(rows["period_end"])
    assert ends == [first + timedelta(hours=n) for n in range(hours)]
    assert sorted(rows["period_start"]) == [end - timedelta(hours=1) for end in ends]


def test_a_time_when_the_clock_leaves_it_out_is_the_end_of_the_gap() -> None:
    found, _ = row({"MsmtRdngDate": "2026-03-29", "MsmtRdngTime": "02:30:00"})
    assert found["period_end"] == datetime(2026, 3, 29, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("meter", "known"),
    [
        (None, 0.0),
        ({"location_code": "L"}, 0.6),
        ({"cost_center": "C"}, 0.8),
        ({"cost_center": "C", "interval": timedelta(hours=1)}, 1.0),
    ],
)
def test_the_completeness_when_less_is_known_is_lower(meter: dict[str, Any] | None, known: float) -> None:
    meters = {"MP1": {"energy_type": "natural_gas", "plant_code": "P", **meter}} if meter is not None else {}
    rows = mapped([DOCUMENT], meters=meters).rows
    assert completeness(rows, SCHEMA).tolist() == [pytest.approx(known)]
    assert rows["energy_type"].tolist() == ["natural_gas" if meter else "unknown"]
