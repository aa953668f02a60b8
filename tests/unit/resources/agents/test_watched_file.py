"""A file that is replaced while the program runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from resources.agents.security import watched_file
from resources.agents.security.watched_file import WatchedFile
from resources.core.errors import ConfigError


def number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name}: not a number") from error


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "number"
    found.write_text("1")
    return found


def test_file_when_replaced_within_the_interval_then_seen_by_a_look_and_not_before(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched_file, "LOOK_EVERY_S", 3600.0)
    file = WatchedFile(path, number, unreadable="number_unreadable")
    path.write_text("22")
    assert file.current() == 1
    assert file.look()
    assert file.current() == 22
    assert not file.look()


@pytest.mark.usefixtures("seen_at_once")
def test_file_when_it_turns_unreadable_then_the_last_content_counts_and_it_is_said_once(path: Path) -> None:
    file = WatchedFile(path, number, unreadable="number_unreadable")
    with capture_logs() as logs:
        path.write_text("x")
        assert file.current() == 1
        path.unlink()
        assert file.current() == 1
        path.write_text("333")
        assert file.current() == 333
        path.write_text("none")
        assert file.current() == 333
    assert [entry["event"] for entry in logs] == ["number_unreadable"] * 2


def test_file_when_wrong_from_the_start_then_an_error(path: Path) -> None:
    path.unlink()
    with pytest.raises(ConfigError):
        WatchedFile(path, number, unreadable="number_unreadable")
