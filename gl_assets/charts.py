"""Charts for the Dagster UI: a figure drawn without a display becomes a picture inside Markdown metadata.

What every chart shares is here; what a chart shows stays with the asset it belongs to.
"""

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 80
"""Dots per inch of every picture: legible in the UI, and some 20 kB in the event log."""


def new_figure(width: float = 7.5, height: float = 3.0) -> "Figure":
    """Return an empty figure, inches wide and high, that needs no display; matplotlib is loaded here and not before."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def time_axis(axes: "Axes", label: str = "time, UTC") -> None:
    """Label the x axis of `axes` as instants, each as short as its neighbours allow; instants are naive UTC."""
    from matplotlib.dates import ConciseDateFormatter

    axes.set_xlabel(label)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(axes.xaxis.get_major_locator()))  # type: ignore[no-untyped-call]


def as_markdown(figure: "Figure", title: str) -> dg.MarkdownMetadataValue:
    """Return a figure as Markdown that carries the picture itself; `title` is its text for who cannot see it."""
    picture = BytesIO()
    figure.savefig(picture, format="png")
    encoded = base64.b64encode(picture.getvalue()).decode()
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{encoded})")
