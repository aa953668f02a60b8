"""What every command of `gl` starts from: the configuration, the database, and words on the terminal."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console

from resources.core.errors import ConfigError
from resources.core.process.home import gl_home
from resources.databases.timescale.connection import URL_VARIABLE, connect, database_url
from resources.databases.timescale.edition import Edition
from resources.databases.timescale.migrate import migrate
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms, find_programs

REPOSITORY = Path(__file__).resolve().parent.parent.parent

STORAGE_VARIABLE = "GL_DAGSTER_POSTGRES_URL"
"""Environment variable with the URL of Dagster's own storage, as dagster.yaml names it."""

Progress = Callable[[str], None]
"""Called with a few words whenever a step begins that takes a while."""

console = Console(stderr=True, highlight=False)
"""For people; stdout is for results alone."""


def say(words: str) -> None:
    """Write one line of progress for people, on stderr."""
    console.print(f"[dim]·[/dim] {words}")


@contextmanager
def only_one(home: Path, what: str) -> Iterator[None]:
    """Hold the home's lock: two platforms on one home would fight over its servers.

    Raises:
        ConfigError: Another process holds it; the message names its pid.
    """
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise ConfigError(
                f"{home}: process {file.read().strip() or '?'} already runs the platform here; "
                f"stop it, or set GL_HOME to another folder, before {what}"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


@dataclass(frozen=True, slots=True)
class Databases:
    """Where the platform's tables and Dagster's own are: both URLs are secrets."""

    platform: str
    dagster: str


def own_databases(url: str) -> Databases:
    """Return where both are on a server of the user's: Dagster's tables in a schema of the same database."""
    named = os.environ.get(STORAGE_VARIABLE)
    return Databases(url, named or dagster_url(url, schema="dagster"))


def dagster_url(url: str, *, schema: str | None = None) -> str:
    """Return `url` for Dagster's storage: its driver is psycopg2, and its tables may live in a schema of their own."""
    converted = "postgresql+psycopg2://" + url.split("://", 1)[1]
    if schema is None:
        return converted
    return f"{converted}{'&' if '?' in converted else '?'}options=-csearch_path%3D{schema}"


def prepare_dagster_home(home: Path) -> Path:
    """Return DAGSTER_HOME of a home, made now: a folder with a link to the repository's dagster.yaml."""
    folder = home / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "dagster.yaml"
    link.unlink(missing_ok=True)
    link.symlink_to(REPOSITORY / "dagster.yaml")
    return folder


@contextmanager
def databases(progress: Progress = say) -> Iterator[Databases]:
    """Give the databases: GL_DATABASE_URL, or the embedded server, started for the length of the block, migrated.

    An embedded server that `gl up` already runs is used as it is. Meanwhile the environment names both, as in the
    processes of `gl up`.
    """
    named = os.environ.get(URL_VARIABLE)
    server = None if named else EmbeddedPostgres(gl_home() / "postgres", find_programs(progress))
    running = server is not None and server.attach()
    if server is not None and not running:
        progress("starting the embedded database")
        server.start()
    try:
        found = (
            own_databases(named or "")
            if server is None
            else Databases(server.url(), dagster_url(server.url("dagster")))
        )
        prepare_database(found)
        with _environment(
            {
                URL_VARIABLE: found.platform,
                STORAGE_VARIABLE: found.dagster,
                "DAGSTER_HOME": str(prepare_dagster_home(gl_home())),
            }
        ):
            yield found
    finally:
        if server is not None and not running:
            server.stop()


def running_database_url() -> str | None:
    """Return the database that is there: GL_DATABASE_URL, or the embedded server if it runs; nothing is started.

    Raises:
        ConfigError: GL_DATABASE_URL is not the URL of a PostgreSQL.
    """
    if os.environ.get(URL_VARIABLE):
        return database_url()
    # no program is started: attaching needs none
    server = EmbeddedPostgres(gl_home() / "postgres", ServerPrograms(gl_home(), False, None, None))
    return server.url() if server.attach() else None


def prepare_database(found: Databases) -> Edition:
    """Bring the schema up to date, make Dagster's where it shares the database, and return the edition."""
    if "search_path%3Ddagster" in found.dagster:
        with connect(found.platform) as connection:
            connection.execute("CREATE SCHEMA IF NOT EXISTS dagster")
    return migrate(found.platform)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def refuse_public_address(host: str, *, exposed: bool, what: str) -> None:
    """Refuse an address beyond loopback unless that was asked for in words.

    Raises:
        click.UsageError: `host` is not loopback and `exposed` is False.
    """
    if host not in ("127.0.0.1", "localhost", "::1") and not exposed:
        raise click.UsageError(
            f"{what} has no login: {host} would open it to the network. Put a proxy with a login before it, "
            "or say --expose-without-login"
        )


def interrupt_on_signals() -> None:
    """Let SIGTERM end a command as Ctrl-C does, and SIGINT too where a shell had it ignored."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
