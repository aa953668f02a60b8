"""Scores of days and snapshots: whole and by system, what the UI shows, what is kept and what is taken away."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import numpy as np
import psycopg
import pytest

from gl_assets.erp.scores import part_scores, scores_chart, shown, store_scores
from gl_assets.transforms.erp.scoring import Tally
from resources.databases.timescale.quality.partition_scores import scores_of
from resources.embedded.postgres import EmbeddedPostgres
from tests.conftest import fresh_database
from tests.unit.gl_assets.erp.test_judgements import Connection

ASSET, DAY = "erp/materials", date(2026, 11, 20)
WHOLE = Tally(rows=4, sums=np.array([4.0, 4.0, 4.0, 4.0]))
HALF = Tally(rows=2, rejected=2, sums=np.array([2.0, 1.0, 2.0, 2.0]), defects={"a rule": 1, "another": 2})


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def connection(url: str) -> Iterator[Connection]:
    with psycopg.connect(url) as opened:
        yield opened
        opened.rollback()


def test_a_part_when_several_systems_fill_it_has_a_score_of_each_and_of_all() -> None:
    found = {
        score.source: score for score in part_scores(ASSET, str(DAY), {"sap": WHOLE, "d365": HALF, "idle": Tally()})
    }
    assert found.keys() == {"", "sap", "d365"}
    assert (found["sap"].rows, found["sap"].score) == (4, 100)
    half = found["d365"]
    assert (half.rows, half.validity, half.completeness, half.uniqueness) == (2, 50, 25, 100)
    assert found[""].validity == 75
    assert found[""].rows == 6


def test_a_part_without_records_has_no_score() -> None:
    assert part_scores(ASSET, str(DAY), {"sap": Tally()}) == []
    assert shown(Tally()) == {}


def test_metadata_when_rows_break_judgements_names_the_worst_first() -> None:
    found = shown(HALF)
    assert found["quality_score"] == pytest.approx(0.4 * 50 + 0.3 * 25 + 0.2 * 50 + 10)
    assert found["quality_level"] == "POOR"
    assert list(found["defects"].value) == ["another", "a rule"]
    assert "defects" not in shown(WHOLE)


def test_scores_when_stored_again_replace_those_that_stand(connection: Connection) -> None:
    def stored() -> dict[str, float]:
        return {held.source: held.score for held in scores_of(connection, ASSET, site="plant", source=None)}

    for tallies, sources in (
        ({"sap": WHOLE, "d365": HALF}, {"", "sap", "d365"}),
        ({"sap": WHOLE}, {"", "sap"}),
        ({}, set()),
    ):
        scores = part_scores(ASSET, str(DAY), tallies)
        store_scores(connection, ASSET, str(DAY), scores, site="plant", run_id="run")
        assert stored().keys() == sources


def test_the_chart_when_there_are_scores_is_a_picture_and_else_nothing(connection: Connection) -> None:
    assert scores_chart(connection, ASSET, "plant", DAY) is None
    for day in (DAY, date(2026, 11, 19), date(2026, 6, 1)):
        scores = part_scores(ASSET, str(day), {"sap": WHOLE, "d365": HALF})
        store_scores(connection, ASSET, str(day), scores, site="plant", run_id="run")
    chart = scores_chart(connection, ASSET, "plant", DAY)
    assert chart is not None
    assert str(chart.value).startswith(f"![quality score of {ASSET} by business day](data:image/png;base64,")
    assert scores_chart(connection, ASSET, "plant", date(2025, 1, 1)) is None
