"""The asset quality/score_forecast on a real database: scores of windows in, forecasts of days out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import psycopg
import pytest

from gl_assets.checks.forecast_gates import forecast_gates
from gl_assets.checks.table_checks import build_table_checks
from gl_assets.quality.score_forecast import SCORE_FORECAST, build_score_forecast
from resources.databases.timescale.quality.partition_scores import WHOLE, PartitionScore, record_scores
from resources.databases.timescale.quality.score_forecasts import forecasts_of
from resources.embedded.postgres import EmbeddedPostgres
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from tests.conftest import fresh_database

SITE, ASSET = "plant", "scada/sensor_readings"
CONFIG = Integrations(site=SITE, start=datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


def store(url: str, day: date, scores: dict[str, list[float]], site: str = SITE) -> None:
    """Keep scores of a day's first windows."""
    kept = [
        PartitionScore(ASSET, f"{day}T{hour:02}:00", 1, 10, 100, 100, 100, 100, score, source)
        for source, own in scores.items()
        for hour, score in enumerate(own)
    ]
    with psycopg.connect(url) as connection:
        record_scores(connection, kept, site=site, run_id="test")


def materialised(url: str) -> dict[str, Any]:
    result = dg.materialize(
        [build_score_forecast(CONFIG), dg.AssetSpec(dg.AssetKey(["scada", "sensor_readings"]))],
        resources={"timescale": TimescaleResource(url=url)},
        selection=[SCORE_FORECAST],
    )
    (event,) = result.asset_materializations_for_node(SCORE_FORECAST.to_python_identifier())
    return {name: value.value for name, value in event.metadata.items()}


def judged(url: str) -> dict[str, bool | None]:
    """What the gates say of the newest forecasts."""
    (checks,) = build_table_checks(forecast_gates(CONFIG), CONFIG)
    asset = dg.AssetSpec(SCORE_FORECAST)
    definitions = dg.Definitions(
        assets=[asset],
        asset_checks=[checks],
        jobs=[dg.define_asset_job("gates", selection=dg.AssetSelection.checks(checks))],
        resources={"timescale": TimescaleResource(url=url)},
    )
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def("gates").execute_in_process(instance=instance)
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def test_forecast_when_nothing_is_known_then_no_rows(url: str) -> None:
    assert materialised(url)["dagster/row_count"] == 0


def test_forecast_when_days_are_known_then_one_row_a_source_and_a_picture(url: str) -> None:
    today = datetime.now(UTC).date()
    for back in range(20, 0, -1):
        falling = 60.0 + 2.0 * back
        store(url, today - timedelta(days=back), {"oven": [falling, falling - 2], "kiln": [97.0], WHOLE: [50.0]})
    store(url, today - timedelta(days=3), {"oven": [1.0]}, site="elsewhere")
    store(url, today, {"oven": [0.0], "new": [80.0, 90.0], WHOLE: [0.0]})
    metadata = materialised(url)
    with psycopg.connect(url) as connection:
        rows = {row.source: row for row in forecasts_of(connection, ASSET, site=SITE)}
    assert set(rows) == {"kiln", "new", "oven"}
    # today is not over: it counts only for the source that has no other day
    assert (rows["oven"].day, rows["oven"].model, rows["oven"].days) == (today, "trend", 20)
    assert rows["oven"].score == pytest.approx(59.0)
    assert (rows["kiln"].score, rows["kiln"].model) == (97.0, "last")
    assert (rows["new"].day, rows["new"].score) == (today + timedelta(days=1), 85.0)
    assert metadata["lowest_forecast"] == pytest.approx(59.0)
    assert metadata["mean_error"] < metadata["mean_naive_error"]
    # the oven is forecast to fall below 60
    assert {name for name, passed in judged(url).items() if not passed} == {"score_forecasts_score_high_enough"}
    assert "data:image/png" in str(metadata["scores"])
    assert "| oven |" in str(metadata["forecast"])


def test_forecast_when_made_twice_then_one_row_a_day(url: str) -> None:
    materialised(url)
    with psycopg.connect(url) as connection:
        before = forecasts_of(connection, ASSET, site=SITE)
    materialised(url)
    with psycopg.connect(url) as connection:
        assert forecasts_of(connection, ASSET, site=SITE) == before
