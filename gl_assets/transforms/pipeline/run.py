"""The steps in order: what `refine` returns is what can be stored, scored, and what cannot, with every reason."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from gl_assets.transforms.calibration import Calibrations
from gl_assets.transforms.pipeline.columns import Columns, Mask, normalise
from gl_assets.transforms.pipeline.convert import calibrate, convert, overflowed
from gl_assets.transforms.pipeline.findings import Broken, add, rejected
from gl_assets.transforms.pipeline.incomplete import without_incomplete
from gl_assets.transforms.pipeline.neighbours import Before, flat, implausible, leaps, out_of_order
from gl_assets.transforms.pipeline.reasons import REJECTED_SCHEMA, rejected_rows
from gl_assets.transforms.pipeline.score import codes_of, levels_of, scores_of
from gl_assets.transforms.pipeline.values import duplicates, value_findings
from gl_assets.transforms.sensors import SensorTable

Step = Callable[[str], AbstractContextManager[None]]
"""Measures what is done inside, under the step's name."""

STEPS = ("validate", "normalise", "calibrate", "convert", "score")
"""What `refine` does; enriching and the output follow where the sensors' facts and the frame are wanted."""


@dataclass(frozen=True, slots=True)
class Refined:
    """The readings of a window, parted."""

    good: Columns
    """What can be stored."""
    codes: npt.NDArray[np.int32]
    """Of each row of `good`: all that its score depends on (`score.codes_of`)."""
    quality_score: npt.NDArray[np.float32]
    quality_level: npt.NDArray[np.int8]
    """Position in `quality.LEVEL_NAMES`."""
    rejected: pa.Table
    """REJECTED_SCHEMA."""

    @property
    def defects(self) -> npt.NDArray[np.int16]:
        """Bits of the rules that each row of `good` breaks."""
        return (self.codes >> 2).astype(np.int16)


@dataclass(frozen=True, slots=True)
class Context:
    """What a window's readings are judged with; what is left out is not known, or not done."""

    calibrations: Calibrations | None = None
    before: Before | None = None
    """The last reading of each sensor before the window."""
    history: bool = False
    """The readings were read from history: received long after their time, and in no order."""
    step: Step = lambda name: nullcontext()


def refine(readings: pa.Table, rejects: pa.Table, sensors: SensorTable, context: Context | None = None) -> Refined:
    """Return the readings of a window validated, normalised, calibrated, converted and scored.

    Args:
        readings: One row per (sensor_key, time): time, sensor_key, value, status, received_at, sequence.
        rejects: What was rejected before: with `sensor_id`, `time` and `reasons` it tells which readings were
            overtaken.
        sensors: The window's sensors.
        context: What else is known.
    """
    context = context or Context()
    with context.step("validate"):
        readings, incomplete = without_incomplete(readings, sensors)
    with context.step("normalise"):
        columns, null = normalise(readings, sensors)
    with context.step("validate"):
        found = _Sieve(columns, null, sensors, value_findings(columns, null, sensors, history=context.history))
        add(found.broken, "duplicate", duplicates(columns, rejects, sensors), columns, sensors)
        found.judge_neighbours(context)
    with context.step("calibrate"):
        found.columns = calibrate(found.columns, context.calibrations)
    with context.step("convert"):
        found.columns = convert(found.columns, sensors)
        add(found.broken, "infinite", overflowed(found.columns), found.columns, sensors)
        found.sift()
    with context.step("score"):
        codes = codes_of(found.columns.status, found.broken)
        scores, levels = scores_of(codes), levels_of(codes)
    with context.step("validate"):
        rejected_table = pa.concat_tables([incomplete, *found.rejected])
    return Refined(found.columns, codes, scores, levels, rejected_table)


class _Sieve:
    """Readings that have not been rejected so far, with what they break, and the rows of those that have."""

    def __init__(self, columns: Columns, null: Mask, sensors: SensorTable, broken: Broken) -> None:
        self.columns, self.broken = columns, broken
        self._null, self._sensors = null, sensors
        self.rejected: list[pa.Table] = [REJECTED_SCHEMA.empty_table()]

    def take_out(self) -> tuple[Columns, Broken, Mask]:
        """Part what breaks a rule that rejects from the rest, and return it."""
        rows = rejected(self.broken, self.columns, self._sensors)
        out = self.columns.take(rows), self.broken[rows], self._null[rows]
        if len(rows):
            self.columns = self.columns.without(rows)
            self.broken, self._null = np.delete(self.broken, rows), np.delete(self._null, rows)
        return out

    def reject(self, columns: Columns, broken: Broken, null: Mask) -> None:
        """Keep what was taken out as rejected rows."""
        if len(columns):
            self.rejected.append(rejected_rows(columns, broken, null, self._sensors))

    def sift(self) -> None:
        """Take out and keep as rejected what breaks a rule that rejects."""
        self.reject(*self.take_out())

    def judge_neighbours(self, context: Context) -> None:
        """Reject what cannot be stored, and judge the rest by what came before it: no reading by a rejected one."""
        before = context.before or Before.nothing(self._sensors)
        out, out_broken, out_null = self.take_out()
        columns, broken, sensors = self.columns, self.broken, self._sensors
        far = np.empty(0, dtype=np.intp)
        if len(columns):
            far = implausible(columns, sensors, before)
            add(broken, "rate_of_change", far, columns, sensors)
            add(broken, "flat_line", flat(columns, sensors, before), columns, sensors)
            if sensors.watches("out_of_order") and not context.history:
                add(broken, "out_of_order", out_of_order(columns), columns, sensors)
        if len(out):
            add(out_broken, "rate_of_change", leaps(out, columns.without(far), sensors, before), out, sensors)
            self.reject(out, out_broken, out_null)
        self.sift()
