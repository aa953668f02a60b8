"""Real servers for all tests: one TimescaleDB and one Mosquitto a session, a fresh migrated database a test.

The programs are unpacked once into the repository's `.gl/servers` (or GL_SERVERS_HOME). A missing server fails the
tests: none is ever skipped for it.
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from resources.agents.security import sealing, watched_file
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms, find_programs
from resources.transport.trust.certificates import CertificateAuthority
from tests.opc_ua_space import copy_standard_nodes

# what is imported stays: looking through it again and again for garbage is a seventh of the suite's time
gc.freeze()
gc.set_threshold(100_000, 50, 100)

# tables are as wide as they like, whatever terminal the tests run in
os.environ["COLUMNS"] = "250"

REPOSITORY = Path(__file__).resolve().parent.parent
_TEMPLATE = "gl_template"
_MEMORY, _ROOM = "/dev/shm", 6 * 1024**3

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    """Measure the coverage of the tests' own processes alone, not of the programs that they start.

    Measuring those takes a third of the suite's time, and says nothing new: their parts are called by tests, too.
    """
    starts_workers = getattr(config.option, "numprocesses", None) and not hasattr(config, "workerinput")
    if not starts_workers:
        os.environ.pop("COVERAGE_PROCESS_CONFIG", None)


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees this machine's configuration or touches its state."""
    for name in ("GL_CONFIG", "GL_DATABASE_URL", "GL_DAGSTER_POSTGRES_URL", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GL_HOME", str(tmp_path / ".gl"))


@pytest.fixture(scope="session", autouse=True)
def _servers_start_quickly() -> Iterator[None]:
    """Have OPC UA servers share the making of their standard nodes, half a second each."""
    with pytest.MonkeyPatch.context() as patch:
        copy_standard_nodes(patch)
        yield


@pytest.fixture(scope="session")
def programs() -> ServerPrograms:
    """The server programs, unpacked now if need be."""
    os.environ.setdefault("GL_SERVERS_HOME", str(REPOSITORY / ".gl" / "servers"))
    return find_programs(print)


@pytest.fixture(scope="session")
def server_folder() -> Iterator[Path]:
    """A folder that the unprivileged user of the servers can reach: pytest's own is closed to others.

    In memory where there is room: a database a test is made fourteen times as fast there, and no test is about a
    power cut.
    """
    with tempfile.TemporaryDirectory(prefix="gl-servers-", dir=_in_memory(), ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _in_memory() -> str | None:
    """Return a folder that lies in memory; None where there is none, or little room (containers have 64 MB)."""
    try:
        free = shutil.disk_usage(_MEMORY).free
    except OSError:
        return None
    return _MEMORY if free >= _ROOM and os.access(_MEMORY, os.W_OK) else None


@pytest.fixture(scope="session")
def postgres(programs: ServerPrograms, server_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A running server with a migrated template database; fsync off, because no test is about a power cut."""
    server = EmbeddedPostgres(server_folder / "postgres", programs, insecure_lose_data_on_power_cut=True)
    server.start()
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {_TEMPLATE}")
    from resources.databases.timescale.migrate import migrate

    migrate(server.url(_TEMPLATE))
    yield server
    server.stop()


@pytest.fixture
def empty_database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a new, empty database."""
    yield from _database(postgres, "template1")


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a new, migrated database."""
    yield from fresh_database(postgres)


def fresh_database(server: EmbeddedPostgres) -> Iterator[str]:
    """Yield the URL of a new, migrated database: for fixtures that several tests share."""
    yield from _database(server, _TEMPLATE)


def _database(server: EmbeddedPostgres, template: str) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    yield server.url(name)
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def broker(programs: ServerPrograms, server_folder: Path) -> Iterator[EmbeddedBroker]:
    """A running Mosquitto of its own for the test: plain, anonymous, loopback; .restart() .stop() .start() .kill()."""
    running = EmbeddedBroker(
        server_folder / f"broker{next(_numbers)}", programs, BrokerOptions(insecure_anonymous=True)
    )
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    """A certificate authority that issues what a test needs."""
    return CertificateAuthority.create(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def seen_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a key file that was replaced be seen by the next message, not a moment later."""
    monkeypatch.setattr(watched_file, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(sealing, "_LOOK_EVERY_S", 0.0)
