"""Judgements of standard rows: each is broken by the rows that it is for, and by no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from gl_assets.erp.tables import TABLES, FactTable
from gl_assets.transforms.erp.record_rules import RecordRules, record_rules
from gl_assets.transforms.erp.row_rules import RowRule, in_order, needs, of_table
from gl_assets.transforms.erp.table_rules import Metered
from tests.unit.gl_assets.erp.standard_rows import END, START, right_rows

DAY = date(2026, 11, 20)
"""The business day of right rows; their pull was at START."""
LATER = START + timedelta(days=3)


def rules_of(table: str) -> RecordRules:
    held = TABLES[table]
    day = held.business_date if isinstance(held, FactTable) else None
    return record_rules(table, held.schema, held.checks, day)


def every(table: str) -> dict[str, RowRule]:
    found = rules_of(table)
    return {rule.says: rule for rule in (*found.validity, *found.consistency, *found.uniqueness)}


def rows_with(table: str, **columns: list[Any]) -> pd.DataFrame:
    """Return right rows, of keys of their own, with some columns given."""
    count = len(next(iter(columns.values())))
    rows = right_rows(TABLES[table], count)
    for name in ("meter_id", "order_id", "transaction_id", "allocation_id", "line"):
        if name in rows:
            rows[name] = pd.Series([f"{name}{n}" for n in range(count)], dtype=rows[name].dtype)
    return rows.assign(**{name: pd.Series(held, dtype=rows[name].dtype) for name, held in columns.items()})


def decimals(*texts: str) -> list[Decimal]:
    return [Decimal(text) for text in texts]


@pytest.mark.parametrize("table", TABLES)
def test_right_rows_when_judged_break_nothing(table: str) -> None:
    rows = right_rows(TABLES[table], 1)
    if table == "financial_transactions":
        rows = rows.assign(amount=pd.Series([Decimal(0)], dtype=rows["amount"].dtype))
    assert [says for says, rule in every(table).items() if rule.broken(rows).any()] == []


@pytest.mark.parametrize("table", TABLES)
def test_rows_when_nothing_optional_is_known_break_nothing(table: str) -> None:
    rows = right_rows(TABLES[table], 1)
    for name, column in TABLES[table].schema.columns.items():
        if column.nullable:
            rows[name] = pd.Series([None], dtype=rows[name].dtype)
    if table == "financial_transactions":
        rows["amount"] = pd.Series([Decimal(0)], dtype=rows["amount"].dtype)
    assert [says for says, rule in every(table).items() if rule.broken(rows).any()] == []
    assert not any(rule.broken(rows[:0]).any() for rule in every(table).values())


BROKEN: list[tuple[str, dict[str, list[Any]], list[bool], str]] = [
    ("purchase_orders", {"delivery_date": [date(2206, 11, 20), date(2026, 12, 1)]}, [True, False], "dates lie at most"),
    ("purchase_orders", {"delivery_date": [date(1826, 11, 20), date(2026, 12, 1)]}, [True, False], "dates lie at most"),
    ("assets", {"commissioned_at": [datetime(1899, 1, 1, tzinfo=UTC), START]}, [True, False], "dates lie at most"),
    ("energy_consumption", {"period_end": [LATER, END]}, [True, False], "period_end does not lie after the pull"),
    ("energy_consumption", {"period_end": [LATER, END]}, [True, False], "period_end lies on the transaction_date"),
    ("energy_consumption", {"period_end": [START - timedelta(hours=25), datetime(2026, 11, 21, 13, tzinfo=UTC)]},
     [True, False], "period_end lies on the transaction_date"),
    ("production_schedule", {"actual_start": [LATER, START]}, [True, False], "actual_start does not lie after"),
    ("production_schedule", {"actual_end": [LATER, START]}, [True, False], "actual_end does not lie after"),
    ("production_schedule", {"actual_start": [None, START]}, [True, False], "actual_end comes with actual_start"),
    ("production_schedule", {"planned_start": [None, START]}, [True, False], "planned_end comes with planned_start"),
    ("maintenance_schedule", {"planned_start": [None, START]}, [True, False], "planned_end comes with planned_start"),
    ("purchase_orders", {"delivery_date": [date(2026, 11, 19), DAY]}, [True, False], "order_date does not lie after"),
    ("purchase_orders", {"net_amount": decimals("1.005", "1.05")}, [True, False], "No amount has more decimals"),
    ("cost_allocation", {"currency": ["JPY", "KWD"]}, [True, False], "No amount has more decimals"),
    ("financial_transactions", {"amount": decimals("-1", "1")}, [True, False], "the sign of amount"),
    ("financial_transactions", {"amount": decimals("-1", "1"), "debit_credit": ["credit", "credit"]},
     [False, True], "the sign of amount"),
    ("financial_transactions", {"amount": decimals("1", "-1", "2"), "transaction_id": ["a", "a", "b"]},
     [False, False, True], "The amounts of each journal"),
    ("financial_transactions", {"amount": decimals("0.1", "0.2", "-0.3"), "transaction_id": ["a"] * 3},
     [False] * 3, "The amounts of each journal"),
    ("energy_consumption", {"meter_id": ["a", "a", "b"], "consumption_unit": ["kW.h", "MW.h", "MW.h"]},
     [True, True, False], "No meter has amounts in more than one unit"),
    ("energy_consumption", {"meter_id": ["a", "a", "b"]}, [True, True, False], "No meter has two documents"),
    ("purchase_orders", {"order_id": ["a", "a", "b"]}, [True, True, False], "No item of an order stands twice"),
    ("purchase_orders", {"order_id": ["a", "a"], "item": [None, None]}, [False, False], "No item of an order"),
    ("cost_allocation", {"allocation_id": ["a", "a"]}, [True, True], "No two rows allocate the same"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "columns", "broken", "says"), BROKEN, ids=[f"{t}: {s} {n}" for n, (t, _, _, s) in enumerate(BROKEN)]
)
def test_a_rule_when_broken_finds_the_rows_that_break_it(
    table: str, columns: dict[str, list[Any]], broken: list[bool], says: str
) -> None:
    rule = next(rule for said, rule in every(table).items() if said.startswith(says))
    assert rule.broken(rows_with(table, **columns)).tolist() == broken


def test_every_rule_has_rows_that_break_it() -> None:
    for table in TABLES:
        broken = {says for name, _, found, says in BROKEN if name == table and any(found)}
        once = {rule.says for rule in rules_of(table).uniqueness}
        told = [says for says in every(table) if not any(says.startswith(one) for one in broken)]
        # what stands once is the same rule of each table, and so are dates
        assert [says for says in told if says not in once and "dates lie" not in says] in ([], _DECIMALS), table


_DECIMALS = ["No amount has more decimals than its currency (ISO 4217): more are likelier a wrong factor than cents."]


@pytest.mark.parametrize(
    ("rule", "says"),
    [(lambda: in_order("a", "b"), "a does not lie after b"), (lambda: needs("a", "b"), "a comes with b")],
)
def test_a_rule_says_what_is_true_of_rows_that_keep_it(rule: Callable[[], RowRule], says: str) -> None:
    assert rule().says == says


def test_a_missing_meter_when_looked_for_in_rows_blames_none() -> None:
    rows = right_rows(TABLES["energy_consumption"], 2)
    assert not of_table(Metered("m", "says", "meter_id")).broken(rows).any()
