from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click
import psycopg
import pytest

from gl_assets.cli.state import (
    REPOSITORY,
    Databases,
    dagster_url,
    databases,
    only_one,
    own_databases,
    prepare_dagster_home,
    prepare_database,
    refuse_public_address,
)
from resources.core.errors import ConfigError
from resources.databases.timescale.edition import Edition
from resources.databases.timescale.migrate import is_current
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms


@pytest.fixture
def home(server_folder: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GL_HOME that the unprivileged user of the embedded server can reach."""
    home = server_folder / request.node.name[:40]
    monkeypatch.setenv("GL_HOME", str(home))
    return home


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:1/d", "postgresql+psycopg2://u:p@h:1/d?options=-csearch_path%3Ddagster"),
        (
            "postgres://u:p@h/d?sslmode=require",
            "postgresql+psycopg2://u:p@h/d?sslmode=require&options=-csearch_path%3Ddagster",
        ),
    ],
    ids=["plain", "with-options"],
)
def test_own_databases_when_only_the_platforms_is_named_then_dagster_gets_a_schema_in_it(url: str, expected: str):
    assert own_databases(url) == Databases(url, expected)


def test_own_databases_when_dagsters_is_named_too_then_it_is_taken(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GL_DAGSTER_POSTGRES_URL", "postgresql+psycopg2://other/d")
    assert own_databases("postgresql://h/d").dagster == "postgresql+psycopg2://other/d"
    assert dagster_url("postgresql://h/d") == "postgresql+psycopg2://h/d"


def test_prepare_database_when_shared_then_dagster_has_a_schema_that_its_url_leads_to(empty_database_url: str):
    found = own_databases(empty_database_url)
    assert prepare_database(found) is Edition.APACHE
    assert prepare_database(found) is Edition.APACHE
    driver = found.dagster.replace("postgresql+psycopg2://", "postgresql://")
    with psycopg.connect(driver) as connection:
        assert connection.execute("SELECT current_schema()").fetchone() == ("dagster",)
        assert is_current(connection)


def test_databases_when_a_server_of_ones_own_is_named_then_it_is_migrated_and_named_meanwhile(
    empty_database_url: str, monkeypatch: pytest.MonkeyPatch, home: Path
):
    monkeypatch.setenv("GL_DATABASE_URL", empty_database_url)
    said: list[str] = []
    with databases(said.append) as found:
        assert found.platform == empty_database_url
        assert os.environ["GL_DAGSTER_POSTGRES_URL"] == found.dagster
        assert os.environ["DAGSTER_HOME"] == str(home / "dagster")
        with psycopg.connect(found.platform) as connection:
            assert is_current(connection)
    assert said == []
    assert "DAGSTER_HOME" not in os.environ
    assert os.environ["GL_DATABASE_URL"] == empty_database_url
    assert not (home / "postgres").exists()


def test_databases_when_none_is_named_then_the_embedded_server_runs_for_the_length_of_the_block(
    home: Path, programs: ServerPrograms
):
    said: list[str] = []
    with databases(said.append) as found, psycopg.connect(found.platform) as connection:
        assert is_current(connection)
        assert "starting the embedded database" in said
        # a command beside it uses the server that runs, and leaves it running
        with databases(said.append) as second:
            assert second == found
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert said.count("starting the embedded database") == 1
    assert "GL_DATABASE_URL" not in os.environ
    assert not EmbeddedPostgres(home / "postgres", programs).is_ready()


def test_databases_when_the_running_server_has_no_connection_left_then_it_is_waited_for_and_left_running(
    home: Path, programs: ServerPrograms
):
    server = EmbeddedPostgres(home / "postgres", programs)
    server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_connections = 10")
    server.stop()
    server.start()
    pid_file, log = server.data / "postmaster.pid", server.home / "server.log"
    before, held = pid_file.read_text().split()[0], contextlib.ExitStack()
    with contextlib.suppress(psycopg.OperationalError):
        while True:
            held.enter_context(psycopg.connect(server.url()))
    refused = log.read_text().count("too many clients")

    def give_back_once_it_was_refused() -> None:
        while log.read_text().count("too many clients") == refused:
            time.sleep(0.02)
        held.close()

    with ThreadPoolExecutor(1) as beside:
        given_back = beside.submit(give_back_once_it_was_refused)
        with databases() as found:
            assert found.platform == server.url()
        given_back.result()
    assert pid_file.read_text().split()[0] == before
    server.stop()


def test_databases_when_the_block_fails_then_the_embedded_server_is_stopped_all_the_same(
    home: Path, programs: ServerPrograms
):
    with pytest.raises(ConfigError, match="on purpose"), databases():
        raise ConfigError("on purpose")
    assert not EmbeddedPostgres(home / "postgres", programs).is_ready()


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the home."""
    code = (
        "import sys; from pathlib import Path; from gl_assets.cli.state import only_one\n"
        f"with only_one(Path({str(tmp_path)!r}), 'x'): print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.communicate()


def test_only_one_when_another_process_holds_the_home_then_it_is_named(tmp_path: Path, holder: subprocess.Popen[str]):
    with pytest.raises(ConfigError) as found, only_one(tmp_path, "gl ingest"):
        pass
    assert f"{tmp_path}: process {holder.pid} already runs the platform here" in str(found.value)
    assert "before gl ingest" in str(found.value)
    holder.communicate()
    with only_one(tmp_path, "gl ingest"):
        assert (tmp_path / "up.lock").read_text() == str(os.getpid())


def test_dagster_home_when_prepared_again_then_it_has_the_repositorys_file(tmp_path: Path):
    for _ in range(2):
        assert (prepare_dagster_home(tmp_path) / "dagster.yaml").resolve() == REPOSITORY / "dagster.yaml"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_address_when_loopback_then_it_is_allowed(host: str):
    refuse_public_address(host, exposed=False, what="x")


def test_address_when_public_then_it_must_be_said_in_words():
    refuse_public_address("0.0.0.0", exposed=True, what="x")
    with pytest.raises(click.UsageError, match="the Dagster UI has no login"):
        refuse_public_address("0.0.0.0", exposed=False, what="the Dagster UI")
