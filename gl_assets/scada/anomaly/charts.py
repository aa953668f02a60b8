"""What the Dagster UI shows of detectors and of what they found: pictures and tables in metadata."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
import numpy as np
import numpy.typing as npt

from gl_assets.charts import as_markdown, new_figure, time_axis
from gl_assets.scada.anomaly.scoring import Scored
from gl_assets.scada.anomaly.training import Training
from resources.databases.timescale.anomaly.anomalies import AnomalyRow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_DRAWN = 3
"""Most equipment that the chart of a window shows: those furthest from normal."""

_MOST_LISTED = 10

_LEAST_DRAWN = 0.01
"""Least distance over the limit on the logarithmic axis."""


def window_chart(scored: Sequence[Scored]) -> dg.MarkdownMetadataValue:
    """Return the distance from normal over a window, of the equipment furthest from it; 1 is the limit."""
    figure = new_figure()
    axes = figure.add_subplot()
    for found in sorted(scored, key=lambda one: -one.peak)[:MOST_DRAWN]:
        scores, times = found.judged.scores, _instants(found.judged.times_us)
        distance = np.maximum(scores.statistic / scores.limit, _LEAST_DRAWN)
        (line,) = axes.plot(times, distance, linewidth=1.0, label=found.watched.equipment)
        axes.fill_between(
            times,
            _LEAST_DRAWN,
            distance,
            where=list(scores.is_anomalous & np.isfinite(distance)),
            color=line.get_color(),
            alpha=0.25,
        )
    _limit_line(axes)
    axes.legend(loc="best", fontsize="small")
    return as_markdown(figure, "distance from normal over the window, 1 is the limit")


def training_chart(training: Training) -> dg.MarkdownMetadataValue:
    """Return the distance from normal over the rows that the detectors were trained on; 1 is the limit."""
    scores = training.trained.multivariate.score(training.values)
    figure = new_figure()
    axes = figure.add_subplot()
    axes.plot(
        _instants(training.grid.times_us()), np.maximum(scores.statistic / scores.limit, _LEAST_DRAWN), linewidth=0.6
    )
    _limit_line(axes)
    return as_markdown(figure, "distance from normal over the training rows, 1 is the limit")


def anomalies_table(rows: Sequence[AnomalyRow]) -> dg.MarkdownMetadataValue:
    """Return the anomalies furthest from normal as a table, with what explains each."""
    lines = ["| begins | equipment | kind | sensor | value | expected | score | because of |", "|---" * 8 + "|"]
    lines += [
        f"| {row.time:%H:%M:%S} | {row.equipment} | {row.kind} | {row.sensor_id} | {_number(row.value)} "
        f"| {_number(row.expected)} | {row.score:.1f} | {_because(row)} |"
        for row in sorted(rows, key=lambda one: -one.score)[:_MOST_LISTED]
    ]
    if len(rows) > _MOST_LISTED:
        lines.append(f"\n{len(rows) - _MOST_LISTED} more: `gl anomalies list`")
    return dg.MetadataValue.md("\n".join(lines))


def sensors_table(training: Training) -> dg.MarkdownMetadataValue:
    """Return how each sensor of an equipment is judged, as a table."""
    model, lines = training.trained.multivariate, ["| sensor | judged |", "|---|---|"]
    for place, name in enumerate(model.names):
        own = np.flatnonzero(model.features.sensor == place)
        if name in model.wandering:
            told = "by how suddenly it leaves its own course"
        elif not len(own):
            told = f"no: {training.stored.left_out.get(name, '')}"
        elif np.count_nonzero(model.features.weights[:, own[0]]) > 1:
            told = "by its deviation from what the others make expect"
        else:
            told = "by itself"
        lines.append(f"| {name} | {told} |")
    lines += [f"| {name} | no: {why} |" for name, why in training.stored.left_out.items() if name not in model.names]
    return dg.MetadataValue.md("\n".join(lines))


def _limit_line(axes: "Axes") -> None:
    axes.axhline(1.0, color="black", linestyle="--", linewidth=0.8)
    axes.set_yscale("log")
    axes.set_ylabel("distance over the limit")
    axes.grid(alpha=0.3)
    time_axis(axes)


def _instants(times_us: npt.NDArray[np.int64]) -> npt.NDArray[np.datetime64]:
    return times_us.view("datetime64[us]")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _because(row: AnomalyRow) -> str:
    shares = row.details.get("contributions")
    if shares:
        return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    return f"{row.details.get('deviations', 0.0):.1f} deviations, limit {row.details.get('limit', 0.0):.1f}"
