"""What the charts of standard tables show."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest

from gl_assets.erp.judging.rule_judgements import judge_rule
from gl_assets.erp.plots import amounts_chart
from gl_assets.erp.tables import MOST_BARS, TABLES, Chart
from gl_assets.schemas.erp_columns import AMOUNT
from tests.unit.gl_assets.erp.standard_rows import right_rows


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_totals_when_of_two_parts_add_up(table: object) -> None:
    rows = right_rows(table, 2)  # type: ignore[arg-type]
    chart: Chart = table.chart  # type: ignore[attr-defined]
    rows[chart.label] = pd.Series(["a", None], dtype=rows[chart.label].dtype)
    both = pd.concat([chart.totals(rows), chart.totals(rows)]).groupby(level=[0, 1]).sum()
    assert sorted(label for label, _ in both.index) == ["a", "unknown"]
    assert both.tolist() == ([3.0, 3.0] if chart.amount else [2.0, 2.0])
    assert chart.totals(rows[:0]).empty


def test_a_chart_when_there_are_many_labels_shows_the_largest_of_each_unit() -> None:
    rows = right_rows(TABLES["financial_transactions"], 40)
    rows["cost_center"] = pd.Series([f"c{n}" for n in range(40)], dtype=rows["cost_center"].dtype)
    rows["currency"] = pd.Series(["EUR"] * 20 + ["USD"] * 20, dtype=rows["currency"].dtype)
    rows["amount"] = pd.Series([Decimal(n - 20) for n in range(40)], dtype=AMOUNT)
    chart = TABLES["financial_transactions"].chart
    shown = chart.largest(chart.totals(rows))
    assert len(shown) == 2 * MOST_BARS
    # costs that are relieved are as large as those that are charged
    assert {"c0", "c39"} <= {label for label, _ in shown.index}
    assert "c21" not in {label for label, _ in shown.index}


def test_a_chart_when_drawn_is_an_image_inside_markdown() -> None:
    totals = pd.Series([1.0, 2.0], index=pd.MultiIndex.from_tuples([("M1", "t"), ("M2", "kW.h")]))
    assert str(amounts_chart(totals, "today").md_str).startswith("![today](data:image/png;base64,iVBOR")


def test_a_rule_when_nobody_judges_it_is_an_error_of_ours() -> None:
    with pytest.raises(NotImplementedError, match="str"):
        judge_rule("no rule", None)  # type: ignore[arg-type]
