"""Landed records as standard rows by declared rules: each rule, each kind of column, and what a bad record is told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gl_assets.erp.tables import TABLES, FactTable
from gl_assets.transforms.erp.facts import Standardised
from gl_assets.transforms.erp.mapping import paths_read, standardise
from gl_assets.transforms.erp.rules import segment
from gl_assets.transforms.erp.validation import judge
from gl_assets.transforms.values.texts import json_objects
from resources.core.errors import ConfigError
from resources.erp.declared import DatasetConfig
from resources.erp.landed.rows import RecordReader
from tests.unit.gl_assets.erp.landed import facts, landed

DAY = date(2026, 11, 20)
JOURNAL: dict[str, Any] = {
    "transaction_id": "Doc",
    "line": {"path": "Line", "strip_zeros": True},
    "account": {"path": "Account", "strip_zeros": True},
    "amount": "Amount",
    "currency": "Currency",
    "posting_date": "Posted",
    "debit_credit": {"path": "Side", "values": {"S": "debit", "H": "credit"}},
}
LINE = {
    "Doc": "100",
    "Line": "001",
    "Account": "0000400100",
    "Amount": "12.50",
    "Currency": "EUR",
    "Posted": "2026-11-20",
    "Side": "S",
}
ORDER: dict[str, Any] = {
    "order_id": "Order",
    "quantity": "Quantity",
    "unit": {"path": "Unit", "unit": True},
    "planned_start": {"date": "StartDate", "time": "StartTime"},
    "planned_end": "End",
}
PLANNED = {
    "Order": "1",
    "Quantity": 5,
    "Unit": "KG",
    "StartDate": "/Date(1795132800000)/",
    "StartTime": "PT06H00M00S",
    "End": "2026-11-20T14:00:00Z",
}


def mapped(table: str, records: Sequence[Mapping[str, Any]], fields: Mapping[str, Any], **more: Any) -> Standardised:
    known = {"day": DAY if isinstance(TABLES[table], FactTable) else None, **more.pop("known", {})}
    declared = DatasetConfig.model_validate({"resource": "R", "key": "Key", "fields": dict(fields), **more})
    found = facts(table, **known)
    return standardise(landed(records, paths_read(declared, found.kind)), declared, TABLES[table].schema, found)


def one(
    table: str, record: Mapping[str, Any], fields: Mapping[str, Any], **more: Any
) -> tuple[dict[str, Any], list[str]]:
    found = mapped(table, [record], fields, **more)
    return found.rows.to_dict("records")[0], found.problems.get(0, [])


def journal(
    changes: Mapping[str, Any], fields: Mapping[str, Any] | None = None, **more: Any
) -> tuple[dict[str, Any], list[str]]:
    rules = {name: rule for name, rule in {**JOURNAL, **(fields or {})}.items() if rule is not None}
    return one("financial_transactions", {**LINE, **changes}, rules, **more)


def test_a_record_when_sound_is_a_row() -> None:
    row, problems = journal({})
    assert problems == []
    assert {
        name: row[name] for name in ("transaction_id", "line", "account", "amount", "currency", "debit_credit")
    } == {
        "transaction_id": "100",
        "line": "1",
        "account": "400100",
        "amount": Decimal("12.5"),
        "currency": "EUR",
        "debit_credit": "debit",
    }
    assert (row["system"], row["company"], row["posting_date"], row["source_key"]) == ("erp1", "1000", DAY, "k0")


@pytest.mark.parametrize(
    ("rule", "record", "text"),
    [
        ("Text", {"Text": "  a b \t"}, "a b"),
        ("Text", {"Text": "   "}, None),
        ("parent.Text", {"parent": {"Text": "deep"}}, "deep"),
        ({"paths": ["Text", "Other"]}, {"Text": "", "Other": "second"}, "second"),
        ({"paths": ["Text", "Other"], "null_values": "none"}, {"Text": "none", "Other": "second"}, "second"),
        ({"constant": "fixed"}, {}, "fixed"),
        ({"constant": True}, {}, "true"),
        ({"setting": "company"}, {}, "1000"),
        ({"join": ["A", "B"]}, {"A": "1", "B": 2}, "1/2"),
        ({"join": ["A", "B"], "separator": "-"}, {"A": "1", "B": "2"}, "1-2"),
        ({"join": ["A", "B"]}, {"A": "1"}, None),
        ({"path": "Text", "default": "none given"}, {}, "none given"),
        ({"path": "Text", "values": {"A": "active", "D": None}}, {"Text": "A"}, "active"),
        ({"path": "Text", "values": {"A": "active", "D": None}}, {"Text": "D"}, None),
        ({"path": "Text", "values": {"A": "active"}}, {"Text": "Z"}, "Z"),
        ({"path": "Text", "values": {"true": "yes"}}, {"Text": True}, "yes"),
        ({"path": "Text", "null_values": ["N/A", "-"]}, {"Text": "-"}, None),
        ({"path": "Text", "strip_zeros": True}, {"Text": "000012"}, "12"),
        ({"path": "Text", "strip_zeros": True}, {"Text": "000"}, "0"),
        ({"path": "Text", "strip_zeros": True}, {"Text": "00A1"}, "00A1"),
        ({"path": "Text", "segment": 2}, {"Text": "110110-001-022"}, "001"),
        ({"path": "Text", "segment": 2}, {"Text": "110110--022"}, None),
        ({"path": "Text", "segment": 4}, {"Text": "110110-001-022"}, None),
        ({"path": "Text", "segment": 1, "delimiter": "|"}, {"Text": "a-b|c"}, "a-b"),
        ({"path": "Text", "segment": 2}, {"Text": r"1-00\-2-3"}, "00-2"),
    ],
)  # fmt: skip
def test_a_rule_of_text_when_read_gives_its_text(rule: Any, record: dict[str, Any], text: str | None) -> None:
    row, problems = journal(record, {"description": rule}, known={"settings": {"company": "1000"}})
    assert problems == []
    assert (row["description"] if isinstance(row["description"], str) else None) == text


def test_columns_when_many_are_cut_into_segments_keep_their_rows() -> None:
    found = segment(pa.array(["a-b", None, "c", "-d", ""]), 2, "-")
    assert found.to_pylist() == ["b", None, None, "d", None]


@pytest.mark.parametrize(
    ("fields", "record", "amount", "side"),
    [
        ({"amount": {"debit": "D", "credit": "C"}, "debit_credit": None}, {"D": "10", "C": None}, "10", "debit"),
        ({"amount": {"debit": "D", "credit": "C"}, "debit_credit": None}, {"D": "0", "C": 4.5}, "-4.5", "credit"),
        ({"amount": {"debit": "D", "credit": "C"}, "debit_credit": {"debit": "D", "credit": "C"}}, {"D": -3, "C": 0}, "-3", "debit"),
        ({"debit_credit": {"debit": "D", "credit": "C"}}, {"D": 0, "C": 2}, "12.5", "credit"),
        ({"amount": {"path": "Amount", "negate_when": {"path": "Side", "values": "H"}}}, {"Side": "H"}, "-12.5", "credit"),
        ({"amount": {"path": "Amount", "negate_when": {"path": "Side", "values": ["H"]}}}, {}, "12.5", "debit"),
        ({"debit_credit": None}, {"Amount": "-1"}, "-1", "credit"),
    ],
)  # fmt: skip
def test_an_amount_when_given_with_its_side_is_signed(
    fields: dict[str, Any], record: dict[str, Any], amount: str, side: str
) -> None:
    row, problems = journal(record, fields)
    assert problems == []
    assert (row["amount"], row["debit_credit"]) == (Decimal(amount), side)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"Doc": None}, "Doc is missing"),
        ({"Amount": "12,50"}, "Amount '12,50' is no number"),
        ({"Amount": "1e30"}, "Amount is larger than any amount"),
        ({"Amount": ""}, "Amount is missing"),
        ({"Amount": {"value": 1}}, "Amount '{\"value\": 1}' is no number"),
        ({"Currency": "EURO"}, "Currency 'EURO' is no currency of ISO 4217"),
        ({"Currency": "XXX"}, "Currency 'XXX' is no currency of ISO 4217"),
        ({"Currency": None}, "Currency is missing"),
        ({"Posted": "20.11.2026"}, "Posted '20.11.2026' is not of the form 2026-01-31"),
        ({"Posted": "0000-00-00"}, "Posted is missing"),
        ({"Side": None}, "Side is missing"),
        ({"Posted": "2026-11-19"}, "posting_date '2026-11-19' is not the day 2026-11-20 it was landed under: the dataset's business_date and fields.posting_date disagree"),
        ({"Account": "x" * 10_001}, "Account has more than 10,000 characters, which no account has"),
        ({"@gl.altered": True}, "holds characters or numbers that a database cannot keep; they were replaced"),
    ],
)  # fmt: skip
def test_a_bad_record_when_read_says_what_is_wrong(changes: dict[str, Any], problem: str) -> None:
    assert journal(changes)[1] == [problem]


@pytest.mark.parametrize(
    ("given", "currency"), [("eur", "EUR"), ("BGN", "BGN"), ("HRK", "HRK"), (" JPY ", "JPY"), ("KWD", "KWD")]
)
def test_a_currency_when_it_is_or_was_one_is_taken(given: str, currency: str) -> None:
    row, problems = journal({"Currency": given})
    assert (row["currency"], problems) == (currency, [])


def test_a_record_when_much_is_wrong_is_told_all_of_it() -> None:
    assert journal({"Doc": " ", "Amount": "x", "Currency": "??", "Posted": "soon"})[1] == [
        "Amount 'x' is no number",
        "Currency '??' is no currency of ISO 4217",
        "Posted 'soon' is not of the form 2026-01-31",
        "Doc is missing",
    ]


def test_a_side_when_it_is_neither_is_rejected_by_the_table() -> None:
    found = mapped("financial_transactions", [LINE, {**LINE, "Side": "X"}], JOURNAL)
    judged = judge(found.rows, TABLES["financial_transactions"].schema, found.problems)
    assert judged.reasons.to_dict() == {1: ["debit_credit: the side must be debit or credit (found X)"]}


def test_an_order_when_sound_has_times_by_the_systems_clock() -> None:
    row, problems = one("production_schedule", PLANNED, ORDER)
    assert problems == []
    assert row["planned_start"] == datetime(2026, 11, 20, 5, tzinfo=UTC)
    assert row["planned_end"] == datetime(2026, 11, 20, 14, tzinfo=UTC)
    assert (row["business_date"], row["unit"], row["quantity"]) == (DAY, "kg", Decimal(5))


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        # seconds of the day beside a date that is sent as noon UTC (Dynamics 365)
        ({"StartDate": "2026-11-20T12:00:00Z", "StartTime": 21_600}, datetime(2026, 11, 20, 5, tzinfo=UTC)),
        ({"StartDate": "20261120", "StartTime": "060000"}, datetime(2026, 11, 20, 5, tzinfo=UTC)),
        ({"StartTime": "24:00:00"}, datetime(2026, 11, 20, 23, tzinfo=UTC)),
        ({"StartTime": None}, datetime(2026, 11, 19, 23, tzinfo=UTC)),
        ({"StartDate": "2026-03-29", "StartTime": "02:30:00", "End": None}, datetime(2026, 3, 29, 1, tzinfo=UTC)),
        ({"StartDate": "2026-10-25", "StartTime": "02:30:00"}, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        ({"StartDate": "1900-01-01T12:00:00Z"}, None),
    ],
)  # fmt: skip
def test_a_date_and_a_time_when_read_together_are_an_instant(changes: dict[str, Any], start: datetime | None) -> None:
    row, problems = one("production_schedule", {**PLANNED, **changes}, ORDER)
    assert problems == []
    assert (row["planned_start"] if start else None) == start


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"StartDate": "soon"}, "StartDate 'soon' is not of the form 2026-01-31"),
        ({"StartTime": "6 o'clock"}, 'StartTime "6 o\'clock" is not of the form 10:15:00'),
        ({"End": "2026-11-20T25:00:00Z"}, "End '2026-11-20T25:00:00Z' is not of the form 2026-01-31T10:15:00Z"),
        ({"Order": ""}, "Order is missing"),
    ],
)
def test_a_bad_order_when_read_says_what_is_wrong(changes: dict[str, Any], problem: str) -> None:
    assert one("production_schedule", {**PLANNED, **changes}, ORDER)[1] == [problem]


@pytest.mark.parametrize(
    ("code", "unit"),
    [("KG", "kg"), ("kg", "kg"), ("EA", "{each}"), ("ST", "{piece}"), ("BOX", "{BOX}"), ("ZEN", "GJ"), ("a b{c}", "{a_b_c_}"), (None, None)],
)  # fmt: skip
def test_a_unit_when_it_only_counts_is_kept_as_what_is_counted(code: str | None, unit: str | None) -> None:
    changes = {"Unit": code, **({} if code else {"Quantity": None})}
    found = mapped("production_schedule", [{**PLANNED, **changes}], ORDER, known={"unit_codes": {"ZEN": "GJ"}})
    judged = judge(found.rows, TABLES["production_schedule"].schema, found.problems)
    assert judged.reasons.empty
    assert (judged.good["unit"][0] if unit else None) == unit


def test_a_unit_when_written_in_ucum_is_taken_as_it_is() -> None:
    found = mapped("production_schedule", [PLANNED, {**PLANNED, "Unit": "no unit"}], {**ORDER, "unit": "Unit"})
    judged = judge(
        found.rows.assign(unit=found.rows["unit"].replace("KG", "kg")),
        TABLES["production_schedule"].schema,
        found.problems,
    )
    assert judged.reasons.to_dict() == {1: ["unit: a unit must be a UCUM code (found no unit)"]}


def test_records_when_withdrawn_are_marked() -> None:
    conditions = [{"path": "Deleted", "values": ["X", "true"]}, {"path": "Status", "values": "Void"}]
    records = [LINE, {**LINE, "Deleted": True}, {**LINE, "Status": "Void"}, {**LINE, "Deleted": ""}]
    found = mapped("financial_transactions", records, JOURNAL, withdrawn_when=conditions)
    assert found.withdrawn.tolist() == [False, True, True, False]


def test_further_fields_when_mapped_are_json_without_what_is_missing() -> None:
    extra = {"text": "Text", "nested": "parent.A\\.B", "missing": "None"}
    record = {"Text": 'say "é\\"\n\x01', "parent": {"A.B": 5}}
    row, problems = journal(record, {"profit_center": {"path": "PC", "default": "none"}}, extra=extra)
    assert problems == []
    assert json.loads(row["extra"]) == {"text": 'say "é\\"\n\x01', "nested": "5", "profit_center": "none"}
    assert journal({})[0]["extra"] == "{}"


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.none() | st.text(), st.none() | st.text()), max_size=4))
def test_json_when_built_of_any_texts_reads_back(rows: list[tuple[str | None, str | None]]) -> None:
    sendable = [
        tuple(
            t
            if t is None or t.isascii() or t < "\ud800"
            else t.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            for t in row
        )
        for row in rows
    ]
    columns = {name: pa.array([row[n] for row in sendable], pa.string()) for n, name in enumerate(("a", 'b"'))}
    read = [json.loads(text) for text in json_objects(columns, len(rows)).to_pylist()]
    assert read == [{n: t for n, t in zip(("a", 'b"'), row, strict=True) if t is not None} for row in sendable]


def test_company_when_the_record_names_none_is_the_systems() -> None:
    found = mapped("financial_transactions", [{**LINE, "Co": "US01"}, LINE], {**JOURNAL, "company": "Co"})
    assert found.rows["company"].tolist() == ["US01", "1000"]


def test_what_a_meter_says_when_the_record_says_it_too_comes_first() -> None:
    fields = {"meter_id": "Meter", "consumption_id": "Id", "consumption_value": "Value", "consumption_unit": {"constant": "kW.h"},
              "transaction_date": "Date", "period_end": "At", "plant_code": "Plant", "energy_type": {"constant": "steam"}}  # fmt: skip
    record = {"Meter": "M1", "Id": "1", "Value": "2", "Date": "2026-11-20", "At": "2026-11-20T10:00:00Z", "Plant": "P9"}
    meters = {"M1": {"energy_type": "electricity", "plant_code": "P1"}}
    found = mapped("energy_consumption", [record, {**record, "Meter": "M2"}], fields, known={"meters": meters})
    assert found.rows["plant_code"].tolist() == ["P1", "P9"]
    assert found.rows["energy_type"].tolist() == ["electricity", "steam"]


@pytest.mark.parametrize("table", TABLES)
def test_no_records_when_standardised_are_no_rows(table: str) -> None:
    found = mapped(table, [], {})
    assert list(found.rows.columns) == list(TABLES[table].columns)
    assert len(judge(found.rows, TABLES[table].schema, found.problems).good) == 0


@pytest.mark.parametrize("table", TABLES)
def test_a_record_without_anything_when_standardised_is_told_what_is_missing(table: str) -> None:
    found = mapped(
        table, [{}], {name: f"P.{name}" for name in TABLES[table].columns if name not in ("system", "source_key")}
    )
    needed = {name for name, column in TABLES[table].schema.columns.items() if not column.nullable}
    told = {sentence.removesuffix(" is missing").removeprefix("P.") for sentence in found.problems[0]}
    given = {"system", "source_key", "ingested_at", "quality_score", "extra", "energy_type"}
    assert told == needed - given
    assert found.rows["quality_score"].tolist() == [0.0]


def test_a_record_when_it_came_without_its_key_is_rejected_though_it_has_all_that_the_table_needs() -> None:
    declared = DatasetConfig.model_validate({"resource": "R", "key": ("dataAreaId", "Key"), "fields": JOURNAL})
    known, schema = facts("financial_transactions", day=DAY), TABLES["financial_transactions"].schema
    keys = [row[0].decode() for row in RecordReader(declared).rows([b'{"dataAreaId": "us", "Key": 1}', b'{"Key": 1}'])]
    found = standardise(landed([LINE, LINE], paths_read(declared, known.kind), keys), declared, schema, known)
    judged = judge(found.rows, schema, found.problems, found.told)
    assert judged.good["source_key"].tolist() == ["us/1"]
    assert judged.reasons.to_dict() == {
        1: [
            "the key (dataAreaId, Key) is not whole, or longer than any: no other version of the record would be found "
            "again"
        ]
    }


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ({"setting": "plant"}, "takes the setting 'plant'"),
        ({"path": "A", "segment": "ledger.CC"}, "takes the segment 'ledger.CC'"),
    ],
)
def test_a_rule_when_it_takes_what_the_system_does_not_have_is_refused(rule: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        journal({}, {"description": rule})


JSON = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.dictionaries(st.sampled_from(sorted(LINE | PLANNED)), JSON), max_size=4),
    st.sampled_from(["financial_transactions", "production_schedule"]),
)
def test_any_records_when_standardised_are_rows_or_told_why_not(changes: list[dict[str, Any]], table: str) -> None:
    fields, record = (JOURNAL, LINE) if table == "financial_transactions" else (ORDER, PLANNED)
    found = mapped(table, [{**record, **change} for change in changes], fields)
    judged = judge(found.rows, TABLES[table].schema, found.problems)
    assert len(judged.good) + len(judged.reasons) == len(changes)
