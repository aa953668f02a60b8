"""What was refused, in the table and as a metric."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from resources.agents.record.refusal_book import RefusalBook, figures_path, forget_refusals, read_figures, read_refusals
from resources.agents.wire.refusals import Refusals, RefusedError
from resources.core.clock import ManualClock
from resources.databases.timescale.connection import connect
from sensors.collector.shown.agent_metrics import agent_families

NOW = datetime(2026, 11, 22, 10, 15, 30, tzinfo=UTC)


@pytest.fixture
def refusals() -> Refusals:
    return Refusals("GL-001", ManualClock(NOW))


def refuse(refusals: Refusals, times: int, reason: str = "unknown_key", claimed: str = "GL-007") -> None:
    for _ in range(times):
        refusals.add(RefusedError(reason, "no such key", claimed=claimed), "gl/s/agents/GL-007/response")


def counted(home: Path) -> dict[tuple[str, ...], float]:
    return {tuple(s.labels.values()): s.value for family in agent_families(home) for s in family.samples}


def test_refusals_when_written_by_two_processes_then_added_up_in_table_and_metric(
    refusals: Refusals, database_url: str, tmp_path: Path
) -> None:
    other = Refusals("GL-001", ManualClock(NOW + timedelta(seconds=10)))
    with connect(database_url, autocommit=True) as connection:
        for found, times in ((refusals, 3), (other, 4)):
            book = RefusalBook(found, site="s", home=tmp_path)
            book.write(connection)
            refuse(found, times)
            book.write(connection)
            book.write(connection)
        (row,) = read_refusals(connection, "s", NOW - timedelta(hours=1))
        assert (row.refused, row.claimed, row.first_at, row.last_at) == (7, "GL-007", NOW, NOW + timedelta(seconds=10))
        assert read_refusals(connection, "other", NOW - timedelta(hours=1)) == []
        assert counted(tmp_path) == {("GL-001", "unknown_key"): 7.0}
        forget_refusals(connection, NOW + timedelta(days=89))
        assert len(read_refusals(connection, "s", NOW - timedelta(hours=1))) == 1
        forget_refusals(connection, NOW + timedelta(days=91))
        assert read_refusals(connection, "s", NOW - timedelta(hours=1)) == []


def test_refusals_when_the_database_is_gone_then_kept_until_it_is_back(
    refusals: Refusals, database_url: str, tmp_path: Path
) -> None:
    book = RefusalBook(refusals, site="s", home=tmp_path)
    refuse(refusals, 2)
    gone = connect(database_url, autocommit=True)
    gone.close()
    with pytest.raises(psycopg.OperationalError):
        book.write(gone)
    refuse(refusals, 1)
    assert counted(tmp_path) == {}
    with connect(database_url, autocommit=True) as connection:
        book.write(connection)
        assert [row.refused for row in read_refusals(connection, "s", NOW - timedelta(hours=1))] == [3]
    assert counted(tmp_path) == {("GL-001", "unknown_key"): 3.0}


def test_figures_when_the_file_is_damaged_or_cannot_be_written_then_the_table_still_counts(
    refusals: Refusals, database_url: str, tmp_path: Path
) -> None:
    figures_path(tmp_path).parent.mkdir()
    for damaged in ("{", '{"version": 1, "refused": [1]}', '{"version": 2, "refused": {"a": {"b": 1}}}', "[]"):
        figures_path(tmp_path).write_text(damaged)
        assert read_figures(tmp_path) == {}
    (tmp_path / "file").write_text("no folder")
    refuse(refusals, 1)
    with connect(database_url, autocommit=True) as connection:
        RefusalBook(refusals, site="s", home=tmp_path / "file").write(connection)
        assert [row.refused for row in read_refusals(connection, "s", NOW - timedelta(hours=1))] == [1]
