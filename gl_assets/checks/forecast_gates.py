"""The gates of `quality/score_forecast`: the score gate tells of a source that is about to become bad."""

import psycopg

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.checks.table_checks import Judging
from gl_assets.checks.table_gates import GatedTable, Part, compared
from gl_assets.quality.score_forecast import SCORE_FORECAST
from gl_assets.schemas.score_forecasts import ScoreForecasts
from resources.databases.timescale.quality.score_forecasts import newest_forecasts, scored_sources
from resources.integrations import Integrations

FORECASTS = GatedTable(
    SCORE_FORECAST,
    "score_forecasts",
    ScoreForecasts,
    unique=("source", "day"),
    complete_means="Every source of the configuration that has ever had a score has a forecast.",
    score_means="The lowest score that is forecast of any source reaches its limit.",
    ranges={"score": (0.0, 100.0)},
    own={"completeness": ("warn", 1.0), "score": ("warn", 60.0)},
)


def forecast_gates(config: Integrations) -> Judging:
    """Return how the newest forecasts are read."""
    asset = SENSOR_READINGS.to_user_string()

    def read(connection: psycopg.Connection, _: str) -> Part:
        rows = newest_forecasts(connection, asset, site=config.site)
        scored = scored_sources(connection, asset, site=config.site).intersection(config.sources)
        forecast = {str(row["source"]) for row in rows}
        return Part(rows, **compared(scored, forecast), score=min((row["score"] for row in rows), default=None))

    def newest(connection: psycopg.Connection) -> str | None:
        rows = newest_forecasts(connection, asset, site=config.site)
        return str(max(row["day"] for row in rows)) if rows else None

    return Judging(FORECASTS, read, newest=newest)
