"""What a record of each standard table is scored by: the rules that take from its validity, consistency, uniqueness.

What a record needs at all is its table's schema: a record that breaks that is rejected. These rules are judgements: a
date 30 years ahead, a debit that is negative, an order delivered before it was placed are likelier wrong than right,
but the row is worth having. Adding one is a line here; what it takes is told in `gl_assets.transforms.erp.scoring`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pandera.pandas import DataFrameSchema

from gl_assets.transforms.erp.row_rules import (
    RowRule,
    dated_columns,
    has_happened,
    in_order,
    needs,
    of_table,
    on_its_day,
    plausible_dates,
    side_fits_sign,
)
from gl_assets.transforms.erp.table_rules import Balanced, InCurrency, Once, OneValue, TableRule


@dataclass(frozen=True, slots=True)
class RecordRules:
    """The rules of one table by the dimension that they take from."""

    validity: tuple[RowRule, ...] = ()
    consistency: tuple[RowRule, ...] = ()
    uniqueness: tuple[RowRule, ...] = ()


_VALID: dict[str, tuple[RowRule, ...]] = {
    "energy_consumption": (has_happened("period_end"),),
    "production_schedule": (has_happened("actual_start"), has_happened("actual_end")),
}
"""Table -> what its values are likely to be, beyond dates and decimals, which every table is judged by."""

_CONSISTENT: dict[str, tuple[RowRule, ...]] = {
    "energy_consumption": (on_its_day("period_end", "transaction_date"),),
    "production_schedule": (needs("actual_end", "actual_start"), needs("planned_end", "planned_start")),
    "purchase_orders": (in_order("order_date", "delivery_date"),),
    "maintenance_schedule": (needs("planned_end", "planned_start"),),
    "financial_transactions": (side_fits_sign("amount", "debit_credit"),),
}
"""Table -> how fields of one row fit together."""


def record_rules(
    table: str, schema: DataFrameSchema, checks: Iterable[TableRule], business_date: str | None
) -> RecordRules:
    """Return the rules of a table.

    Args:
        table: Its name.
        schema: Its columns.
        checks: What is checked of its rows together, as far as it can be told of the rows of one part: without
            `Balanced` where a dataset reads no whole groups.
        business_date: The column with the business day; None for master data.
    """
    checks = tuple(checks)
    dated = dated_columns(schema)
    return RecordRules(
        validity=(
            *((plausible_dates(dated, business_date),) if dated else ()),
            *(of_table(rule) for rule in checks if isinstance(rule, InCurrency)),
            *_VALID.get(table, ()),
        ),
        consistency=(
            *(of_table(rule) for rule in checks if isinstance(rule, OneValue | Balanced)),
            *_CONSISTENT.get(table, ()),
        ),
        uniqueness=tuple(of_table(rule) for rule in checks if isinstance(rule, Once)),
    )
