"""kill -9 of a real writer process, again and again: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from resources.window_buffer.reader import BufferReader
from tests.faults.buffer_writer import SENSORS, open_buffer

ROUNDS = 12
ROOT = Path(__file__).resolve().parents[2]


def run_and_kill(folder: Path, first: int, acknowledged_at_least: int) -> list[int]:
    """Run a writer until it has acknowledged some batches, kill it in the midst, return what it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.buffer_writer", str(folder), str(first)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    seen: list[int] = []
    for line in process.stdout:
        seen.append(int(line))
        if len(seen) >= acknowledged_at_least:
            break
    os.kill(process.pid, signal.SIGKILL)
    # what it had acknowledged before it died is still in the pipe; a line cut off was not acknowledged
    rest = process.stdout.read()
    seen += [int(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
    process.stdout.close()
    assert process.wait(30) == -signal.SIGKILL
    return seen


def test_writer_when_killed_again_and_again_then_all_it_acknowledged_is_read_back_once(tmp_path: Path) -> None:
    generator = random.Random(4)
    acknowledged: set[int] = set()
    first = 0
    for _ in range(ROUNDS):
        seen = run_and_kill(tmp_path, first, generator.randrange(1, 120))
        acknowledged.update(seen)
        first = max(acknowledged) + 1000
    with open_buffer(tmp_path) as buffer:
        buffer.close_all()
        gaps = [gap for gap in buffer.gaps() if gap.reason == "no collector ran"]
        assert len(gaps) == ROUNDS
        assert all(gap.until is not None and gap.until - gap.since < timedelta(seconds=60) for gap in gaps)
        rows = buffer.counts()["line"].buffered
    reader = BufferReader(tmp_path)
    found: dict[int, set[int]] = {}
    sequences: list[int] = []
    for window in reader.windows():
        contents = reader.read(window.window_start)
        assert contents.deduplicated == {}
        assert contents.complete
        table = contents.readings
        sequences += table["sequence"].to_pylist()
        for value, key in zip(table["value"].to_pylist(), table["sensor_key"].to_pylist(), strict=True):
            assert key not in found.setdefault(int(value), set()), "a reading twice"
            found[int(value)].add(key)
    lost = acknowledged - found.keys()
    assert not lost
    # a batch spans two windows; one that was not acknowledged may be there in part, an acknowledged one is whole
    assert all(len(found[number]) == SENSORS for number in acknowledged)
    assert len(set(sequences)) == len(sequences)
    assert rows == sum(len(keys) for keys in found.values())
