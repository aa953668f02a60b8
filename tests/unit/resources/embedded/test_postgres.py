from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from resources.core.errors import PlatformError, UnreachableError
from resources.embedded import privileges
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms, find_programs


@pytest.fixture
def server(programs: ServerPrograms, server_folder: Path, request: pytest.FixtureRequest):
    made = EmbeddedPostgres(server_folder / request.node.name, programs)
    yield made
    made.stop()


def test_start_when_new_makes_both_databases_with_timescaledb(server: EmbeddedPostgres):
    server.start()
    for database in ("gl", "dagster"):
        with psycopg.connect(server.url(database)) as connection:
            connection.execute("CREATE EXTENSION timescaledb")
            assert connection.execute("SHOW timescaledb.license").fetchone() == ("apache",)
            assert connection.execute("SHOW fsync").fetchone() == ("on",)


def test_start_after_kill_recovers_what_was_committed(server: EmbeddedPostgres):
    server.start()
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    server.kill()
    server.start()
    with psycopg.connect(server.url()) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_start_when_the_remembered_port_is_taken_takes_another(server: EmbeddedPostgres):
    server.start()
    first = server.port
    server.stop()
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", first))
        other.listen()
        server.start()
        assert server.port != first
        assert server.is_ready()


def test_end_forgotten_when_an_earlier_server_was_left_ends_it_and_the_next_has_its_data(
    server: EmbeddedPostgres, programs: ServerPrograms
):
    server.start()
    with psycopg.connect(server.url()) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    second = EmbeddedPostgres(server.home, programs)
    second.end_forgotten()
    second.start()
    with psycopg.connect(second.url()) as connection:
        assert connection.execute("SELECT one FROM kept").fetchone() == (1,)
    second.stop()


def test_attach_when_another_process_runs_the_server_uses_it(server: EmbeddedPostgres, programs: ServerPrograms):
    second = EmbeddedPostgres(server.home, programs)
    assert not second.attach()
    server.start()
    assert second.attach()
    assert second.url() == server.url()


def _postmaster(server: EmbeddedPostgres) -> int:
    return int((server.data / "postmaster.pid").read_text().split()[0])


@contextmanager
def _all_connections_taken(server: EmbeddedPostgres) -> Iterator[None]:
    with contextlib.ExitStack() as held:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                held.enter_context(psycopg.connect(server.url()))
        yield


def test_attach_when_the_server_takes_no_connection_leaves_it_running_and_says_why(
    server: EmbeddedPostgres, programs: ServerPrograms
):
    server.start()
    with psycopg.connect(server.url(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_connections = 6")
    server.stop()
    server.start()
    running = _postmaster(server)
    second = EmbeddedPostgres(server.home, programs)
    with _all_connections_taken(server):
        with pytest.raises(UnreachableError, match="too many clients already.* was left running"):
            second.attach(timeout_s=0)
        with pytest.raises(UnreachableError, match=f"process {running}.* already runs"):
            second.start()
        assert second.port == server.port
    assert second.attach()
    assert _postmaster(server) == running


@pytest.mark.parametrize(
    "words", [["postgres://backup-job"], ["postgres", "-D", "/elsewhere"]], ids=["client", "other-cluster"]
)
def test_end_forgotten_when_the_pid_is_a_strangers_by_now_leaves_it_alone(tmp_path: Path, words: Sequence[str]):
    server = EmbeddedPostgres(tmp_path / "pg", ServerPrograms(tmp_path, False, None, None))
    server.data.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "input()", *words], stdin=subprocess.PIPE) as stranger:
        (server.data / "postmaster.pid").write_text(f"{stranger.pid}\n{server.data}\n1\n5432\n")
        server.end_forgotten()
        assert stranger.poll() is None
        assert not server.attach()
        stranger.communicate(b"\n")
    assert stranger.returncode == 0


def test_start_when_initdb_was_interrupted_makes_the_cluster_anew(server: EmbeddedPostgres):
    for half in (server.data, server.home / "data.new"):
        (half / "base").mkdir(parents=True)
    server.start()
    assert server.is_ready()


def test_start_when_the_configuration_is_broken_says_what_the_log_says(server: EmbeddedPostgres):
    server.start()
    server.stop()
    (server.data / "postgresql.conf").write_text("shared_buffers = potato\n")
    with pytest.raises(UnreachableError, match="shared_buffers"):
        server.start()


def test_initdb_when_it_fails_says_what_and_where(programs: ServerPrograms, tmp_path: Path):
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "initdb").write_text("#!/bin/sh\necho no room left >&2\nexit 1\n")
    (broken / "initdb").chmod(0o755)
    server = EmbeddedPostgres(tmp_path / "pg", ServerPrograms(broken, True, None, None))
    with pytest.raises(PlatformError, match="initdb in .* ended with"):
        server.prepare()


def test_url_when_prepared_has_a_password_that_only_the_owner_may_read(server: EmbeddedPostgres):
    server.prepare()
    assert (server.home / "password").stat().st_mode & 0o777 == 0o600
    assert server.url("dagster").endswith(f"@127.0.0.1:{server.port}/dagster")


def test_login_when_the_password_is_wrong_is_refused(server: EmbeddedPostgres):
    server.start()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://gl:wrong@127.0.0.1:{server.port}/gl")


def test_wheels_when_asked_for_run_a_plain_postgresql(server_folder: Path):
    carried = find_programs(print, wheels=True)
    server = EmbeddedPostgres(server_folder / "wheel", carried)
    server.start()
    try:
        with psycopg.connect(server.url()) as connection:
            available = connection.execute("SELECT count(*) FROM pg_available_extensions WHERE name = 'timescaledb'")
            assert available.fetchone() == (0,)
    finally:
        server.stop()


def test_server_when_started_by_root_runs_as_nobody(server: EmbeddedPostgres):
    server.start()
    status = Path(f"/proc/{_postmaster(server)}/status").read_text()
    uid = next(line.split()[1] for line in status.splitlines() if line.startswith("Uid:"))
    assert uid == str(privileges.NOBODY if privileges.is_root() else os.geteuid())
