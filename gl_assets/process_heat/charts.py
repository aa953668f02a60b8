"""Charts for the Dagster UI: small PNG pictures inside the metadata of a materialisation."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import numpy as np

from gl_assets.charts import as_markdown, new_figure, time_axis


def efficiency_chart(rows: Sequence[dict[str, Any]]) -> dg.MetadataValue[Any]:
    """Return the efficiency of each boiler over time as a picture in markdown.

    Args:
        rows: boiler, hour, efficiency (share or None), oldest first.
    """
    figure = new_figure()
    axes = figure.add_subplot()
    for boiler in sorted({row["boiler"] for row in rows}):
        own = [row for row in rows if row["boiler"] == boiler]
        shares = [np.nan if row["efficiency"] is None else 100 * row["efficiency"] for row in own]
        axes.plot(
            np.array([row["hour"].replace(tzinfo=None) for row in own]), shares, marker="o", markersize=3, label=boiler
        )
    axes.set_ylabel("efficiency, %")
    axes.grid(alpha=0.3)
    time_axis(axes, "hour, UTC")
    if rows:
        last = max(row["hour"] for row in rows).replace(tzinfo=None)
        # always the same span: a single hour would otherwise be drawn amid years
        axes.set_xlim(last - timedelta(hours=48), last + timedelta(hours=1))
        axes.legend(loc="best", fontsize="small")
    return as_markdown(figure, "efficiency of the last hours")


def efficiency_table(rows: Sequence[dict[str, Any]]) -> dg.MetadataValue[Any]:
    """Return one hour's energy balance of every boiler as a markdown table."""
    lines = ["| boiler | efficiency | steam, kW | fuel, kW | good readings | remark |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {row['boiler']} | {_percent(row['efficiency'])} | {_number(row['steam_power_kw'])} "
        f"| {_number(row['fuel_power_kw'])} | {_percent(row['good_share'])} | {row['reason'] or ''} |"
        for row in rows
    ]
    return dg.MetadataValue.md("\n".join(lines))


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def intensity_chart(rows: Sequence[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    """Return the energy intensity of each consumer over the days as a picture in markdown."""
    return _by_day(rows, "intensity_kwh_per_t", "energy intensity, kWh/t")


def cost_chart(rows: Sequence[dict[str, Any]]) -> dg.MarkdownMetadataValue:
    """Return the cost of each consumer's energy over the days as a picture in markdown."""
    currency = next((row["currency"] for row in rows if row["currency"]), "")
    return _by_day(rows, "cost", f"cost of energy, {currency}")


def _by_day(rows: Sequence[dict[str, Any]], name: str, label: str) -> dg.MarkdownMetadataValue:
    figure = new_figure()
    axes = figure.add_subplot()
    for consumer in sorted({row["consumer"] for row in rows}):
        own = [row for row in rows if row["consumer"] == consumer]
        values = [np.nan if row[name] is None else float(row[name]) for row in own]
        axes.plot(np.array([row["day"] for row in own]), values, marker="o", markersize=3, label=consumer)
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    time_axis(axes, "day")
    if rows:
        axes.legend(loc="best", fontsize="small")
    return as_markdown(figure, label)
