"""Charts for the metadata of ERP assets, drawn without a display."""

import dagster as dg
import pandas as pd

from gl_assets.charts import as_markdown, new_figure


def amounts_chart(totals: pd.Series, title: str) -> dg.MarkdownMetadataValue:
    """Return a bar chart of amounts by (label, unit), one panel per unit, as an image inside Markdown."""
    units = list(dict.fromkeys(totals.index.get_level_values(1))) or [""]
    figure = new_figure(width=3.2 * len(units))
    for axes, unit in zip(figure.subplots(1, len(units), squeeze=False)[0], units, strict=True):
        shown = totals[totals.index.get_level_values(1) == unit]
        axes.barh([str(label) for label in shown.index.get_level_values(0)], shown.to_numpy(), color="#4c78a8")
        axes.set_xlabel(str(unit))
        axes.invert_yaxis()
    figure.suptitle(title)
    return as_markdown(figure, title)
