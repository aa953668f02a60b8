"""`gl bench targets`: every target of the user's specification beside the value measured on this machine.

Real servers and real sockets throughout; where another benchmark measures the same thing, its part is run, not written
again. What the targets are stands in `targets_list.py`, and how each is measured in the module of its part.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any

import structlog

from benchmarks.scratch_database import machine
from benchmarks.targets.listed import PARTS, judged, missed
from resources.core.errors import ConfigError


def run(progress: Callable[[str], None], *, parts: Iterable[str] = PARTS) -> dict[str, Any]:
    """Return `targets` (name, target, unit, measured, met of each), and the names of those missed.

    Args:
        progress: Called with a line about what is being done.
        parts: What to measure.

    Raises:
        ConfigError: There is no such part.
    """
    parts = tuple(parts)
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"gl bench targets has no part {part}: there are {', '.join(PARTS)}")
    before = machine()
    figures: dict[str, float] = {}
    quiet = structlog.get_config()
    # logs of what is measured would be in the figures and between the lines of progress
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    try:
        for part in parts:
            figures |= importlib.import_module(f"benchmarks.targets.{part}").measure(progress)
    finally:
        structlog.configure(**quiet)
    return {"machine": before, "targets": judged(figures), "missed": missed(figures)}
