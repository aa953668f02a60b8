"""The rules of the filtered sensors as arrays, and the times that bound them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from resources.core.configuration.settings import Report, TagConfig

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Slots = npt.NDArray[np.intp]
"""Positions of filtered sensors in the arrays below."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The times of the buffer behind the filter, in microseconds: it judges by them, so the filter has to know them."""

    window: int
    """Length of a window."""
    grace: int
    """A window closes this long after its end."""
    start: int
    """Readings before this instant are rejected."""
    future: int
    """Readings further ahead of the clock than this are rejected, or held until a clock is right."""


@dataclass(frozen=True, slots=True)
class Rules:
    """One entry per filtered sensor, aligned."""

    keys: npt.NDArray[np.int32]
    """Number of the sensor in the catalog."""
    door: Mask
    """True: a swinging door; False: a deadband, which is 0 for `change`."""
    absolute: Floats
    """Deadband or deviation, in the tag's unit."""
    relative: Floats
    """Deadband as a share of the last value kept."""
    silence: Int64s
    """A value this long after the last one kept is kept, microseconds."""

    @staticmethod
    def of(tags: Sequence[tuple[int, TagConfig]]) -> Rules:
        """Return the rules of (number of the sensor, tag with `report`)."""
        return Rules(
            keys=np.array([key for key, _ in tags], dtype=np.int32),
            door=np.array([_report(tag).when == "swinging_door" for _, tag in tags], dtype=np.bool_),
            absolute=np.array([_absolute(tag) for _, tag in tags], dtype=np.float64),
            relative=np.array([_relative(tag) for _, tag in tags], dtype=np.float64),
            silence=np.array(
                [round(_report(tag).max_silence.total_seconds() * 1e6) for _, tag in tags], dtype=np.int64
            ),
        )

    def __len__(self) -> int:
        """Return how many sensors are filtered."""
        return len(self.keys)


def _report(tag: TagConfig) -> Report:
    assert tag.report is not None
    return tag.report


def _absolute(tag: TagConfig) -> float:
    report = _report(tag)
    if report.deadband_percent is not None and report.percent_of == "span":
        assert tag.minimum is not None
        assert tag.maximum is not None
        return (tag.maximum - tag.minimum) * report.deadband_percent / 100.0
    return report.deadband or report.deviation or 0.0


def _relative(tag: TagConfig) -> float:
    report = _report(tag)
    of_value = report.deadband_percent is not None and report.percent_of == "value"
    return (report.deadband_percent or 0.0) / 100.0 if of_value else 0.0
