"""A real window buffer in a folder of the test, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from resources.core.clock import ManualClock
from resources.core.windows import WindowGrid
from resources.window_buffer.buffer import WindowBuffer
from tests.unit.sensors.collector.bench import CATALOG, NOON


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def open_buffer(tmp_path: Path, clock: ManualClock) -> Iterator[Callable[..., WindowBuffer]]:
    """Open a buffer; the last one opened is closed at the end."""
    opened: list[WindowBuffer] = []

    def open_(max_bytes: int | None = None) -> WindowBuffer:
        opened.append(
            WindowBuffer(
                tmp_path / "buffer",
                collector="edge",
                grid=WindowGrid(timedelta(minutes=1)),
                start=NOON - timedelta(days=30),
                catalog=CATALOG,
                max_bytes=max_bytes,
                clock=clock,
            )
        )
        return opened[-1]

    yield open_
    for buffer in opened:
        buffer.close()


@pytest.fixture
def buffer(open_buffer: Callable[..., WindowBuffer]) -> WindowBuffer:
    return open_buffer()
