"""Results of gates as Dagster shows them: an event per partition, and one result over all partitions of a run."""

from collections.abc import Callable, Sequence
from typing import Any

import dagster as dg
import psycopg

from gl_assets.charts import as_markdown, new_figure
from gl_assets.checks.model import MOST_SHOWN, Gate
from resources.databases.timescale.quality.gate_results import GateResult, Judged, measured_until

DRAWN = 60
"""Most partitions that a plot shows."""

_GREEN, _RED, _GREY = "#4c78a8", "#d62728", "#777777"


def severity_of(result: GateResult) -> dg.AssetCheckSeverity:
    """Return how bad a result is: what blocks and nobody has released is an error."""
    stops = result.blocking and result.released_by is None
    return dg.AssetCheckSeverity.ERROR if stops else dg.AssetCheckSeverity.WARN


def evaluation(result: GateResult) -> dg.AssetCheckEvaluation:
    """Return a partition's result as the event that the Dagster UI shows for it."""
    released = {"released_by": result.released_by} if result.released_by else {}
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey.from_user_string(result.asset),
        check_name=result.check,
        passed=result.passed,
        severity=severity_of(result),
        blocking=result.blocking,
        partition=result.partition,
        metadata={**_shown(result), **released, "revision": result.revision},
    )


def _shown(result: GateResult) -> dict[str, Any]:
    """Return the figures of a result, its failing rows as a table that people can read."""
    rows = result.metadata.get("first")
    table = {"first_failing_rows": dg.MetadataValue.md(markdown_table(rows))} if rows else {}
    return {**result.metadata, **table}


def markdown_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as a markdown table, with the columns that any of them has."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    lines += [f"| {' | '.join(_cell(row.get(name)) for name in names)} |" for row in rows]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return " ".join(text.replace("|", "/").split())[:120]


def summary(
    gate: Gate[Any],
    asset: dg.AssetKey,
    results: Sequence[GateResult],
    *,
    drawn: Callable[[], dg.MetadataValue[Any] | None] = lambda: None,
    stops: bool = True,
) -> dg.AssetCheckResult:
    """Return one gate's result over all partitions of a run; its metadata names the red ones and draws the last ones.

    Args:
        gate: The gate, as configured.
        asset: Its asset.
        results: Results of the run, of this gate and of others.
        drawn: Draws the plot.
        stops: False: what follows in the run looks for itself which partitions are held back, so that a red one does
            not hold the others; where all of them are, the run is stopped all the same.
    """
    own = [result for result in results if result.check == gate.name]
    red = [result for result in own if not result.passed]
    held = [result for result in red if severity_of(result) is dg.AssetCheckSeverity.ERROR]
    error = bool(held) and (stops or len(held) == len(own))
    shown = red[0] if red else own[-1] if own else None
    metadata: dict[str, Any] = {
        "partitions": len(own),
        "red": len(red),
        "first_red": [result.partition for result in red[:MOST_SHOWN]],
        "released": len(red) - len(held) if gate.blocking else 0,
        **({"partition": shown.partition, **_shown(shown)} if shown else {}),
    }
    plot = drawn()
    if plot is not None:
        metadata["plot"] = plot
    return dg.AssetCheckResult(
        asset_key=asset,
        check_name=gate.name,
        passed=not red,
        severity=gate.severity if error or not red else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


def plot_of(
    connection: psycopg.Connection, gate: Gate[Any], asset: str, last: str | None
) -> dg.MarkdownMetadataValue | None:
    """Return what a gate measured of the newest partitions, drawn; None where it measures nothing."""
    judged = measured_until(connection, asset, gate.name, last=last, limit=DRAWN) if last else []
    return measured_chart(judged, gate.name) if judged else None


def measured_chart(judged: Sequence[Judged], name: str) -> dg.MarkdownMetadataValue:
    """Return a picture of what a gate measured, partition by partition, and of its limit; red points failed."""
    figure = new_figure(7.0, 2.2)
    # the layout is known: to compute it takes as long as to draw, and a run draws every gate
    figure.set_layout_engine(None)
    figure.subplots_adjust(left=0.09, right=0.92, top=0.86, bottom=0.16)
    axes = figure.add_subplot()
    places = range(len(judged))
    axes.plot(places, [one.measured for one in judged], color=_GREEN, linewidth=1.0)
    axes.scatter(
        places, [one.measured for one in judged], c=[_GREEN if one.passed else _RED for one in judged], s=12, zorder=3
    )
    axes.step(places, [one.limit for one in judged], where="mid", color=_GREY, linestyle="--", linewidth=0.9)
    ticks = sorted({0, len(judged) // 2, len(judged) - 1})
    axes.set_xticks(ticks, [judged[place].partition for place in ticks], fontsize="small")
    axes.set_title(f"{name.replace('_', ' ')}; dashed: the limit", fontsize="small")
    axes.grid(alpha=0.3)
    return as_markdown(figure, name)
