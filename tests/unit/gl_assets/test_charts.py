"""Pictures in metadata."""

import base64

import numpy as np

from gl_assets.charts import as_markdown, new_figure, time_axis


def test_as_markdown_when_a_figure_is_drawn_then_it_carries_the_picture_and_its_title():
    figure = new_figure(4.0, 2.0)
    axes = figure.add_subplot()
    axes.plot(np.array(["2026-11-22T10", "2026-11-22T11"], dtype="datetime64[s]"), [1.0, 2.0])
    time_axis(axes)

    text = as_markdown(figure, "two hours").md_str

    assert text.startswith("![two hours](data:image/png;base64,")
    assert base64.b64decode(text.removesuffix(")").split("base64,")[1]).startswith(b"\x89PNG")
    assert axes.get_xlabel() == "time, UTC"
