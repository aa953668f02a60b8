"""Splitting standard rows of an ERP into good ones and rejected ones, each with all its reasons. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pa

from gl_assets.schemas.erp_columns import NEEDS

Told = Mapping[str, npt.NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows that keep every rule, and the reasons of those that do not, by the same index."""

    good: pd.DataFrame
    reasons: pd.Series
    """One list of sentences per rejected row: all that is wrong with it, what was found first standing first."""


def judge(frame: pd.DataFrame, schema: pa.DataFrameSchema, problems: pd.Series, told: Told | None = None) -> Judged:
    """Return the rows of `frame` that fulfil `schema` and have no `problems`.

    Args:
        frame: Standard rows; the index is unique, and counts from 0 the rows that `told` is of.
        schema: Columns and rules.
        problems: By the index of the rows that have any, the list of what was found wrong before; those of rows that
            are not in `frame` do not count.
        told: Column -> where `problems` say what is wrong with it: a value that could not be
            understood is null, and that it is missing need not be said as well.
    """
    reasons: dict[object, list[str]] = {
        index: list(found) for index, found in problems[problems.index.isin(frame.index)].items()
    }
    try:
        good = schema.validate(frame, lazy=True)
    except pa.errors.SchemaErrors as error:
        for index, reason in _broken_rules(error, _Explained(schema, told or {}, set(reasons))):
            found = reasons.setdefault(index, [])
            if reason not in found:
                found.append(reason)
        good = None
    if reasons or good is None:
        # once more: what leaves may have been what a row repeated, and types are made by validation
        good = schema.validate(frame[~frame.index.isin(list(reasons))])
    return Judged(good, pd.Series(reasons, dtype="object"))


@dataclass(frozen=True, slots=True)
class _Explained:
    """Which broken rules the problems of a row have explained already."""

    schema: pa.DataFrameSchema
    told: Told
    rows: set[object]

    def covers(self, index: int, column: object, check: object) -> bool:
        """Return whether a rule that a row breaks says nothing new."""
        if index not in self.rows:
            return False
        name = str(column) if check == "not_nullable" else self._needed().get(str(check))
        return name is not None and name in self.told and bool(self.told[name][index])

    def _needed(self) -> dict[str, str]:
        return {str(rule.error): rule.statistics[NEEDS] for rule in self.schema.checks if NEEDS in rule.statistics}


def _broken_rules(error: pa.errors.SchemaErrors, explained: _Explained) -> Iterator[tuple[int, str]]:
    """Yield index and sentence of every rule that a row breaks.

    Raises:
        pandera.errors.SchemaErrors: The fault is one of columns or types: ours, not a row's.
    """
    cases = error.failure_cases
    if cases["index"].isna().any():
        raise error
    # a rule over several columns is reported once for each of them: the sentence alone, without a column's value
    whole = cases["schema_context"] == "DataFrameSchema"
    for index, column, check, case, of_row in zip(
        cases["index"], cases["column"], cases["check"], cases["failure_case"], whole, strict=True
    ):
        if not explained.covers(index, column, check):
            yield index, str(check) if of_row else _sentence(column, check, case)


def _sentence(column: object, check: object, case: object) -> str:
    if check == "not_nullable":
        return f"{column} is missing"
    if check == "field_uniqueness":
        return f"{column} {str(case)[:60]!r} occurs more than once"
    return f"{column}: {check} (found {str(case)[:60]})"
