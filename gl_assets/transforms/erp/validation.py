"""Splitting standard rows of an ERP into good ones and rejected ones, each with its reasons. Frame in, frames out."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
import pandera.pandas as pa


@dataclass(frozen=True, slots=True)
class Judged:
    """The rows that keep every rule, and the reasons of those that do not, by the same index."""

    good: pd.DataFrame
    reasons: pd.Series
    """One list of sentences per rejected row."""


def judge(frame: pd.DataFrame, schema: pa.DataFrameSchema, problems: pd.Series) -> Judged:
    """Return the rows of `frame` that fulfil `schema` and have no `problems`.

    Args:
        frame: Standard rows; the index is unique.
        schema: Columns and rules.
        problems: By the index of the rows that have any, the list of what was found wrong before; those of rows that
            are not in `frame` do not count.
    """
    told = problems[problems.index.isin(frame.index)]
    reasons: dict[object, list[str]] = {index: list(found) for index, found in told.items()}
    # a row that could not be understood has nulls whose absence is already explained
    sound = frame[~frame.index.isin(list(reasons))]
    try:
        good = schema.validate(sound, lazy=True)
    except pa.errors.SchemaErrors as error:
        for index, reason in _broken_rules(error):
            found = reasons.setdefault(index, [])
            if reason not in found:
                found.append(reason)
        good = schema.validate(frame[~frame.index.isin(list(reasons))])
    return Judged(good, pd.Series(reasons, dtype="object"))


def _broken_rules(error: pa.errors.SchemaErrors) -> list[tuple[object, str]]:
    """Return index and sentence of every rule that a row breaks.

    Raises:
        pandera.errors.SchemaErrors: The fault is one of columns or types: ours, not a row's.
    """
    cases = error.failure_cases
    if cases["index"].isna().any():
        raise error
    # a rule over several columns is reported once for each of them: the sentence alone, without a column's value
    whole = cases["schema_context"] == "DataFrameSchema"
    return [
        (index, str(check) if of_row else _sentence(column, check, case))
        for index, column, check, case, of_row in zip(
            cases["index"], cases["column"], cases["check"], cases["failure_case"], whole, strict=True
        )
    ]


def _sentence(column: object, check: object, case: object) -> str:
    if check == "not_nullable":
        return f"{column} is missing"
    if check == "field_uniqueness":
        return f"{column} {str(case)[:60]!r} occurs more than once"
    return f"{column}: {check} (found {str(case)[:60]})"
