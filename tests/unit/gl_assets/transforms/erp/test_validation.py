"""Splitting standard rows into good and rejected ones, each with its reasons."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from gl_assets.erp.tables import TABLES
from gl_assets.transforms.erp.validation import judge
from tests.unit.gl_assets.erp.standard_rows import right_rows

TABLE = TABLES["energy_consumption"]
NOTHING = pd.Series({}, dtype="object")


def test_rows_when_they_break_rules_are_told_apart() -> None:
    rows = right_rows(TABLE, 4)
    rows.loc[0, "consumption_value"] = -rows.loc[0, "consumption_value"]
    rows.loc[1, "source_key"] = rows.loc[2, "source_key"]
    rows.loc[3, "period_start"] = rows.loc[3, "period_end"]
    judged = judge(rows, TABLE.schema, NOTHING)
    assert len(judged.good) == 0
    assert judged.reasons[0][0].startswith("consumption_value: a consumption must not be negative (found -")
    assert "occurs more than once" in judged.reasons[1][0]
    assert judged.reasons[3] == ["the period must start before it ends"]


def test_a_value_when_it_could_not_be_understood_is_not_said_to_be_missing_as_well() -> None:
    rows = right_rows(TABLE, 2)
    rows.loc[0, "consumption_value"] = None
    problems = pd.Series({0: ["MeasurementReadingInEntryUoM '12,5' is no number"]})
    judged = judge(rows, TABLE.schema, problems, {"consumption_value": np.array([True, False])})
    assert judged.reasons.to_dict() == problems.to_dict()
    assert list(judged.good["source_key"]) == [rows["source_key"][1]]


def test_a_row_when_several_things_are_wrong_has_all_of_them_as_reasons() -> None:
    rows = right_rows(TABLE, 2)
    rows.loc[0, "consumption_value"] = -rows.loc[0, "consumption_value"]
    rows.loc[0, "period_start"] = rows.loc[0, "period_end"]
    rows.loc[0, "consumption_unit"] = None
    problems = pd.Series({0: ["unit 'FURLONG' is not known"]})
    judged = judge(rows, TABLE.schema, problems, {"consumption_unit": np.array([True, False])})
    said = judged.reasons[0]
    assert said[0] == "unit 'FURLONG' is not known"
    assert sorted(said[1:]) == [
        "consumption_value: a consumption must not be negative (found -1.500000000)",
        "the period must start before it ends",
    ]
    assert len(judged.good) == 1


def test_a_currency_when_it_is_none_is_not_said_to_be_missing_from_its_amount_as_well() -> None:
    orders = TABLES["purchase_orders"]
    rows = right_rows(orders, 3)
    rows["currency"] = pd.Series([None, None, "EUR"], dtype=rows["currency"].dtype)
    problems = pd.Series({0: ["Currency 'XXX' is no currency of ISO 4217"]})
    judged = judge(rows, orders.schema, problems, {"currency": np.array([True, False, False])})
    assert judged.reasons.to_dict() == {
        0: ["Currency 'XXX' is no currency of ISO 4217"],
        1: ["an amount must have a currency"],
    }


def test_problems_when_of_rows_that_do_not_count_are_left_aside() -> None:
    rows = right_rows(TABLE, 2)
    judged = judge(rows.loc[[1]], TABLE.schema, pd.Series({0: ["of a withdrawn record"]}))
    assert len(judged.good) == 1
    assert judged.reasons.empty


def test_no_rows_when_judged_are_no_rows() -> None:
    judged = judge(right_rows(TABLE, 0), TABLE.schema, NOTHING)
    assert len(judged.good) == len(judged.reasons) == 0
    assert list(judged.good.columns) == list(TABLE.columns)


def test_a_missing_column_when_judged_is_an_error_of_ours() -> None:
    with pytest.raises(pa.errors.SchemaErrors):
        judge(right_rows(TABLE, 1).drop(columns="meter_id"), TABLE.schema, NOTHING)
