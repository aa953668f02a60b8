"""What the UI shows of a window's quality: figures that Dagster draws over time, a table by source, and a plot."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np
import psycopg

from gl_assets.charts import as_markdown, new_figure, time_axis
from gl_assets.checks.gates import ASSET
from gl_assets.scada.persist import WindowOutcome
from gl_assets.transforms.pipeline.partitions import Dimensions
from gl_assets.transforms.quality import LEVELS, quality_level
from resources.core.windows import parse_partition_key
from resources.databases.timescale.quality.partition_scores import WHOLE, PartitionScore, last_scores

DRAWN = 60
"""Most windows that a plot shows."""

MOST_SOURCES = 8
"""Most sources that a plot shows besides the whole: the worst ones."""

FIGURES = ("validity", "completeness", "consistency", "uniqueness")


def quality_metadata(outcome: WindowOutcome) -> dict[str, Any]:
    """Return a stored window's score, why it is not 100, and which share of the time each step took."""
    return {
        **score_figures(outcome.scores[WHOLE]),
        "scores_by_source": dg.MetadataValue.md(score_table(outcome.scores)),
        "lowered": dict(outcome.defects),
        "reasons": dict(outcome.reasons),
        **step_shares(outcome.seconds),
    }


def score_figures(score: Dimensions | PartitionScore) -> dict[str, Any]:
    """Return a partition's score as numbers by name, and its level."""
    figures = {name: round(float(getattr(score, name)), 3) for name in FIGURES}
    return {"quality_score": round(float(score.score), 3), "quality_level": quality_level(score.score), **figures}


def score_table(scores: Mapping[str, Dimensions]) -> str:
    """Return the scores of every source and of the whole as a markdown table."""
    lines = ["| source | rows | validity | completeness | consistency | uniqueness | score | level |", "|---" * 8 + "|"]
    lines += [
        f"| {source or 'all'} | {found.rows} | "
        + " | ".join(f"{getattr(found, name):.1f}" for name in FIGURES)
        + f" | {found.score:.1f} | {quality_level(found.score)} |"
        for source, found in scores.items()
    ]
    return "\n".join(lines)


def step_shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds that a window took, and of each step the share of them in percent."""
    total = sum(seconds.values())
    shares = {f"step_{name}_percent": round(100 * took / total, 2) if total else 0.0 for name, took in seconds.items()}
    return {"seconds": round(total, 4), **shares}


def recent_scores(connection: psycopg.Connection, site: str, key: str) -> list[PartitionScore]:
    """Return the scores of the last windows up to a partition, by partition and source."""
    return last_scores(connection, ASSET, key, site=site, partitions=DRAWN)


def quality_plot(scores: Sequence[PartitionScore]) -> dg.MetadataValue[Any]:
    """Return the scores of the last windows as a picture: the whole, its worst sources, and where the levels begin.

    Args:
        scores: Of the whole and of sources, by partition.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    by_source: dict[str, list[PartitionScore]] = {}
    for score in scores:
        by_source.setdefault(score.source, []).append(score)
    whole = by_source.pop(WHOLE, [])
    worst = sorted(by_source, key=lambda source: min(s.score for s in by_source[source]))[:MOST_SOURCES]
    for source in worst:
        axes.plot(_times(by_source[source]), [s.score for s in by_source[source]], linewidth=1, label=source)
    axes.plot(_times(whole), [s.score for s in whole], color="black", marker="o", markersize=3, label="all")
    bottom = max(0.0, min([90.0, *(s.score - 5 for s in scores)]))
    for name, least in LEVELS[:-1]:
        if least > bottom:
            axes.axhline(least, color="#bbbbbb", linewidth=0.7, linestyle=":")
            axes.text(0.995, least, name, transform=axes.get_yaxis_transform(), fontsize="x-small", ha="right")
    axes.set_ylim(bottom, 101)
    axes.set_ylabel("quality score")
    axes.grid(alpha=0.3)
    time_axis(axes, "window, UTC")
    axes.legend(loc="lower left", fontsize="x-small", ncols=3)
    return as_markdown(figure, "quality score of the last windows")


def _times(scores: Sequence[PartitionScore]) -> Any:
    return np.array([parse_partition_key(s.partition).replace(tzinfo=None) for s in scores], dtype="datetime64[s]")
