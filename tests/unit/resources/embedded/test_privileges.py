from __future__ import annotations

import os
from pathlib import Path

import pytest

from resources.core.errors import ConfigError
from resources.embedded import privileges
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    (tmp_path / "closed").mkdir(mode=0o700)
    return tmp_path / "closed" / "data"


def test_drop_prefix_when_not_root_is_empty(monkeypatch: pytest.MonkeyPatch, hidden: Path):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert privileges.drop_prefix(hidden) == []


def test_drop_prefix_when_root_and_reachable_becomes_nobody(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert privileges.drop_prefix(Path("/srv/data"))[0] == "setpriv"


def test_drop_prefix_when_root_and_hidden_takes_a_namespace(monkeypatch: pytest.MonkeyPatch, hidden: Path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert privileges.drop_prefix(hidden)[0] == "unshare"


def test_drop_prefix_when_neither_works_says_where_to_move(monkeypatch: pytest.MonkeyPatch, hidden: Path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="set GL_HOME"):
        privileges.drop_prefix(hidden)


def test_database_when_its_folder_is_hidden_still_runs(programs: ServerPrograms, hidden: Path):
    server = EmbeddedPostgres(hidden, programs)
    server.start()
    assert server.is_ready()
    server.stop()
