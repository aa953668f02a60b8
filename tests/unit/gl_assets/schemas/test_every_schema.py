"""Of every schema in `gl_assets.schemas`: no rule, no column and no key is declared that a planted fault gets past.

Schemas are found by themselves, and so are their rules: a value is planted in a right row until the rule says no. What
no value can break checks nothing: a frame that is validated lazily, or a depth that leaves out data, would pass every
rule in silence.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pandera.errors
import pandera.pandas as pa
import pytest
from pandera.config import ValidationDepth, get_config_context

import gl_assets.schemas
from tests.unit.gl_assets.schemas.right_rows import RIGHT

WHOLE = "the rows together"
Rule = tuple[str, str]
"""Column, or WHOLE, and what the rule is called in a failure."""


@cache
def schemas() -> dict[str, pa.DataFrameSchema]:
    """Return module -> schema; a module without one, such as what schemas share, has none."""
    found: dict[str, pa.DataFrameSchema] = {}
    for module in pkgutil.iter_modules(gl_assets.schemas.__path__):
        for value in vars(importlib.import_module(f"gl_assets.schemas.{module.name}")).values():
            if isinstance(value, pa.DataFrameSchema):
                found[module.name] = value
            elif isinstance(value, type) and issubclass(value, pa.DataFrameModel) and value is not pa.DataFrameModel:
                found[module.name] = value.to_schema()
    return found


NAMES = sorted(schemas())


def _called(check: pa.Check) -> str:
    return str(check.error or check.name)


def broken(schema: pa.DataFrameSchema, rows: pd.DataFrame) -> set[Rule]:
    """Return the rules that rows break, as a lazy validation reports them."""
    try:
        schema.validate(rows, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        columns = np.where(cases["schema_context"] == "Column", cases["column"].astype(str), WHOLE)
        return set(zip(columns.tolist(), cases["check"].astype(str), strict=True))
    return set()


def with_value(rows: pd.DataFrame, column: str, row: int, value: Any) -> pd.DataFrame | None:
    """Return rows with one value planted in the column's own type; None where the type has no such value."""
    values = [*rows[column].tolist()]
    values[row] = value
    dtype = rows[column].dtype
    if isinstance(dtype, pd.CategoricalDtype):
        dtype = pd.CategoricalDtype(sorted({held for held in values if isinstance(held, str)}))
    try:
        return rows.assign(**{column: pd.Series(values, index=rows.index, dtype=dtype)})
    except (TypeError, ValueError, ArithmeticError):
        return None


def candidates(held: Any) -> Iterator[Any]:
    """Yield values that a value may be replaced by: of its kind, and likely wrong somewhere."""
    if isinstance(held, str):
        yield from ("", " ", "no such value", "a\nb", "x" * 300, '{"a": NaN}', "XXX", "debit", "POOR", "outlier")
    elif isinstance(held, bool | np.bool_):
        yield "neither"
    elif isinstance(held, Decimal | int | float | np.number) and not pd.isna(held):
        number = Decimal if isinstance(held, Decimal) else type(held)
        yield from (number(value) for value in (-1, 0, 1, 2, 3, 26, 1000))
        if isinstance(held, float):
            yield from (np.nan, np.inf, -np.inf, 0.5, held + 0.01)
    elif isinstance(held, list):
        yield from ([], [" "])
    elif hasattr(held, "year") and not pd.isna(held):
        yield from (held + timedelta(seconds=61), held - timedelta(days=900), held + timedelta(days=900), str(held))
    else:
        yield from ("a reason", 1.0, pd.Timestamp("2026-01-01T00:00:30Z"))


def breaking(rows: pd.DataFrame, column: str, check: pa.Check, *, whole: bool) -> pd.DataFrame | None:
    """Return right rows with one value of a column planted that a check says no to; None where none is found.

    The check is asked by itself, which is quick; that the schema asks it, too, is what a validation has to show.
    """
    for row in range(len(rows)):
        held = rows[column].tolist()[row]
        others = [other for other in rows[column].tolist() if other is not held]
        for value in [*others, *candidates(held), None]:
            wrong = with_value(rows, column, row, value)
            if wrong is not None and not _passes(check, wrong if whole else wrong[column]):
                return wrong
    return None


def _passes(check: pa.Check, values: Any) -> bool:
    try:
        return bool(check(values).check_passed)
    except (TypeError, ValueError):  # a value that the rule cannot look at is none that it finds wrong
        return True


def planted(name: str) -> Iterator[tuple[Rule, pd.DataFrame | None]]:
    """Yield every rule of a schema with rows that break it."""
    schema, rows = schemas()[name], RIGHT[name]()
    for column, declared in schema.columns.items():
        for check in declared.checks:
            yield (column, _called(check)), breaking(rows, column, check, whole=False)
    for check in schema.checks:
        wrong = (breaking(rows, column, check, whole=True) for column in schema.columns)
        twice = pd.concat([rows, rows], ignore_index=True)
        found = next((one for one in wrong if one is not None), None)
        yield (WHOLE, _called(check)), twice if found is None and not _passes(check, twice) else found


def test_every_schema_has_right_rows() -> None:
    missing = schemas().keys() - RIGHT.keys()
    assert not missing, f"add right rows of {', '.join(sorted(missing))} to tests/unit/gl_assets/schemas/right_rows.py"
    assert RIGHT.keys() == schemas().keys()


@pytest.mark.parametrize("name", NAMES)
def test_right_rows_when_validated_lazily_break_nothing(name: str) -> None:
    assert broken(schemas()[name], RIGHT[name]()) == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_when_a_value_is_planted_that_breaks_it_says_so(name: str) -> None:
    found = dict(planted(name))
    unbroken = [rule for rule, wrong in found.items() if wrong is None]
    assert unbroken == [], "no planted value breaks these: add one to `candidates`, or the rule checks nothing"
    silent = [rule for rule, wrong in found.items() if wrong is not None and rule not in broken(schemas()[name], wrong)]
    assert silent == [], "the schema does not ask these, or says nothing when it is validated lazily"


@pytest.mark.parametrize("name", NAMES)
def test_every_column_when_it_must_not_be_missing_says_so(name: str) -> None:
    schema, rows = schemas()[name], RIGHT[name]()
    required = {column for column, declared in schema.columns.items() if not declared.nullable}
    # whole numbers are the only type that has no missing value
    required -= {column for column in required if rows[column].dtype.kind in "iu"}
    for column in required:
        emptied = with_value(rows, column, 0, None)
        assert emptied is not None
        rows = emptied
    said = broken(schema, rows)
    assert {column for column in required if (column, "not_nullable") not in said} == set()


@pytest.mark.parametrize("name", NAMES)
def test_every_column_when_it_is_of_another_type_or_not_there_says_so(name: str) -> None:
    schema, rows = schemas()[name], RIGHT[name]()
    absent = {str(check) for _, check in broken(schema, rows.iloc[:, :0])}
    assert "column_in_dataframe" in absent
    assert len(_missing(schema, rows.iloc[:, :0])) == len(schema.columns)
    typed = [column for column in schema.columns if rows[column].dtype != object]
    other = rows.assign(**{column: pd.Series([complex(1, 1)] * len(rows)) for column in typed})
    said = {column for column, check in broken(schema, other) if check.startswith("dtype")}
    assert set(typed) - said == set()


def _missing(schema: pa.DataFrameSchema, rows: pd.DataFrame) -> set[str]:
    with pytest.raises(pandera.errors.SchemaErrors) as caught:
        schema.validate(rows, lazy=True)
    cases = caught.value.failure_cases
    return set(cases.loc[cases["check"] == "column_in_dataframe", "failure_case"])


@pytest.mark.parametrize("name", NAMES)
def test_every_key_when_it_stands_twice_says_so(name: str) -> None:
    schema, rows = schemas()[name], RIGHT[name]()
    said = {check for _, check in broken(schema, pd.concat([rows, rows], ignore_index=True))}
    unique = [column for column in schema.columns.values() if column.unique]
    named = {_called(check) for check in schema.checks if "unique" in _called(check)}
    expected = {"field_uniqueness"} if unique else {"multiple_fields_uniqueness"} if schema.unique else named
    assert expected
    assert expected <= said


def test_values_are_validated_and_not_types_alone() -> None:
    assert get_config_context().validation_enabled
    assert get_config_context().validation_depth in (None, ValidationDepth.SCHEMA_AND_DATA)
