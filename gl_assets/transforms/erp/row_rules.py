"""Rules that lower the score of the rows that break them, and reject none. Frame in, mask out; no row is looped over.

A rule takes a frame of a standard table (Arrow types, as its schema says) and returns where it is broken. What has no
value breaks nothing here: that is what completeness is for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pandera.pandas import DataFrameSchema

from gl_assets.schemas.erp_columns import DAY, INSTANT
from gl_assets.transforms.erp.table_rules import Balanced, InCurrency, Metered, Once, OneValue, TableRule
from gl_assets.transforms.values.currencies import currency_decimals

Mask = npt.NDArray[np.bool_]
Days = npt.NDArray[np.float64]

YEARS = {"before": 120, "after": 20}
"""Dates further from the business day are typing errors: plants are old, plans are not long."""
CLOCKS = 1.0
"""Days by which what has happened may lie after its pull: the zones of the earth, and clocks that go wrong."""
ZONES = 0.6
"""Days by which an instant of a business day may lie outside that day in UTC: zones reach from -12 to +14 hours."""
NO_DIFFERENCE = 0.0005
"""Half of the smallest minor unit of any currency."""

_MICROS = 86_400_000_000
_YEAR = 365.25


@dataclass(frozen=True, slots=True)
class RowRule:
    """One rule: the sentence that is true of the rows that keep it, and what finds those that do not."""

    says: str
    broken: Callable[[pd.DataFrame], Mask]


def dated_columns(schema: DataFrameSchema) -> list[str]:
    """Return the columns whose date is judged: not the stamps of the pull, nor the end of a validity.

    That is often the last day there is.
    """
    skipped = ("changed_at", "ingested_at", "valid_to")
    return [name for name, column in schema.columns.items() if column.dtype.type in (DAY, INSTANT)
            and name not in skipped]  # fmt: skip


def plausible_dates(columns: Sequence[str], business_date: str | None) -> RowRule:
    """Return the rule that no date lies where it can only be a typing error.

    Without a business day, dates are compared with the day of the pull.
    """

    def broken(rows: pd.DataFrame) -> Mask:
        origin = days_of(rows[business_date or "ingested_at"])
        found = np.zeros(len(rows), bool)
        for name in columns:
            away = days_of(rows[name]) - origin
            found |= (away < -YEARS["before"] * _YEAR) | (away > YEARS["after"] * _YEAR)
        return found

    before, after = YEARS["before"], YEARS["after"]
    return RowRule(f"dates lie at most {before} years before and {after} years after the business day", broken)


def has_happened(column: str) -> RowRule:
    """Return the rule that what a column tells of lies before its pull."""
    return RowRule(
        f"{column} does not lie after the pull",
        lambda rows: days_of(rows[column]) > days_of(rows["ingested_at"]) + CLOCKS,
    )


def on_its_day(column: str, business_date: str) -> RowRule:
    """Return the rule that an instant lies on the business day, in whatever zone."""

    def broken(rows: pd.DataFrame) -> Mask:
        away = days_of(rows[column]) - days_of(rows[business_date])
        return np.asarray((away < -ZONES) | (away > 1 + ZONES))

    return RowRule(f"{column} lies on the {business_date}", broken)


def in_order(first: str, last: str) -> RowRule:
    """Return the rule that one date does not lie after another."""
    return RowRule(f"{first} does not lie after {last}", lambda rows: days_of(rows[first]) > days_of(rows[last]))


def needs(column: str, needed: str) -> RowRule:
    """Return the rule that a row with one value has another as well."""
    return RowRule(
        f"{column} comes with {needed}",
        lambda rows: (rows[column].notna() & rows[needed].isna()).to_numpy(dtype=bool),
    )


def side_fits_sign(amount: str, side: str) -> RowRule:
    """Return the rule that a debit is not negative and a credit not positive."""

    def broken(rows: pd.DataFrame) -> Mask:
        amounts = _numbers(rows[amount])
        is_credit = (rows[side] == "credit").to_numpy(dtype=bool, na_value=False)
        return np.asarray(np.where(is_credit, amounts > 0, amounts < 0))

    return RowRule(f"the sign of {amount} is that of its {side}", broken)


def of_table(rule: TableRule) -> RowRule:
    """Return what a rule of a table says of each row."""
    return RowRule(rule.says, lambda rows: broken_rows(rule, rows))


@singledispatch
def broken_rows(rule: TableRule, rows: pd.DataFrame) -> Mask:
    """Return which rows break a rule of their table, among the rows given."""
    raise NotImplementedError(type(rule).__name__)


@broken_rows.register
def _once(rule: Once, rows: pd.DataFrame) -> Mask:
    columns = list(rule.columns)
    known = rows[columns].notna().all(axis=1).to_numpy(dtype=bool)
    return np.asarray(rows.duplicated(columns, keep=False).to_numpy(dtype=bool) & known)


@broken_rows.register
def _one_value(rule: OneValue, rows: pd.DataFrame) -> Mask:
    held: pd.Series = rows[rule.column].groupby([rows[name] for name in rule.per]).transform("nunique")
    return np.asarray(held.to_numpy(dtype=float, na_value=0) > 1)


@broken_rows.register
def _balanced(rule: Balanced, rows: pd.DataFrame) -> Mask:
    amounts = pd.Series(_numbers(rows[rule.amount]), index=rows.index)
    sums = amounts.groupby([rows[name] for name in rule.per], dropna=False).transform("sum")
    return np.asarray(np.abs(sums.to_numpy(dtype=float)) > NO_DIFFERENCE)


@broken_rows.register
def _in_currency(rule: InCurrency, rows: pd.DataFrame) -> Mask:
    amounts, currencies = _arrow(rows[rule.amount]), _arrow(rows[rule.currency])
    decimals, found = currency_decimals(), np.zeros(len(rows), bool)
    for currency in pc.unique(currencies).drop_null().to_pylist():
        more = pc.not_equal(pc.round(amounts, ndigits=decimals.get(currency, 0)), amounts)
        found |= _mask(pc.and_(more, pc.equal(currencies, currency)))
    return found


@broken_rows.register
def _metered(rule: Metered, rows: pd.DataFrame) -> Mask:
    # a meter that is not there has no row to blame: what is missing of a part is the check's to tell
    del rule
    return np.zeros(len(rows), bool)


def days_of(column: pd.Series) -> Days:
    """Return dates and instants as days since 1970, UTC; NaN where there is none."""
    array = _arrow(column)
    if pa.types.is_date32(array.type):
        return np.asarray(array.cast(pa.int32()).cast(pa.float64()).to_numpy(zero_copy_only=False))
    micros = array.cast(pa.int64()).cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.asarray(micros / _MICROS)


def _numbers(column: pd.Series) -> npt.NDArray[np.float64]:
    return np.asarray(_arrow(column).cast(pa.float64()).to_numpy(zero_copy_only=False))


def _arrow(column: pd.Series) -> pa.Array:
    array = pa.array(column)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _mask(found: pa.Array) -> Mask:
    return np.asarray(found.fill_null(False).to_numpy(zero_copy_only=False), dtype=bool)
