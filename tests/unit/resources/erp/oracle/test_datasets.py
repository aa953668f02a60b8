"""The shipped datasets: what the fake's records become in the standard tables."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from gl_assets.erp.tables import TABLES
from gl_assets.transforms.erp.facts import MeterFacts, Standardised, SystemFacts
from gl_assets.transforms.erp.mapping import paths_read, standardise
from gl_assets.transforms.erp.validation import judge
from resources.erp.connector import Day, Part, Whole
from resources.erp.declared import split_path
from resources.erp.oracle.config import OracleConfig
from tests.unit.resources.erp.oracle.support import DAY, OracleServer


def text_at(record: Any, path: str) -> str | None:
    """What PostgreSQL's `raw #>> path` gives."""
    for name in split_path(path):
        record = record.get(name) if isinstance(record, dict) else None
    if record is None or isinstance(record, str):
        return record
    return json.dumps(record)


def standard(oracle: OracleServer, dataset: str, part: Part, **changes: Any) -> tuple[Standardised, pd.DataFrame]:
    """Pull, standardise and judge; return what came of it, and the good rows."""
    config: OracleConfig = oracle.config(time_zone="Europe/Berlin", **changes)
    declared, table = config.datasets[dataset], TABLES[config.table_of(dataset)]
    records = oracle.pull(dataset, part, time_zone="Europe/Berlin", **changes).records
    paths = paths_read(declared, "oracle")
    columns = {path: pa.array([text_at(record, path) for record in records], pa.string()) for path in paths}
    keys = ["/".join(str(text_at(record, path)) for path in declared.key) for record in records]
    now = pa.array([datetime(2026, 11, 22, tzinfo=UTC)] * len(records), pa.timestamp("us", tz="UTC"))
    landed = pa.table({"source_key": keys, "changed_at": now, "ingested_at": now, **columns})
    facts = SystemFacts(
        system="oracle",
        company=config.company,
        time_zone=config.time_zone,
        meters={
            code: MeterFacts(m.energy_type, m.plant_code, m.location_code, m.cost_center, m.interval)
            for code, m in config.meters.items()
        },
        kind="oracle",
        day=part.day if isinstance(part, Day) else None,
        business_date=getattr(table, "business_date", None) or None,
    )
    found = standardise(landed, declared, table.schema, facts)
    judged = judge(found.rows, table.schema, found.problems)
    assert judged.reasons.empty, judged.reasons.iloc[0]
    return found, judged.good


def test_readings_when_standardised_are_what_was_used_in_the_meters_unit(oracle: OracleServer) -> None:
    found, rows = standard(oracle, "energy_consumption", Day(DAY))
    assert len(rows) == 5 * 24
    row = rows[rows["source_key"] == "300300003862976"].iloc[0]
    assert (row["meter_id"], row["consumption_unit"], row["energy_type"]) == ("FRN2-GAS", "m3", "natural_gas")
    assert row["transaction_date"] == DAY
    assert row["period_end"] == datetime(2026, 11, 19, 23, tzinfo=UTC)
    assert row["period_start"] == datetime(2026, 11, 19, 22, tzinfo=UTC)
    assert row["consumption_value"] > 0
    assert json.loads(row["extra"])["asset_number"] == "FRN-2"
    assert not found.withdrawn.any()


def test_a_reading_when_disabled_no_longer_counts(oracle: OracleServer) -> None:
    number = 300_300_000_000_000 + 24 * 64 * (date(2026, 10, 9) - date(2020, 1, 1)).days
    oracle.book.change("meterReadings", number, {"DisabledFlag": True})
    found, rows = standard(oracle, "energy_consumption", Day(date(2026, 10, 9)))
    assert rows[found.withdrawn.to_numpy()]["source_key"].tolist() == [str(number)]


def test_a_meter_when_its_unit_is_not_configured_is_rejected_with_its_code(oracle: OracleServer) -> None:
    with pytest.raises(AssertionError, match="HEX1-STEAM|FRN2-GAS"):
        standard(oracle, "energy_consumption", Day(DAY), meters={})


def test_work_orders_when_standardised_have_their_times_and_states(oracle: OracleServer) -> None:
    _, rows = standard(oracle, "maintenance_schedule", Day(DAY))
    assert len(rows) == 3
    row = rows.iloc[0]
    assert row["company"] == "M100"
    assert row["planned_start"] == datetime(2026, 11, 20, 6, tzinfo=UTC)
    assert (row["work_order_id"], row["status"]) == ("MWO-40240", "ORA_COMPLETED")


def test_assets_when_standardised_are_all(oracle: OracleServer) -> None:
    _, rows = standard(oracle, "assets", Whole())
    assert len(rows) == 24
    row = rows[rows["asset_id"] == "HEX-1"].iloc[0]
    assert (row["name"], row["asset_type"], row["status"]) == ("Heat exchanger HEX-1", "ITEM-HEX", "ACTIVE")


def test_journal_lines_when_standardised_balance_in_each_journal(oracle: OracleServer) -> None:
    _, rows = standard(
        oracle,
        "financial_transactions",
        Day(DAY),
        account_segments=["company", "cost_center", "account", "project", "spare"],
    )
    assert len(rows) == 52
    assert rows.groupby("transaction_id")["amount"].sum().tolist() == [Decimal(0)] * 4
    assert set(rows["debit_credit"]) == {"debit", "credit"}
    assert set(rows["currency"]) <= {"EUR", "USD"}
    assert set(rows["account"]) <= {"610100", "610200", "615300", "151000", "201500", "331000"}
    assert set(rows["cost_center"]) <= {"1510", "1520", "4711", "0000"}


def test_journal_lines_when_segments_are_unknown_keep_the_combination(oracle: OracleServer) -> None:
    _, rows = standard(oracle, "financial_transactions", Day(DAY))
    assert rows["account"].str.startswith("01-").all()
    assert rows["cost_center"].isna().all()
