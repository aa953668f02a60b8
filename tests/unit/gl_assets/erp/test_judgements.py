"""What the checks of ERP tables say of rows in a real database, with every fault planted that they are for."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import psycopg
import pyarrow as pa
import pytest
from psycopg.types.json import Jsonb

from gl_assets.erp.feeds import Feed
from gl_assets.erp.judging.judgements import table_checks, totals_of
from gl_assets.erp.judging.model import Verdict
from gl_assets.erp.judging.pull_checks import PULL_CHECKS, no_bulk_vanished
from gl_assets.erp.judging.scope import Scope, stored_as
from gl_assets.erp.tables import TABLES, MasterTable
from resources.core.configuration.gates import GateSetting
from resources.databases.timescale.quality.partition_scores import PartitionScore, record_scores
from resources.embedded.postgres import EmbeddedPostgres
from resources.erp.auditing.audit import last_pull, pull_audits
from resources.erp.config import SystemConfig
from resources.erp.standardised.incoming import StandardTable, stage, upsert
from tests.conftest import fresh_database
from tests.unit.gl_assets.erp.standard_rows import right_rows
from tests.unit.resources.transport.test_parts import settings

DAY, NEXT = date(2026, 11, 20), date(2026, 11, 21)
SEEN = datetime(2026, 11, 22, tzinfo=UTC)
Connection = psycopg.Connection[Any]


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    """A connection whose transaction is rolled back: tests share the database and see nothing of each other."""
    with psycopg.connect(url) as opened:
        yield opened
        opened.rollback()


def feeds(table: str, **dataset: Any) -> list[Feed]:
    block = {"resource": "R", "key": "Key", "inherit": False, **dataset}
    if hasattr(TABLES[table], "business_date"):
        block.setdefault("business_date", "Day")
    meters = {name: {"energy_type": "e", "plant_code": "p"} for name in ("M1", "M2")}
    # what all kinds share: no check asks for more
    config = SystemConfig.model_validate({**settings(), "datasets": {table: block}, "meters": meters})
    return [Feed("s", config, table)]


def scope(connection: Connection, table: str, days: list[date] | None, **dataset: Any) -> Scope:
    return Scope(connection, TABLES[table], feeds(table, **dataset), days, 0.01)


def store(connection: Connection, table: MasterTable, rows: pd.DataFrame) -> None:
    target = StandardTable(table.name, table.columns, None)
    stage(connection, target, pa.Table.from_pandas(rows, preserve_index=False))
    upsert(connection, target)
    connection.execute("DROP TABLE incoming")


def rows_of(table: str, count: int, **columns: list[Any]) -> pd.DataFrame:
    rows = right_rows(TABLES[table], count).assign(system=pd.Series(["s"] * count, dtype="string[pyarrow]"))
    for name, values in columns.items():
        rows[name] = pd.Series(values, dtype=rows[name].dtype)
    return rows


def land(
    connection: Connection, table: str, count: int, raws: list[dict[str, Any]] | None = None, day: date | None = DAY
) -> None:
    for number in range(count):
        raw = Jsonb(raws[number] if raws else {"Key": f"k{number}"})
        connection.execute(
            "INSERT INTO erp.landed_records VALUES ('s', %s, %s, %s, %s, 'h', %s, %s, 'run', NULL)",
            (table, day, f"k{number}", raw, SEEN, SEEN),
        )


def pulled(connection: Connection, table: str, day: date | None = DAY, **more: Any) -> None:
    values = {"rows": 10, "server_count": 10, "duplicates": 0, "vanished": 0, "at": SEEN, **more}
    connection.execute(
        "INSERT INTO erp.pulls (system, dataset, partition_date, rows, server_count, duplicates, vanished, pages,"
        " duration_s, pulled_at, run_id) VALUES ('s', %(table)s, %(day)s, %(rows)s, %(server_count)s, %(duplicates)s,"
        " %(vanished)s, 1, 1, %(at)s, 'run')",
        {**values, "table": table, "day": day},
    )


def standardised(
    connection: Connection, table: str, day: date | None = DAY, withdrawn: int = 0, at: datetime = SEEN
) -> None:
    connection.execute(
        "INSERT INTO erp.standardised VALUES ('s', %s, %s, 0, 0, %s, %s, 'run')", (table, day, withdrawn, at)
    )


def judged(name: str, found: Scope) -> dict[date | None, Verdict]:
    check = next(check for check in table_checks(found.table) if check.name == name)
    verdicts: dict[date | None, Verdict] = check.judge(found)
    return verdicts


def one(name: str, found: Scope) -> Verdict:
    (verdict,) = judged(name, found).values()
    return verdict


@pytest.mark.parametrize("table", TABLES)
def test_right_rows_when_judged_pass_every_check_of_their_table(connection: Connection, table: str) -> None:
    days = [DAY] if hasattr(TABLES[table], "business_date") else None
    balanced = {"amount": [Decimal("2.5"), Decimal("-2.5")]} if table == "financial_transactions" else {}
    # rows that differ in what makes them rows
    columns = {name: ["1", "2"] for name in ("line", "item", "allocation_id") if name in TABLES[table].columns}
    if not columns:
        names = ("meter_id", "order_id", "work_order_id", "worker_id", "cost_center", "asset_id", "material")
        name = next(name for name in names if name in TABLES[table].columns)
        columns = {name: ["M1", "M2"]}
    store(connection, TABLES[table], rows_of(table, 2, **columns, **balanced))
    land(connection, table, 2, day=days[0] if days else None)
    pulled(connection, table, days[0] if days else None)
    standardised(connection, table, days[0] if days else None)
    found = scope(connection, table, days)
    verdicts = {check.name: check.judge(found) for check in table_checks(TABLES[table])}
    assert {name: [v.passed for v in of.values()] for name, of in verdicts.items()} == {
        name: [True] for name in verdicts
    }
    assert all(list(of) == [days[0] if days else None] for of in verdicts.values())


@pytest.mark.parametrize("table", TABLES)
def test_every_table_when_rows_say_the_same_twice_is_red(connection: Connection, table: str) -> None:
    days = [DAY, NEXT] if hasattr(TABLES[table], "business_date") else None
    store(connection, TABLES[table], rows_of(table, 3))
    rule = TABLES[table].checks[0]
    verdicts = judged(rule.name, scope(connection, table, days))
    assert [verdict.passed for verdict in verdicts.values()] == ([False, True] if days else [False])
    assert next(iter(verdicts.values())).figures == {"rows": 2}


def test_records_when_one_is_lost_between_landing_and_table_are_red(connection: Connection) -> None:
    land(connection, "materials", 3, day=None)
    store(connection, TABLES["materials"], rows_of("materials", 2, material=["1", "2"]))
    verdict = one("every_landed_record_is_accounted_for", scope(connection, "materials", None))
    assert verdict == Verdict(False, {"landed": 3, "rows": 2, "rejected": 0, "withdrawn": 0})


def test_records_when_rejected_or_withdrawn_are_accounted_for(connection: Connection) -> None:
    land(connection, "purchase_orders", 4)
    store(connection, TABLES["purchase_orders"], rows_of("purchase_orders", 2))
    standardised(connection, "purchase_orders", withdrawn=1)
    connection.execute(
        "INSERT INTO erp.rejected_records (system, dataset, partition_date, source_key, raw, reasons, run_id, rejected_at)"
        " VALUES ('s', 'purchase_orders', %s, 'k3', '{}', '{bad}', 'run', now())",
        (DAY,),
    )
    found = scope(connection, "purchase_orders", [DAY, NEXT])
    assert [v.passed for v in judged("every_landed_record_is_accounted_for", found).values()] == [True, True]
    share = judged("rejected_records_are_below_the_limit", found)
    assert share[DAY] == Verdict(False, {"rejected": 1, "share": 0.333333, "limit": 0.01})
    assert share[NEXT].passed


@pytest.mark.parametrize(
    ("standardised_at", "touched", "passed"),
    [(SEEN, False, True), (SEEN - timedelta(hours=1), False, False), (None, False, False), (SEEN, True, False)],
)
def test_rows_when_older_than_what_is_landed_are_red(
    connection: Connection, standardised_at: datetime | None, touched: bool, passed: bool
) -> None:
    pulled(connection, "assets", None)
    if standardised_at:
        standardised(connection, "assets", None, at=standardised_at)
    if touched:
        connection.execute("INSERT INTO erp.touched_days VALUES ('s', 'assets', NULL, now(), 'run')")
    assert one("rows_are_as_new_as_what_is_landed", scope(connection, "assets", None)).passed is passed


LEDGER = {"totals": "Amount", "fields": {"amount": {"path": "Amount", "negate_when": {"path": "Side", "values": "H"}}}}


@pytest.mark.parametrize(
    ("raw", "stored", "passed"),
    [
        (["10.5", "-2"], ["10.5", "2"], True),
        ([" 1.05E+1 ", "2"], ["10.5", "-2"], True),
        (["10.5", "2"], ["1050", "2"], False),
        (["10.5", "0"], ["10.5", "7"], True),
        (["0.1234567891", "2"], ["0.123456789", "2"], True),
        # what only the mapping reads is on neither side
        (["12.50-", "2"], ["-12.5", "2"], True),
    ],
)
def test_amounts_when_they_differ_from_those_landed_are_red(
    connection: Connection, raw: list[str], stored: list[str], passed: bool
) -> None:
    table = TABLES["financial_transactions"]
    land(connection, table.name, 3, [{"Amount": text} for text in (*raw, "99")])
    store(connection, table, rows_of(table.name, 2, amount=[Decimal(text) for text in stored]))
    found = scope(connection, table.name, [DAY], **LEDGER)
    verdict = one("amounts_equal_those_landed", found)
    assert verdict.passed is passed
    figures = verdict.figures["s/financial_transactions"]
    assert figures["left_out"] == "99"
    assert figures.get("unreadable") == ("1" if raw[0] == "12.50-" else None)
    # of many days the right ones are not told one by one
    many = judged("amounts_equal_those_landed", scope(connection, table.name, [DAY, NEXT], **LEDGER))
    assert [verdict.passed for verdict in many.values()] == [passed, True]


def test_totals_when_they_are_no_amount_of_the_table_are_not_compared(connection: Connection) -> None:
    table = TABLES["financial_transactions"]
    both = {"totals": "D", "fields": {"amount": {"debit": "D", "credit": "C"}}}
    assert totals_of(feeds(table.name, **both)[0], table) == ("D", "amount")
    several = {"totals": "B", "fields": {"amount": {"paths": ["A", "B"]}}}
    assert totals_of(feeds(table.name, **several)[0], table) == ("B", "amount")
    (feed,) = feeds(table.name, totals="Other")
    assert totals_of(feed, table) == ("Other", None)
    (feed,) = feeds(table.name, totals="T", fields={"description": "T"})
    assert totals_of(feed, table) == ("T", None)
    assert one("amounts_equal_those_landed", scope(connection, table.name, [DAY], totals="Other")).passed


@pytest.mark.parametrize(("amounts", "passed"), [(["2.50", "-2.50"], True), (["2.50", "-2.40"], False)])
@pytest.mark.parametrize("part_alone", [False, True])
def test_a_journal_when_debit_is_not_credit_is_red(
    connection: Connection, amounts: list[str], passed: bool, part_alone: bool
) -> None:
    table = "financial_transactions"
    store(connection, TABLES[table], rows_of(table, 2, amount=[Decimal(text) for text in amounts], line=["1", "2"]))
    # a condition on the journal leaves its lines together
    where: dict[str, Any] = {"where": [{"property": "CC" if part_alone else "Status", "value": "1"}]}
    where["fields"] = {"cost_center": "CC", "transaction_id": "Doc"}
    verdict = one("debit_equals_credit_in_each_journal", scope(connection, table, [DAY], **where))
    # who asks for some lines alone sees no whole journal
    assert verdict.passed is (passed or part_alone)
    if not verdict.passed:
        assert verdict.figures["largest"] == [["0.100000000", "s", "company", "transaction_id", "EUR"]]


@pytest.mark.parametrize(
    ("currency", "amount", "passed"),
    [("EUR", "1.25", True), ("EUR", "1.255", False), ("JPY", "12.34", False), ("JPY", "1234", True), ("KWD", "1.255", True), ("RSD", "1.25", True)],
)  # fmt: skip
def test_an_amount_when_finer_than_its_currency_is_red(
    connection: Connection, currency: str, amount: str, passed: bool
) -> None:
    store(
        connection,
        TABLES["cost_allocation"],
        rows_of("cost_allocation", 1, currency=[currency], amount=[Decimal(amount)]),
    )
    verdict = one("amounts_fit_their_currency", scope(connection, "cost_allocation", [DAY]))
    assert verdict.passed is passed


def test_a_meter_when_it_changes_its_unit_or_is_not_booked_is_red(connection: Connection) -> None:
    rows = rows_of("energy_consumption", 2, meter_id=["M1", "M1"], consumption_unit=["kW.h", "MW.h"])
    store(connection, TABLES["energy_consumption"], rows)
    found = scope(connection, "energy_consumption", [DAY, NEXT])
    assert judged("each_meter_keeps_its_unit", found)[DAY] == Verdict(False, {"groups": 1})
    booked = judged("each_configured_meter_is_booked", found)
    assert booked[DAY] == Verdict(False, {"meters": 1, "absent": ["M2"]})
    # a day without any document is a matter of other checks
    assert booked[NEXT].passed


def test_dates_when_they_can_only_be_typing_errors_are_red(connection: Connection) -> None:
    rows = rows_of("purchase_orders", 2, delivery_date=[date(2206, 11, 20), date(2026, 12, 1)])
    store(connection, TABLES["purchase_orders"], rows)
    found = scope(connection, "purchase_orders", [DAY])
    assert one("dates_are_plausible", found) == Verdict(False, {"delivery_date": 1})
    store(connection, TABLES["workforce"], rows_of("workforce", 1, valid_to=[date(9999, 12, 31)]))
    assert one("dates_are_plausible", scope(connection, "workforce", None)).passed


def examples(name: str, found: Scope, part: date | None = DAY) -> list[dict[str, Any]]:
    check = next(check for check in table_checks(found.table) if check.name == name)
    assert check.examples is not None
    return [dict(row) for row in check.examples(found, part)]


def test_rows_when_they_break_the_schema_are_found_however_they_came(connection: Connection) -> None:
    store(connection, TABLES["purchase_orders"], rows_of("purchase_orders", 3, order_date=[DAY, DAY, NEXT]))
    found = scope(connection, "purchase_orders", [DAY, NEXT])
    assert all(verdict.passed for verdict in judged("rows_match_the_schema", found).values())
    connection.execute("UPDATE erp.purchase_orders SET currency = 'XXX', quantity = -1 WHERE source_key = 'k1'")
    connection.execute("UPDATE erp.purchase_orders SET order_id = NULL WHERE source_key = 'k0'")
    verdicts = judged("rows_match_the_schema", found)
    assert verdicts[NEXT].passed
    assert verdicts[DAY].figures["rows"] == verdicts[DAY].measured == 2
    assert verdicts[DAY].figures["broken"] == {
        "order_id is missing": 1,
        "currency: a currency must be one of ISO 4217": 1,
        "quantity: a quantity must not be negative": 1,
    }
    rows = {row["source_key"]: row["reasons"] for row in examples("rows_match_the_schema", found)}
    assert rows["k0"] == "order_id is missing"
    assert "found XXX" in rows["k1"]


@pytest.mark.parametrize("table", TABLES)
def test_right_rows_when_read_back_keep_the_schema(connection: Connection, table: str) -> None:
    days = [DAY] if hasattr(TABLES[table], "business_date") else None
    store(connection, TABLES[table], rows_of(table, 2))
    assert one("rows_match_the_schema", scope(connection, table, days)).passed
    assert examples("rows_match_the_schema", scope(connection, table, days), days[0] if days else None) == []


def test_rows_when_two_systems_use_the_same_keys_keep_the_schema(connection: Connection) -> None:
    rows = rows_of("cost_centers", 2, source_key=["1000", "1000"], system=["s", "t"])
    store(connection, TABLES["cost_centers"], rows)
    assert one("rows_match_the_schema", scope(connection, "cost_centers", None)).passed


def test_rows_when_a_rule_finds_them_are_shown(connection: Connection) -> None:
    orders = scope(connection, "purchase_orders", [DAY])
    rows = rows_of(
        "purchase_orders",
        4,
        order_id=["a", "a", "b", "c"],
        net_amount=[Decimal("1.005"), Decimal(1), Decimal(1), Decimal(1)],
        delivery_date=[None, None, date(2206, 1, 1), None],
        supplier=[None, "s", "s", "s"],
        quality_score=[10.0, 100.0, 100.0, 100.0],
    )
    store(connection, TABLES["purchase_orders"], rows)
    assert [row["source_key"] for row in examples("each_item_stands_once", orders)] == ["k0", "k1"]
    assert examples("amounts_fit_their_currency", orders) == [
        {"system": "s", "source_key": "k0", "net_amount": "1.005000000", "currency": "EUR"}
    ]
    assert [row["delivery_date"] for row in examples("dates_are_plausible", orders)] == ["2206-01-01"]
    first = examples("fields_that_matter_are_known", orders)[0]
    assert (first["source_key"], first["supplier"], first["quality_score"]) == ("k0", None, 10)
    meters = rows_of("energy_consumption", 2, meter_id=["M1", "M1"], consumption_unit=["kW.h", "MW.h"])
    store(connection, TABLES["energy_consumption"], meters)
    energy = scope(connection, "energy_consumption", [DAY])
    assert [row["consumption_unit"] for row in examples("each_meter_keeps_its_unit", energy)] == ["kW.h", "MW.h"]
    assert examples("each_configured_meter_is_booked", energy) == []
    store(connection, TABLES["financial_transactions"], rows_of("financial_transactions", 1, line=["1"]))
    journal = scope(connection, "financial_transactions", [DAY])
    shown = examples("debit_equals_credit_in_each_journal", journal)
    assert [(row["transaction_id"], row["amount"]) for row in shown] == [("transaction_id", "1.500000000")]


def test_records_when_rejected_are_shown_with_their_reasons(connection: Connection) -> None:
    connection.execute(
        "INSERT INTO erp.rejected_records (system, dataset, partition_date, source_key, raw, reasons, run_id, rejected_at)"
        " VALUES ('s', 'materials', NULL, 'k1', '{}', ARRAY['a', 'b'], 'run', now())"
    )
    found = scope(connection, "materials", None)
    assert examples("rejected_records_are_below_the_limit", found, None) == [
        {"system": "s", "source_key": "k1", "reasons": "a; b"}
    ]


def test_a_part_when_its_score_is_low_is_red_and_one_without_score_is_not(connection: Connection) -> None:
    low = PartitionScore("erp/purchase_orders", DAY.isoformat(), 1, 10, 50, 60, 70, 80, 59.9)
    record_scores(connection, [low], site="plant", run_id="r")
    found = Scope(connection, TABLES["purchase_orders"], feeds("purchase_orders"), [DAY, NEXT], site="plant")
    verdicts = judged("the_quality_score_is_high_enough", found)
    assert verdicts[NEXT] == Verdict(True, {"rows": 0})
    assert not verdicts[DAY].passed
    assert verdicts[DAY].figures["level"] == "POOR"
    check = next(check for check in table_checks(found.table) if check.name == "the_quality_score_is_high_enough")
    lowered = check.configured("erp/purchase_orders", {"all": {"score": GateSetting(least=50)}})
    assert lowered.held(verdicts[DAY]).passed


def test_rows_when_most_that_matters_is_missing_are_red(connection: Connection) -> None:
    nothing: list[Any] = [None, None]
    rows = rows_of("materials", 2, description=nothing, base_unit=nothing, material_group=["g", None])
    store(connection, TABLES["materials"], rows)
    verdict = one("fields_that_matter_are_known", scope(connection, "materials", None))
    assert verdict == Verdict(False, {"rows": 2, "completeness": 0.1, "limit": 0.3})


@pytest.mark.parametrize(
    ("facts", "red"),
    [
        ({}, set()),
        ({"server_count": None}, set()),
        ({"server_count": 9}, {"landed_rows_equal_the_servers_count"}),
        ({"duplicates": 1}, {"every_record_was_sent_once"}),
        ({"vanished": 9, "rows": 1}, {"landed_rows_equal_the_servers_count"}),
        ({"vanished": 30}, {"records_do_not_vanish_in_bulk"}),
    ],
)
@pytest.mark.parametrize("day", [DAY, None])
def test_a_pull_when_something_is_odd_is_red(
    connection: Connection, facts: dict[str, Any], red: set[str], day: date | None
) -> None:
    pulled(connection, "assets", day, **facts)
    (audit,) = pull_audits(connection, "s", "assets", [DAY] if day else None)
    assert audit.day == day
    assert {check.name for check in PULL_CHECKS if not check.judge(audit).passed} == red
    assert last_pull(connection, "s", "assets") == (day, SEEN)


def test_records_that_vanished_when_their_rows_stand_count_unless_they_moved(connection: Connection) -> None:
    table = TABLES["purchase_orders"]
    store(connection, table, rows_of("purchase_orders", 12, order_date=[DAY] * 12))
    land(connection, "purchase_orders", 12)
    pulled(connection, "purchase_orders", rows=0)
    connection.execute("UPDATE erp.landed_records SET deleted_at = %s", (SEEN,))
    land(connection, "purchase_orders", 2, day=NEXT)
    (audit,) = pull_audits(connection, "s", "purchase_orders", [DAY, NEXT], stored_as(table))
    assert (audit.vanished, no_bulk_vanished(audit).passed) == (10, False)
    connection.execute("DELETE FROM erp.purchase_orders WHERE source_key = 'k11'")
    (audit,) = pull_audits(connection, "s", "purchase_orders", [DAY, NEXT], stored_as(table))
    assert (audit.vanished, no_bulk_vanished(audit).passed) == (9, True)


def test_a_snapshot_when_records_vanished_and_their_rows_stand_counts_them(connection: Connection) -> None:
    store(connection, TABLES["materials"], rows_of("materials", 3))
    land(connection, "materials", 3, day=None)
    pulled(connection, "materials", None, vanished=1)
    connection.execute("UPDATE erp.landed_records SET deleted_at = %s WHERE source_key <> 'k0'", (SEEN,))
    (audit,) = pull_audits(connection, "s", "materials", None, stored_as(TABLES["materials"]))
    assert audit.vanished == 2


def test_records_without_key_when_landed_are_counted(connection: Connection) -> None:
    pulled(connection, "assets", None)
    land(connection, "assets", 1, day=None)
    connection.execute("UPDATE erp.landed_records SET source_key = '?' || source_key")
    (audit,) = pull_audits(connection, "s", "assets", None)
    assert audit.without_key == 1
    assert last_pull(connection, "s", "materials") is None
