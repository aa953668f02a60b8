"""Any sequence of appends, commits, ticks, crashes and reopenings reads back exactly what was acknowledged, once."""

from __future__ import annotations

import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from resources.core.clock import ManualClock
from resources.core.readings import ReadingBatch
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.reader import BufferReader
from tests.unit.resources.window_buffer.plant import T0, open_buffer, readings, values

Key = tuple[str, datetime]


class BufferMachine(RuleBasedStateMachine):
    """The buffer beside a dictionary that stands for what it must hold."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="gl-property-"))
        self.clock = ManualClock(T0)
        self.buffer: WindowBuffer = open_buffer(self.folder, self.clock)
        self.pending: list[tuple[dict[Key, float], str]] = []
        self.acknowledged: list[str] = []
        self.held: dict[Key, float] = {}
        self.maybe: dict[Key, float] = {}
        self.closed: set[tuple[datetime, int]] = set()
        self.rows = 0

    @rule(ages=st.lists(st.integers(0, 200), min_size=1, max_size=4, unique=True), key=st.integers(0, 3))
    def append(self, ages: list[int], key: int) -> None:
        self.rows += 1
        name = str(self.rows)
        times = [self.clock.now() - timedelta(seconds=age, microseconds=self.rows) for age in ages]
        batch = readings(times, [key] * len(times), [self.rows] * len(times))
        self.pending.append(({(f"a{key}", t): float(self.rows) for t in times}, name))
        self.buffer.append(
            ReadingBatch("alpha", readings=batch.readings, acknowledge=lambda: self.acknowledged.append(name))
        )

    @rule()
    def commit(self) -> None:
        for acknowledge in self.buffer.commit().acknowledgements:
            acknowledge()
        self._made_durable()

    def _made_durable(self) -> None:
        for rows, _ in self.pending:
            self.held.update(rows)
        self.pending.clear()

    @rule(seconds=st.sampled_from([0.5, 10, 35, 70, 200]))
    def tick(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for window in self.buffer.tick():
            assert (window.window_start, window.revision) not in self.closed
            self.closed.add((window.window_start, window.revision))
        self._made_durable()

    @rule()
    def crash(self) -> None:
        """Copy the folder while it is open and go on with the copy: what a kill leaves behind."""
        copy = Path(tempfile.mkdtemp(prefix="gl-property-"))
        shutil.copytree(self.folder, copy, dirs_exist_ok=True)
        self._close()
        self.folder = copy
        self.pending.clear()
        self.buffer = open_buffer(self.folder, self.clock)

    @rule()
    def reopen(self) -> None:
        self.buffer.close()
        self._made_durable()
        self.buffer = open_buffer(self.folder, self.clock)

    @invariant()
    def nothing_is_acknowledged_before_it_is_durable(self) -> None:
        assert not {name for _, name in self.pending} & set(self.acknowledged)

    def _close(self) -> None:
        self.buffer.close()
        shutil.rmtree(self.folder)

    def teardown(self) -> None:
        if not hasattr(self, "buffer"):
            return
        self.commit()
        self.clock.advance(400)
        self.buffer.tick()
        reader = BufferReader(self.folder)
        found: dict[Key, float | None] = {}
        for window in reader.windows():
            contents = reader.read(window.window_start)
            assert contents.deduplicated == {}
            assert contents.complete
            for key, value in values(contents).items():
                assert window.window_start <= key[1] < window.window_end
                assert key not in found
                found[key] = value
        assert found == self.held
        assert self.buffer.counts().get("alpha") is None or self.buffer.counts()["alpha"].buffered == len(self.held)
        self._close()


BufferMachine.TestCase.settings = settings(max_examples=20, stateful_step_count=25, deadline=None)
TestBuffer = BufferMachine.TestCase
