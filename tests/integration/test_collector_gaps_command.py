"""`gl gaps` against a real buffer and a real database."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from click.testing import CliRunner

from gl_assets.cli.stored.gaps import gaps
from resources.core.process.home import gl_home
from resources.core.tags import Sensor, SensorCatalog
from resources.core.windows import WindowGrid
from resources.databases.timescale.rework.gaps import write_gaps
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.model import Gap

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def shown(*arguments: str) -> list[dict[str, object]]:
    done = CliRunner().invoke(gaps, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_gaps_when_without_a_database_then_those_of_the_buffer() -> None:
    assert shown() == []
    assert "No gaps." in CliRunner().invoke(gaps, []).stdout
    with WindowBuffer(
        gl_home() / "buffer",
        collector="edge",
        grid=WindowGrid(timedelta(minutes=1)),
        start=NOON,
        catalog=SensorCatalog([Sensor("a", "bar", "boilers")]),
    ) as buffer:
        buffer.open_gap("boilers", NOON, "unreachable: no reply")
        buffer.close_gap("boilers", NOON + timedelta(seconds=90))
        buffer.open_gap("furnace", NOON, "auth: refused")
    found = shown("--source", "boilers")
    assert [(g["source"], g["seconds"], g["reason"]) for g in found] == [("boilers", 90.0, "unreachable: no reply")]
    assert [g["source"] for g in shown("--open")] == ["furnace"]
    table = CliRunner().invoke(gaps, []).stdout
    assert "boilers" in table
    assert "open" in table


def test_gaps_when_there_is_a_database_then_its_rows(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    gap = Gap(1, "boilers", NOON, NOON + timedelta(seconds=5), "too slow")
    with psycopg.connect(database_url) as connection:
        write_gaps(connection, site="site", collector="edge", gaps=[gap])
    (found,) = shown("--unfilled")
    assert (found["collector"], found["seconds"]) == ("edge", 5.0)
    assert shown("--from-buffer") == []
