"""The rules that every reading is judged by: their names, their order, and what may follow from breaking one."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator

Rule = Literal[
    "required",
    "type",
    "sensor_id",
    "unit",
    "not_a_number",
    "infinite",
    "range",
    "future",
    "too_old",
    "rate_of_change",
    "flat_line",
    "out_of_order",
    "duplicate",
]
"""A rule; what each asks is said in `gl_assets.transforms.pipeline`."""

ChosenRule = Literal["range", "future", "too_old", "rate_of_change", "flat_line", "out_of_order", "duplicate"]
"""A rule that a plant decides on. The others always reject: no row of the table could hold what breaks them."""


def _action(value: object) -> object:
    # a bare `off` is the truth value false in YAML
    return "off" if value is False else value


Action = Annotated[Literal["reject", "lower", "off"], BeforeValidator(_action)]
"""What follows: the reading is rejected, its score is lower, or nothing."""

RULES: tuple[Rule, ...] = get_args(Rule)
"""All rules; the position is the bit in `scada.readings.defects`, so none may ever be moved."""

BIT: dict[Rule, int] = {rule: 1 << place for place, rule in enumerate(RULES)}
"""Rule -> its bit in a mask of broken rules."""
