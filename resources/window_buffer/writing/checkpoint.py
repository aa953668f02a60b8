"""The checkpoint: everything the index says, brought up to the files in one transaction.

Between checkpoints the segments are ahead of the index, and a start reads the difference from them. So whatever
changes a window's row has to come with the whole checkpoint: the row's size says how far counters, sequences and last
known times were saved.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict

from resources.core.clock import Clock, to_micros
from resources.window_buffer.books import Tally
from resources.window_buffer.disk.index import Index
from resources.window_buffer.judging.clock_skew import SkewWatch, StepWatch
from resources.window_buffer.writing.committer import Committer, Parts


class Checkpoint:
    """Saves the writer's state."""

    def __init__(self, index: Index, parts: Parts, committer: Committer, tally: Tally, clock: Clock) -> None:
        """Save what these know."""
        self.tally = tally
        self.first: Callable[[], None] | None = None
        """What the first checkpoint of a run notes besides; it is tried with each until one is durable."""
        self._index = index
        self._parts = parts
        self._committer = committer
        self._clock = clock

    def observe(self, steps: StepWatch, skew: SkewWatch) -> None:
        """Take over what the clock watches say."""
        self.tally.clock_steps, self.tally.last_clock_step_s = steps.steps, steps.last_step_s
        self.tally.clock_alarms = dict(skew.alarms)

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Run a block and save everything, as one durable transaction."""
        try:
            with self._index.transaction():
                if self.first is not None:
                    self.first()
                yield
                self._save()
        except BaseException:
            self._parts.windows.settle(saved=False)
            # memory may be ahead of the index now: the next checkpoint writes it all again
            for window in self._parts.windows.held.values():
                window.dirty = True
            for file in self._parts.held.files.values():
                file.dirty = True
            self._parts.sensors.dirty = True
            raise
        self.first = None
        self._parts.counts.saved()
        self._parts.windows.settle(saved=True)

    def begin(self) -> None:
        """Make the first checkpoint of the run, unless it was made.

        Raises:
            BufferFullError: The index cannot be written.
        """
        if self.first is not None:
            with self.saving():
                pass

    def _save(self) -> None:
        self._parts.windows.save_dirty()
        self._parts.held.save_dirty()
        self._parts.counts.save()
        if not self._committer.stalled_rows:
            # rows that found no room are judged but not durable: their times must not be known yet
            self._parts.sensors.save()
        self._index.set_meta(
            next_sequence=self._committer.writer.next_sequence,
            heartbeat=to_micros(self._clock.now()),
            tally=json.dumps(asdict(self.tally)),
        )
