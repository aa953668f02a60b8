"""Replaying a batch of corrections: its rows go through the same pipeline as any reading, and are merged.

Window by window, one transaction each. What a row came to is found in the tables and not remembered: a replay that died
goes on where it was, and one that is repeated writes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import structlog

from gl_assets.scada.corrected_window import CorrectedWindow, corrected_contents
from gl_assets.scada.persist import persist_window
from gl_assets.scada.refining import refine_window
from gl_assets.transforms.corrections.settle import Mask, settle
from resources.core.clock import from_micros
from resources.core.errors import DataError
from resources.core.origins import corrected_of
from resources.core.windows import partition_key
from resources.databases.timescale.rework.corrections import RowOutcome
from resources.databases.timescale.rework.standing_rows import (
    Readings,
    origins_of,
    standing_at,
    standing_texts,
    stored_revision,
)
from resources.databases.timescale.window_store.conflicts import same_value
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.databases.timescale.window_store.readings_table import Window
from resources.integrations import Integrations
from resources.window_buffer.contents import WindowContents

log = structlog.get_logger(__name__)

STORED, STANDING, OCCUPIED, REJECTED = "stored", "standing", "occupied", "rejected"
"""What comes of a row: it is in the tables now; the same value stood there already; another value stands there and was
not to be replaced; the pipeline rejects it again."""

OPEN = ("pending", OCCUPIED, REJECTED)
"""Outcomes of rows that a replay tries: those that are not in the tables."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows to be replayed."""

    correction_id: int
    made_at: datetime
    rows: pa.Table
    """number and the columns of a corrected reading."""
    replace: bool = False
    """Whether a value that stands at a row's sensor and time gives way to it."""


@dataclass(slots=True)
class Replayed:
    """What came of a batch, or would."""

    outcomes: list[RowOutcome] = field(default_factory=list)
    windows: dict[datetime, int] = field(default_factory=dict)
    """Window -> rows of it that stand corrected now, or would; a replay that died may have brought some of them."""
    written: int = 0
    """Rows that were added."""
    failed: dict[str, str] = field(default_factory=dict)
    """Partition key of a window that could not be stored -> why; its rows stay pending."""

    def counts(self) -> dict[str, int]:
        """Return outcome -> rows."""
        return dict(Counter(one.outcome for one in self.outcomes))

    def reasons(self) -> dict[str, int]:
        """Return why rows are not stored -> rows, most frequent first."""
        refused = (one for one in self.outcomes if one.outcome not in (STORED, STANDING))
        return dict(Counter(reason for one in refused for reason in one.why).most_common())


class ReadingsReplay:
    """One batch of corrected readings on its way into the tables.

    Args:
        config: The configuration.
        store: The store of readings.
        batch: The rows.
        now: The present instant.
    """

    def __init__(self, config: Integrations, store: ReadingsStore, batch: Batch, *, now: datetime) -> None:
        self._config, self._store, self._batch = config, store, batch
        self._name = corrected_of(config.collector.name)
        # a window that is not over has no partition yet
        until = config.grid.start_of(now)
        self._rows = settle(batch.rows, config.tags(), start=config.start, until=until)

    def rehearse(self) -> Replayed:
        """Return what would come of every row; nothing is written."""
        found = Replayed()
        for window, at in self._windows():
            going = self._judge(window, at)
            self._rows.decide(going, STORED)
            if len(going):
                found.windows[window.start] = len(going)
        return self._with_outcomes(found)

    def carry_out(self, run_id: str) -> Replayed:
        """Store every row that can be, and return what came of each.

        Args:
            run_id: Of the Dagster run, kept with what is stored.

        Raises:
            UnreachableError: The database went away; what is stored is stored.
        """
        found = Replayed()
        for window, at in self._windows():
            going = self._judge(window, at)
            try:
                found.written += self._store_rows(window, going, run_id) if len(going) else 0
            except DataError as error:
                found.failed[partition_key(window.start)] = str(error)
                self._rows.decide(going, "pending", str(error))
                log.error("correction_set_aside", window=partition_key(window.start), error=str(error))
            stored = int(np.count_nonzero(self._rows.outcome[at] == STORED))
            if stored:
                found.windows[window.start] = stored
        return self._with_outcomes(found)

    def _with_outcomes(self, found: Replayed) -> Replayed:
        rows = self._rows
        numbers = rows.number.tolist()
        outcomes = [
            RowOutcome(number, outcome, rows.why.get(at, ()))
            for at, (number, outcome) in enumerate(zip(numbers, rows.outcome, strict=True))
        ]
        return replace(found, outcomes=outcomes)

    def _windows(self) -> Iterator[tuple[CorrectedWindow, npt.NDArray[np.intp]]]:
        """Yield the windows of the rows that go on, with the rows' positions."""
        going = np.flatnonzero(self._rows.goes_on)
        length = self._config.grid.length_us
        starts = self._rows.time_us[going] - self._rows.time_us[going] % length
        for start_us in np.unique(starts).tolist():
            start = from_micros(start_us)
            end = start + self._config.window
            window = CorrectedWindow(self._name, start, end, self._batch.correction_id, self._batch.made_at)
            yield window, going[starts == start_us]

    def _judge(self, window: CorrectedWindow, at: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
        """Decide what is known before anything is written; return the positions of the rows that go on."""
        self._look_what_stands(window, at)
        at = at[self._rows.goes_on[at]]
        if not len(at):
            return at
        contents = corrected_contents(self._rows, at, window, revision=1)
        reasons = self._refused(contents)
        for row, sequence in zip(at.tolist(), window.sequence(self._rows.number[at]).tolist(), strict=True):
            if sequence in reasons:
                self._rows.decide(np.array([row]), REJECTED, *reasons[sequence])
        going: npt.NDArray[np.intp] = at[self._rows.goes_on[at]]
        return going

    def _refused(self, contents: WindowContents) -> dict[int, list[str]]:
        """Return sequence -> reasons of the readings that the pipeline rejects."""
        rejected = refine_window(contents, self._config, self._store.connection).refined.rejected
        return dict(zip(rejected.column("sequence").to_pylist(), rejected.column("reasons").to_pylist(), strict=True))

    def _look_what_stands(self, window: CorrectedWindow, at: npt.NDArray[np.intp]) -> None:
        """Decide of the rows at whose sensor and time something stands."""
        same, other, mine = self._standing(window, at)
        self._rows.decide(at[same & mine], STORED)
        self._rows.decide(at[same & ~mine], STANDING)
        if not self._batch.replace:
            why = "another value stands at this sensor and time, and was not to be replaced"
            # what an earlier correction brought gives way to a later one
            self._rows.decide(at[other & ~mine], OCCUPIED, why)

    def _standing(self, window: CorrectedWindow, at: npt.NDArray[np.intp]) -> tuple[Mask, Mask, Mask]:
        """Return where the same stands, where something else does, and where corrections brought it.

        What corrections brought is the same if value, unit and status agree; of other rows the value alone counts.
        """
        rows, place = self._rows, self._window(window)
        connection = self._store.connection
        numbers = Readings(rows.sensors, rows.sensor[at].astype(np.int32), rows.time_us[at], rows.value[at])
        standing = standing_at(connection, place, numbers)
        origins = origins_of(connection, place)
        mine = np.isin(standing.origin_key, list(origins))
        unit = np.array([origins.get(key, "") for key in standing.origin_key.tolist()], object)
        agrees = (unit == np.array([rows.unit[row] for row in at.tolist()], object)) & (
            standing.status == rows.status[at]
        )
        same = standing.found & same_value(numbers.value, standing.value) & (~mine | agrees)
        other = standing.found & ~same
        texts = rows.is_text[at]
        if texts.any():
            held = {
                (sensor, time): text
                for sensor, time, text in standing_texts(connection, window.start, window.end, rows.sensors)
            }
            for n, row in enumerate(at.tolist()):
                key = (rows.sensors[rows.sensor[row]], from_micros(int(rows.time_us[row])))
                if texts[n]:
                    same[n] = key in held and held[key] == rows.text[row]
                    other[n] = key in held and not same[n]
        return same, other, mine

    def _store_rows(self, window: CorrectedWindow, at: npt.NDArray[np.intp], run_id: str) -> int:
        """Store rows of one window and decide what came of them; return how many were added."""
        revision = stored_revision(self._store.connection, self._window(window)) + 1
        contents = corrected_contents(self._rows, at, window, revision=revision)
        outcome = persist_window(contents, self._store, self._config, run_id=run_id)
        if not outcome.stored:
            raise DataError(f"corrections of window {partition_key(window.start)} were not stored: {outcome.why_not}")
        same, _, _ = self._standing(window, at)
        self._rows.decide(at[same], STORED)
        self._rows.decide(at[~same], REJECTED, "see scada.rejected_readings of its collector and window")
        return int(np.count_nonzero(same))

    def _window(self, window: CorrectedWindow) -> Window:
        return Window(self._config.site, window.collector, window.start, window.end, "")
