from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from resources.integrations import Integrations
from resources.window_buffer.disk.index import Index
from sensors.collector import main as module
from tests.unit.sensors.collector.bench import NOON, until

CONFIG = Integrations.model_validate({"site": "plant", "start": NOON - timedelta(days=1), "collector": {"port": 0}})


class Disk:
    """A disk on which no index can be made while it is full; SQLite's own limit stands for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full, self.refused = True, 0
        prepare = Index._prepare

        def prepare_on_disk(index: Index) -> None:
            if self.full:
                index.run("PRAGMA max_page_count = 2")
                self.refused += 1
            prepare(index)

        monkeypatch.setattr(Index, "_prepare", prepare_on_disk)
        monkeypatch.setattr(module, "DISK_RETRY_S", 0.01)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.delenv("GL_DATABASE_URL", raising=False)
    return Disk(monkeypatch)


async def test_run_when_the_disk_is_too_full_to_begin_then_it_says_so_once_waits_and_begins_when_there_is_room(
    disk: Disk, tmp_path: Path
) -> None:
    stop = asyncio.Event()
    with capture_logs() as logs:
        running = asyncio.create_task(module.run(CONFIG, tmp_path, stop=stop))
        await until(lambda: disk.refused >= 3 or running.done())
        assert not running.done()
        disk.full = False
        await until((tmp_path / "collector.json").exists)
        stop.set()
        assert await asyncio.wait_for(running, 60) == 0
    (said,) = [entry for entry in logs if entry["event"] == "collector_waits_for_disk"]
    assert str(tmp_path) in said["remedy"]


async def test_run_when_it_is_stopped_while_it_waits_for_disk_then_it_ends(disk: Disk, tmp_path: Path) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(module.run(CONFIG, tmp_path, stop=stop))
    await until(lambda: disk.refused >= 1 or running.done())
    stop.set()
    assert await asyncio.wait_for(running, 60) == 0
