"""Every schema of a standard ERP table takes right rows and catches each planted fault."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pandera.errors
import pytest
from pandera.pandas import Column

from gl_assets.erp.tables import TABLES, FactTable, MasterTable
from gl_assets.schemas.erp_columns import AMOUNT, DAY, INSTANT, KIND, SCORE, TEXT, WEIGHT
from tests.unit.gl_assets.erp.standard_rows import right_rows

EVERY = ("system", "source_key", "company", "changed_at", "ingested_at", "quality_score", "extra")
FIXED = {
    "energy_consumption": "plant_code energy_type consumption_value consumption_unit consumption_id meter_id location_code transaction_date period_start period_end cost_center",
    "production_schedule": "plant_code order_id order_type material quantity unit planned_start planned_end actual_start actual_end work_center status",
    "purchase_orders": "order_id item supplier material quantity unit net_amount currency plant_code order_date delivery_date cost_center",
    "maintenance_schedule": "work_order_id asset_id description work_type priority planned_start planned_end status",
    "financial_transactions": "transaction_id line account amount currency debit_credit posting_date cost_center description",
    "cost_allocation": "allocation_id cost_center amount currency allocation_base period_start period_end",
    "cost_centers": "cost_center name responsible valid_from valid_to profit_center",
    "assets": "asset_id name asset_type location_code status commissioned_at",
    "materials": "material description base_unit material_group",
    "workforce": "worker_id position cost_center location_code fte valid_from valid_to",
}
"""Names that other programs read."""


def planted(table: MasterTable) -> list[tuple[str, Any]]:
    """Return (column, value) of every fault that the columns of a table can have."""
    found: list[tuple[str, Any]] = []
    for name, column in table.schema.columns.items():
        if not column.nullable:
            found.append((name, None))
        if column.unique:
            found.append((name, "k1"))
        found += [(name, value) for value in _of_kind(name, column)]
    starts = [name for name in table.columns if name.endswith(("_start", "_from"))]
    return found + [(name, _LATER[table.schema.columns[name].dtype.type]) for name in starts]


_LATER: dict[Any, Any] = {DAY: date(2027, 1, 1), INSTANT: datetime(2027, 1, 1, tzinfo=UTC)}
_BAD_NUMBERS = {"consumption_value": "-1", "quantity": "-0.5", "fte": "2.5"}


def _of_kind(name: str, column: Column) -> list[Any]:
    kind = (column.metadata or {}).get(KIND)
    if kind == "currency":
        return ["EURO", "XXX", "eur", ""]
    if kind in ("unit", "physical_unit"):
        return ["no unit", "", *(["{box}"] if kind == "physical_unit" else [])]
    if name == "debit_credit":
        return ["S", "Debit"]
    if column.dtype.type == SCORE:
        return [100.5, -0.1]
    return [Decimal(_BAD_NUMBERS[name])] if name in _BAD_NUMBERS else []


PLANTED = [(table.name, column, value) for table in TABLES.values() for column, value in planted(table)]


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_schema_when_rows_are_right_then_they_pass(table: MasterTable) -> None:
    table.schema.validate(right_rows(table, 3), lazy=True)
    table.schema.validate(right_rows(table, 0), lazy=True)


@pytest.mark.parametrize(("table", "column", "value"), PLANTED, ids=[f"{t}.{c}={v!s:.20}" for t, c, v in PLANTED])
def test_schema_when_a_bad_value_is_planted_then_it_is_caught(table: str, column: str, value: Any) -> None:
    rows = right_rows(TABLES[table], 3)
    values = [value, *rows[column].tolist()[1:]]
    rows[column] = pd.Series(values, dtype=rows[column].dtype)
    with pytest.raises(pandera.errors.SchemaErrors):
        TABLES[table].schema.validate(rows, lazy=True)


def test_every_table_has_planted_faults_of_each_kind() -> None:
    for table in TABLES.values():
        columns = {column for name, column, _ in PLANTED if name == table.name}
        kinds = {name for name, column in table.schema.columns.items() if (column.metadata or {}).get(KIND)}
        required = {name for name, column in table.schema.columns.items() if not column.nullable}
        assert kinds | required <= columns


@pytest.mark.parametrize(
    ("table", "amount", "needed"),
    [
        ("production_schedule", "quantity", "unit"),
        ("purchase_orders", "quantity", "unit"),
        ("purchase_orders", "net_amount", "currency"),
    ],
)
def test_schema_when_an_amount_lacks_its_unit_then_it_is_caught(table: str, amount: str, needed: str) -> None:
    rows = right_rows(TABLES[table], 2)
    rows[needed] = pd.Series([None, rows[needed][1]], dtype=TEXT)
    with pytest.raises(pandera.errors.SchemaErrors, match=f"must have a {needed}"):
        TABLES[table].schema.validate(rows, lazy=True)
    rows[amount] = pd.Series([None, rows[amount][1]], dtype=AMOUNT)
    TABLES[table].schema.validate(rows, lazy=True)


def test_tables_have_the_fixed_columns() -> None:
    assert FIXED.keys() == TABLES.keys()
    for name, table in TABLES.items():
        assert {*EVERY, *FIXED[name].split()} <= set(table.columns)
        assert set(table.columns) - {*EVERY, *FIXED[name].split()} <= {"business_date"}


def test_tables_are_described() -> None:
    for table in TABLES.values():
        assert f"erp.{table.name}" in table.description
        assert all(column.description for column in table.schema.columns.values())
        weights = [(column.metadata or {}).get(WEIGHT, 0.0) for column in table.schema.columns.values()]
        assert sum(weights) == pytest.approx(1.0), f"{table.name}: what a row should have adds up to its score"
        if isinstance(table, FactTable):
            assert table.schema.columns[table.business_date].dtype.type == DAY
            assert not table.schema.columns[table.business_date].nullable
        for column in (table.chart.label, table.chart.amount, table.chart.unit):
            assert column is None or column in table.columns
