"""What every command of `gl` starts from: the configuration, the database, and words on the terminal."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console

from resources.core.errors import ConfigError
from resources.core.home import gl_home
from resources.databases.timescale.connection import URL_VARIABLE
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import find_programs

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


@contextmanager
def database(progress: Progress = say) -> Iterator[str]:
    """Give the URL of the database: GL_DATABASE_URL, or the embedded server, started for the length of the block.

    An embedded server that `gl up` already runs is used as it is. The URL is in the environment, too, meanwhile.
    """
    named = os.environ.get(URL_VARIABLE)
    if named:
        yield named
        return
    server = EmbeddedPostgres(gl_home() / "postgres", find_programs(progress))
    running = server.attach()
    if not running:
        progress("starting the embedded database")
        server.start()
    os.environ[URL_VARIABLE] = server.url()
    try:
        yield server.url()
    finally:
        os.environ.pop(URL_VARIABLE, None)
        if not running:
            server.stop()


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
