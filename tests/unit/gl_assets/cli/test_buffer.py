from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from gl_assets.cli.main import cli
from resources.core.clock import ManualClock, to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.core.windows import WindowGrid
from resources.window_buffer.buffer import WindowBuffer

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SOURCE = "boiler_house_north_1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A buffer with two windows, a gap and every kind of counter, large numbers and all."""
    monkeypatch.setenv("GL_HOME", str(tmp_path))
    clock = ManualClock(NOON)
    buffer = WindowBuffer(
        tmp_path / "buffer",
        collector="edge",
        grid=WindowGrid(timedelta(minutes=15)),
        start=NOON - timedelta(days=1),
        catalog=SensorCatalog([Sensor("a", "bar", SOURCE)]),
        clock=clock,
    )
    for _ in range(2):
        now_us = to_micros(clock.now())
        buffer.append(ReadingBatch(SOURCE, readings_batch([now_us], [0], [1.0], 0, now_us)))
        buffer.commit()
        clock.advance(900)
        buffer.tick()
    counts = {"sent": 1_234_567_890, "in_gaps": 123_456_789, "suppressed": 987_654_321, "overruns": 12_345_678}
    buffer.add_counts(SOURCE, **counts)
    buffer.commit()
    buffer.open_gap(
        SOURCE,
        clock.now(),
        "unreachable: [Errno 111] opc_ua opc.tcp://10.0.0.5:4840: connection refused; check the host",
    )
    buffer.close()
    return tmp_path


def test_stats_when_the_terminal_has_80_columns_then_nothing_is_cut(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(cli, ["buffer", "stats"]).stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown
    for word in (
        SOURCE,
        "1234567890",
        "123456789",
        "987654321",
        "suppressed",
        "in_gaps",
        "2026-11-22 12:30:00",
        "complete",
    ):
        assert word in shown, word
    assert "[Errno" in shown
    assert "check the host" in " ".join(shown.replace("│", " ").split())


def test_stats_when_json_then_every_counter_in_full(home: Path) -> None:
    found = json.loads(CliRunner().invoke(cli, ["buffer", "stats", "--json"]).stdout)
    assert found["counts"][SOURCE]["other"] == {"suppressed": 987_654_321, "overruns": 12_345_678}
    assert found["counts"][SOURCE]["buffered"] == 2
    assert {"window", "revision", "stored_revision", "closed_at", "complete"} <= found["windows"][0].keys()
