"""Columns that ERP tables have in common: their types, and what a column of each kind must hold.

The kind (`unit`, `currency`) and the weight of a column stand in its `metadata`: the mapping reads a raw value by them,
so that a table is declared once. No table of its own lives here.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
import pyarrow as pa
from pandera.pandas import Check, Column

from gl_assets.transforms.values.currencies import is_currency
from gl_assets.transforms.values.unit_codes import is_ucum

TEXT = pd.ArrowDtype(pa.string())
INSTANT = pd.ArrowDtype(pa.timestamp("us", tz="UTC"))
DAY = pd.ArrowDtype(pa.date32())
AMOUNT = pd.ArrowDtype(pa.decimal128(38, 9))
SCORE = pd.ArrowDtype(pa.float32())

WEIGHT = "weight"
"""Key of a column's metadata: what its absence takes from the completeness of 1."""
KIND = "kind"
"""Key of a column's metadata: `unit` or `currency`; a column without it is what its type says."""
LONGEST_ID = 200
"""Characters of an id: more is a text that stands in the wrong field."""
ID = f"one line of at most {LONGEST_ID} characters"
NEEDS = "needs"
"""Key of a rule's statistics: the column whose absence breaks it."""


def text(description: str, *, required: bool = False, weight: float = 0.0, check: Check | None = None) -> Column:
    """Return a column of text; a required one must not be missing."""
    return _column(TEXT, description, required, weight, checks=check)


def identifier(description: str, *, weight: float = 0.0) -> Column:
    """Return a column of ids of the system, which must not be missing: one line, not longer than any system's."""
    return _column(TEXT, description, True, weight, checks=Check(_is_id, error=f"an id must be {ID}"))


def _is_id(column: pd.Series) -> pd.Series:
    texts = column.str
    return (texts.len() <= LONGEST_ID) & ~texts.contains(r"[\x00-\x1f\x7f]", regex=True)


def amount(description: str, *, required: bool = False, weight: float = 0.0, check: Check | None = None) -> Column:
    """Return a column of decimals, exact to nine places."""
    return _column(AMOUNT, description, required, weight, checks=check)


def day(description: str, *, required: bool = False, weight: float = 0.0) -> Column:
    """Return a column of dates, which belong to the clock of the system."""
    return _column(DAY, description, required, weight)


def instant(description: str, *, required: bool = False, weight: float = 0.0) -> Column:
    """Return a column of instants, UTC."""
    return _column(INSTANT, description, required, weight)


def unit(description: str, *, required: bool = False, weight: float = 0.0, physical: bool = False) -> Column:
    """Return a column of UCUM codes; `physical` refuses what only counts, such as `{box}`."""
    known = Check(lambda column: is_ucum(column, physical=physical), error="a unit must be a UCUM code")
    return _column(TEXT, description, required, weight, checks=known, kind="physical_unit" if physical else "unit")


def currency(description: str, *, required: bool = False, weight: float = 0.0) -> Column:
    """Return a column of ISO 4217 currency codes."""
    known = Check(is_currency, error="a currency must be one of ISO 4217")
    return _column(TEXT, description, required, weight, checks=known, kind="currency")


def not_negative(what: str) -> Check:
    """Return the rule that `what` is at least 0."""
    return Check.ge(0, error=f"{what} must not be negative")


def ordered(start: str, end: str, sentence: str, *, strictly: bool = False) -> Check:
    """Return the rule of a table that `start` does not lie after `end` where both are known."""

    def holds(frame: pd.DataFrame) -> pd.Series:
        first, last = frame[start], frame[end]
        return first.isna() | last.isna() | (first < last if strictly else first <= last)

    return Check(holds, error=sentence, name=f"{start}_before_{end}")


def together(value: str, needed: str, sentence: str) -> Check:
    """Return the rule of a table that a row with `value` has `needed` as well."""
    return Check(
        lambda frame: frame[value].isna() | frame[needed].notna(),
        error=sentence,
        name=f"{value}_has_{needed}",
        statistics={NEEDS: needed},
    )


def erp_columns(fields: dict[str, Column], *, key: str = "Key in the system; unique within it") -> dict[str, Column]:
    """Return the columns of a standard table: the fields between those that every one has, in their order."""
    return {
        "system": text("System, as the configuration names it", required=True),
        "source_key": Column(TEXT, unique=True, description=key),
        "company": text("Company code"),
        **fields,
        "changed_at": instant("When the record changed, as far as was seen"),
        "ingested_at": instant("When this version was pulled", required=True),
        "quality_score": Column(
            SCORE,
            Check.in_range(0, 100, error="a score must lie between 0 and 100"),
            description="0 to 100: validity 40, completeness 30, consistency 20, uniqueness 10",
        ),
        "extra": text("JSON object of mapped fields beyond these", required=True),
    }


def _column(
    kind_of_values: pd.ArrowDtype,
    description: str,
    required: bool,
    weight: float,
    *,
    checks: Check | None = None,
    kind: str | None = None,
) -> Column:
    metadata: dict[str, Any] = {}
    if weight:
        metadata[WEIGHT] = weight
    if kind:
        metadata[KIND] = kind
    return Column(kind_of_values, checks, nullable=not required, description=description, metadata=metadata or None)
