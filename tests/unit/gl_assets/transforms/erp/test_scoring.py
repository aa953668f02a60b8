"""Scores of ERP records: the formula, its bounds, and that more defects never score better."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gl_assets.erp.tables import TABLES, FactTable
from gl_assets.transforms.erp.record_rules import RecordRules, record_rules
from gl_assets.transforms.erp.row_rules import RowRule
from gl_assets.transforms.erp.scoring import POINTS, Tally, completeness, score, weights
from tests.unit.gl_assets.erp.standard_rows import right_rows

ORDERS = TABLES["purchase_orders"]
JOURNAL = TABLES["financial_transactions"]


def rules_of(table: str) -> RecordRules:
    held = TABLES[table]
    day = held.business_date if isinstance(held, FactTable) else None
    return record_rules(table, held.schema, held.checks, day)


def scores(rows: pd.DataFrame, table: str = "purchase_orders") -> list[float]:
    return score(rows, TABLES[table].schema, rules_of(table)).rows["quality_score"].tolist()


def changed(rows: pd.DataFrame, column: str, *values: Any) -> pd.DataFrame:
    return rows.assign(**{column: pd.Series(list(values), dtype=rows[column].dtype)})


def always(*broken: bool) -> RowRule:
    return RowRule("a rule", lambda rows: np.array(broken))


def test_a_row_without_defect_when_scored_has_100() -> None:
    for name, table in TABLES.items():
        rows = right_rows(table, 1)
        if name == "financial_transactions":
            rows = changed(rows, "amount", Decimal(0))
        if name == "energy_consumption":
            assert rows["energy_type"][0] != "unknown"
        scored = score(rows, table.schema, rules_of(name))
        assert scored.rows["quality_score"].tolist() == [100.0], name
        assert scored.tally.defects == {}
        assert scored.tally.score() == pytest.approx(100)
        table.schema.validate(scored.rows, lazy=True)


def test_a_score_when_something_is_missing_loses_its_weight_of_30() -> None:
    rows = changed(right_rows(ORDERS, 1), "supplier", None)
    assert scores(rows) == [pytest.approx(100 - 30 * 0.2)]


def test_a_score_when_a_meter_is_not_configured_counts_its_energy_type_as_missing() -> None:
    energy = TABLES["energy_consumption"]
    rows = changed(right_rows(energy, 1), "energy_type", "unknown")
    assert completeness(rows, energy.schema).tolist() == [pytest.approx(0.6)]


@pytest.mark.parametrize(
    ("rules", "points"),
    [
        (RecordRules(), 100),
        (RecordRules(validity=(always(True), always(False))), 80),
        (RecordRules(validity=(always(True), always(True))), 60),
        (RecordRules(consistency=(always(True), always(False), always(False), always(False))), 95),
        (RecordRules(uniqueness=(always(True), always(False))), 90),
        (RecordRules((always(True),), (always(True),), (always(True),)), 30),
    ],
    ids=["none", "one of two judgements", "both", "one of four that fit together", "one of two keys", "all"],
)
def test_a_score_when_rules_are_broken_loses_their_share_of_the_dimension(rules: RecordRules, points: float) -> None:
    assert score(right_rows(ORDERS, 1), ORDERS.schema, rules).rows["quality_score"].tolist() == [points]


def test_a_part_when_records_are_rejected_or_repeated_is_the_mean_over_all() -> None:
    rows = changed(right_rows(ORDERS, 3), "order_id", "a", "b", "c")
    tally = score(rows, ORDERS.schema, rules_of("purchase_orders"), rejected=1, repeated=2).tally
    assert tally.dimensions() == pytest.approx(
        {"validity": 75, "completeness": 75, "consistency": 75, "uniqueness": 100 * 4 / 6}
    )
    assert tally.score() == pytest.approx(0.4 * 75 + 0.3 * 75 + 0.2 * 75 + 10 * 4 / 6)


def test_a_part_when_nothing_but_rejected_records_came_is_unique_and_no_more() -> None:
    tally = score(right_rows(ORDERS, 0), ORDERS.schema, rules_of("purchase_orders"), rejected=3).tally
    assert (tally.records, tally.rows, tally.score()) == (3, 0, 10)


def test_tallies_when_added_are_those_of_all_rows() -> None:
    rows = changed(right_rows(ORDERS, 4), "order_id", "a", "a", "c", "d")
    rules = rules_of("purchase_orders")
    whole = score(rows, ORDERS.schema, rules, rejected=2, repeated=1).tally
    parts = [
        score(rows[:2], ORDERS.schema, rules, rejected=2).tally,
        score(rows[2:], ORDERS.schema, rules, repeated=1).tally,
    ]
    together = sum(parts, Tally())
    assert together.dimensions() == pytest.approx(whole.dimensions())
    assert together.defects == whole.defects == {rules.uniqueness[0].says: 2}


def test_scoring_when_done_again_changes_nothing() -> None:
    rows = changed(right_rows(ORDERS, 3), "supplier", None, "s", None)
    once = score(rows, ORDERS.schema, rules_of("purchase_orders"))
    again = score(once.rows, ORDERS.schema, rules_of("purchase_orders"))
    pd.testing.assert_frame_equal(once.rows, again.rows)
    assert list(once.rows.columns) == list(ORDERS.columns)


def test_weights_are_those_of_the_schema() -> None:
    assert set(weights(ORDERS.schema)) == {"supplier", "material", "quantity", "net_amount", "plant_code"}
    assert sum(POINTS.values()) == 100


WEIGHTED = [*weights(JOURNAL.schema)]
DEFECTS = st.lists(
    st.tuples(st.sampled_from(WEIGHTED), st.booleans(), st.booleans(), st.booleans()), min_size=2, max_size=12
)


def planted(defects: list[tuple[str, bool, bool, bool]], upto: int) -> pd.DataFrame:
    """Return a row each with the defects planted one after another, the first `upto` of each row's."""
    rows = right_rows(JOURNAL, len(defects))
    missing = [name if upto > 0 else None for name, *_ in defects]
    for name in WEIGHTED:
        held = [None if absent == name else f"{name}{n}" for n, absent in enumerate(missing)]
        rows[name] = pd.Series(held, dtype=rows[name].dtype)
    # each row is a journal of its own: an amount of 0 is balanced, another one is not
    rows["transaction_id"] = pd.Series([f"t{n}" for n in range(len(defects))], dtype=rows["transaction_id"].dtype)
    wrong = [(upto > 1 and sign, upto > 2 and decimals) for _, sign, decimals, _ in defects]
    amounts = [Decimal("-7") * sign + Decimal("-0.001") * decimals for sign, decimals in wrong]
    rows["amount"] = pd.Series(amounts, dtype=rows["amount"].dtype)
    years = [2126 if upto > 3 and late else 2026 for *_, late in defects]
    rows["posting_date"] = pd.Series([pd.Timestamp(year, 11, 20).date() for year in years], rows.index)
    rows["posting_date"] = rows["posting_date"].astype(JOURNAL.schema.columns["posting_date"].dtype.type)
    return rows


@given(DEFECTS)
@settings(deadline=None, max_examples=40)
def test_scores_when_defects_are_added_stay_within_bounds_and_never_rise(
    defects: list[tuple[str, bool, bool, bool]],
) -> None:
    before: list[float] | None = None
    for upto in range(5):
        scored = score(planted(defects, upto), JOURNAL.schema, rules_of("financial_transactions"))
        found = scored.rows["quality_score"].tolist()
        assert all(0 <= value <= 100 for value in found)
        assert scored.tally.score() == pytest.approx(np.mean(found), abs=1e-3)
        assert before is None or all(now <= was + 1e-6 for now, was in zip(found, before, strict=True))
        before = found


@given(st.integers(1, 5), st.integers(0, 5), st.integers(0, 5))
@settings(deadline=None, max_examples=30)
def test_a_part_when_more_is_rejected_or_repeated_never_scores_better(rows: int, rejected: int, repeated: int) -> None:
    frame = right_rows(ORDERS, rows)
    rules = RecordRules()
    tally = score(frame, ORDERS.schema, rules, rejected=rejected, repeated=repeated).tally
    assert all(0 <= value <= 100 for value in tally.dimensions().values())
    more = score(frame, ORDERS.schema, rules, rejected=rejected + 1, repeated=repeated).tally
    again = score(frame, ORDERS.schema, rules, rejected=rejected, repeated=repeated + 1).tally
    assert more.score() <= tally.score() + 1e-9
    assert again.score() <= tally.score() + 1e-9
