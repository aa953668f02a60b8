"""The asset `quality/score_forecast`: the next day's quality score of every source. Not partitioned."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.charts import as_markdown, new_figure, time_axis
from gl_assets.partition_range import told_in_words
from gl_assets.schemas.score_forecasts import ScoreForecasts
from gl_assets.transforms.score_forecast import COVERAGE, HISTORY_DAYS, TESTED_DAYS, forecast
from resources.databases.timescale.quality.score_forecasts import DayScore, ScoreForecast, day_scores, record_forecasts
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

SCORE_FORECAST = dg.AssetKey(["quality", "score_forecast"])

LOOK_BACK = timedelta(days=HISTORY_DAYS + TESTED_DAYS)
"""Days that are read: those that the models look back on, from each day they are tested on."""

MOST_DRAWN = 12
"""Most sources in the picture: the worst ones."""

DESCRIPTION = """What the quality score of every source will be on the next day: the last day's, a trend, or a trend
with days of the week, whichever was best on the days that are known. docs/how-to/score-forecast.md says how."""

_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("source", "text", description="The source of the configuration."),
        dg.TableColumn("day", "date", description="The day that is forecast, UTC."),
        dg.TableColumn("score", "float8", description="The forecast, 0 to 100."),
        dg.TableColumn("lower", "float8", description="Nine days in ten should not be below."),
        dg.TableColumn("upper", "float8", description="Nine days in ten should not be above."),
        dg.TableColumn("model", "text", description="last, trend or season."),
        dg.TableColumn("days", "int4", description="Days that it was made from."),
        dg.TableColumn("tested", "int4", description="Days that the model was tested on."),
        dg.TableColumn("error", "float8", description="Its mean absolute error on those."),
        dg.TableColumn("naive_error", "float8", description="The same of the score of the day before."),
    ]
)


def build_score_forecast(config: Integrations) -> dg.AssetsDefinition:
    """Return the asset for this configuration's site."""

    @dg.asset(
        key=SCORE_FORECAST,
        group_name="quality",
        deps=[SENSOR_READINGS],
        owners=["team:data-engineering"],
        kinds={"timescaledb", "python"},
        description=DESCRIPTION,
        metadata={"dagster/column_schema": _COLUMNS, "dagster/table_name": "quality.score_forecasts"},
    )
    def score_forecast(context: dg.AssetExecutionContext, timescale: TimescaleResource) -> dg.MaterializeResult[Any]:
        """Forecast every source's next day."""
        today, asset = datetime.now(UTC).date(), SENSOR_READINGS.to_user_string()
        with told_in_words(), timescale.connection() as connection:
            known = day_scores(connection, asset, site=config.site, since=today - LOOK_BACK)
            made = forecasts(known, today)
            validated(made)
            record_forecasts(connection, made, asset, site=config.site, run_id=context.run.run_id)
        return dg.MaterializeResult(metadata=metadata_of(known, made))

    return score_forecast


def forecasts(known: Sequence[DayScore], today: date) -> list[ScoreForecast]:
    """Return the forecast of every source.

    Args:
        known: By source and day.
        today: Its score may still change: it is used only of a source that has no other day.
    """
    made = []
    for source, group in groupby(known, key=lambda one: one.source):
        days = list(group)
        whole = [one for one in days if one.day < today] or days
        found = forecast(np.array([one.day.toordinal() for one in whole]), np.array([one.score for one in whole]))
        made.append(
            ScoreForecast(
                source=source,
                day=date.fromordinal(found.day),
                score=found.score,
                lower=found.lower,
                upper=found.upper,
                model=found.model,
                days=found.days,
                tested=found.tested,
                error=found.error,
                naive_error=found.naive_error,
            )
        )
    return made


def validated(made: Sequence[ScoreForecast]) -> pd.DataFrame:
    """Return the rows as a frame after a look at their schema.

    Raises:
        pandera.errors.SchemaErrors: A row breaks it; nothing is stored.
    """
    names = list(ScoreForecasts.to_schema().columns)
    frame = pd.DataFrame([[getattr(one, name) for name in names] for one in made], columns=names)
    kinds = {"error": "float64", "naive_error": "float64"}
    if frame.empty:
        return frame
    return ScoreForecasts.validate(frame.astype(kinds), lazy=True)


def metadata_of(known: Sequence[DayScore], made: Sequence[ScoreForecast]) -> dict[str, Any]:
    """Return what the UI shows: errors as numbers, which it draws over time, a table and a picture."""
    tested = [one for one in made if one.error is not None and one.naive_error is not None]
    return {
        "dagster/row_count": len(made),
        "sources": len(made),
        "lowest_forecast": min((one.score for one in made), default=None),
        "mean_error": float(np.mean([one.error for one in tested])) if tested else None,
        "mean_naive_error": float(np.mean([one.naive_error for one in tested])) if tested else None,
        "interval": f"{COVERAGE:.0%} of the days",
        "forecast": dg.MetadataValue.md(table(made)),
        "scores": picture(known, made),
    }


def table(made: Sequence[ScoreForecast]) -> str:
    """Return the forecasts as a markdown table, the lowest first."""
    lines = [
        "| source | day | forecast | interval | model | error | error of the naive one | days |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one.source} | {one.day} | {one.score:.1f} | {one.lower:.1f} to {one.upper:.1f} | {one.model} "
        f"| {_number(one.error)} | {_number(one.naive_error)} | {one.days} |"
        for one in sorted(made, key=lambda one: one.score)
    ]
    return "\n".join(lines)


def picture(known: Sequence[DayScore], made: Sequence[ScoreForecast]) -> dg.MarkdownMetadataValue:
    """Return the days of the sources with the lowest forecasts, and the forecasts with their intervals."""
    figure = new_figure()
    axes = figure.add_subplot()
    for one in sorted(made, key=lambda one: one.score)[:MOST_DRAWN]:
        own = [day for day in known if day.source == one.source]
        (line,) = axes.plot(
            np.array([day.day for day in own], dtype="datetime64[D]"), [day.score for day in own], label=one.source
        )
        axes.errorbar(
            np.array([one.day], dtype="datetime64[D]"),
            [one.score],
            yerr=[[one.score - one.lower], [one.upper - one.score]],
            color=line.get_color(),
            marker="o",
            markersize=4,
            capsize=3,
        )
    axes.set_ylabel("quality score")
    axes.set_ylim(-2, 102)
    axes.grid(alpha=0.3)
    time_axis(axes, "day, UTC; the last one is the forecast")
    if made:
        axes.legend(loc="best", fontsize="small")
    return as_markdown(figure, "quality scores by day, and the next one")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


score_forecast_job = dg.define_asset_job(
    "score_forecast_job",
    selection=dg.AssetSelection.assets(SCORE_FORECAST),
    executor_def=dg.in_process_executor,
    description="Forecast the next day's quality score of every source.",
)

score_forecast_schedule = dg.ScheduleDefinition(
    name="score_forecast_schedule",
    job=score_forecast_job,
    cron_schedule="50 0 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night: what the quality score of each source will be on the day that begins.",
)
