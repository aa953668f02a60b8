"""Scores of the parts of standard ERP tables: what the UI shows, and the rows of `quality.partition_scores`."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

import dagster as dg
import numpy as np
import psycopg

from gl_assets.charts import as_markdown, new_figure, time_axis
from gl_assets.transforms.erp.scoring import POINTS, Tally
from gl_assets.transforms.quality import LEVELS, quality_level
from resources.databases.timescale.quality.partition_scores import WHOLE, PartitionScore, record_scores, scores_of

SHOWN_DAYS = 90
"""Business days that the chart of scores goes back."""
REVISION = 1
"""Business days have no revisions: a day that is brought in again is replaced as a whole."""


def part_scores(asset: str, partition: str, tallies: Mapping[str, Tally]) -> list[PartitionScore]:
    """Return the scores of a part: as a whole, and of each system that has records in it; none without records."""
    whole = sum(tallies.values(), Tally())
    named = {WHOLE: whole, **tallies}
    return [
        PartitionScore(
            asset=asset,
            partition=partition,
            revision=REVISION,
            rows=tally.rows,
            **{name: round(value, 4) for name, value in tally.dimensions().items()},
            score=round(tally.score(), 4),
            source=source,
        )
        for source, tally in named.items()
        if tally.records
    ]


def store_scores(
    connection: psycopg.Connection[Any],
    asset: str,
    partition: str,
    scores: Sequence[PartitionScore],
    *,
    site: str,
    run_id: str,
) -> None:
    """Put the scores of a part in place of those that stand; the caller commits."""
    if scores:
        record_scores(connection, scores, site=site, run_id=run_id)
        return
    # a day that has no record any more has no score either
    connection.execute(
        "DELETE FROM quality.partition_scores WHERE site = %s AND asset = %s AND partition = %s",
        (site, asset, partition),
    )


def shown(tally: Tally) -> dict[str, Any]:
    """Return what the UI shows of a part's score, and which judgements its rows break; nothing without records."""
    if not tally.records:
        return {}
    score = round(tally.score(), 2)
    found: dict[str, Any] = {"quality_score": score, "quality_level": quality_level(score)}
    found |= {name: round(value, 2) for name, value in tally.dimensions().items()}
    if tally.defects:
        worst = sorted(tally.defects.items(), key=lambda held: -held[1])
        found["defects"] = dg.MetadataValue.json(dict(worst))
    return found


def scores_chart(
    connection: psycopg.Connection[Any], asset: str, site: str, last: date
) -> dg.MetadataValue[Any] | None:
    """Return the scores of a table's business days up to `last`, by system, as a picture; None where there are none."""
    since = (last - timedelta(days=SHOWN_DAYS)).isoformat()
    found = [s for s in scores_of(connection, asset, site=site, source=None, since=since) if s.partition <= str(last)]
    if not found:
        return None
    figure = new_figure()
    axes = figure.add_subplot()
    whole = [s for s in found if s.source == WHOLE]
    for source in sorted({s.source for s in found} - {WHOLE}):
        own = [s for s in found if s.source == source]
        axes.plot(_days(own), [s.score for s in own], marker=".", linewidth=0.8, label=source)
    axes.plot(_days(whole), [s.score for s in whole], color="black", linewidth=1.6, label="all")
    for name in POINTS:
        axes.plot(_days(whole), [getattr(s, name) for s in whole], linestyle=":", linewidth=0.9, label=name)
    for _, least in LEVELS[:-1]:
        axes.axhline(least, color="grey", linewidth=0.4)
    axes.set_ylim(0, 102)
    axes.set_ylabel("score")
    time_axis(axes, "business day")
    axes.legend(loc="lower left", fontsize="x-small", ncols=3)
    return as_markdown(figure, f"quality score of {asset} by business day")


def _days(scores: list[PartitionScore]) -> Any:
    return np.array([s.partition for s in scores], dtype="datetime64[D]")
