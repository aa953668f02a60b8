"""A scratch database for benchmarks, and what machine they ran on."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import make_url

from resources.databases.timescale.connection import URL_VARIABLE, connect, plain_url
from resources.databases.timescale.migrate import migrate

Progress = Callable[[str], None]


def machine() -> dict[str, Any]:
    """Return what a reader of figures has to know of the machine."""
    return {
        "cpus": os.cpu_count(),
        "load_before": round(psutil.getloadavg()[0], 2),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
    }


@contextmanager
def scratch_database(folder: Path, progress: Progress) -> Iterator[str]:
    """Yield the URL of a migrated database on GL_DATABASE_URL's server, or on an embedded one in `folder`."""
    with ExitStack() as stack:
        named = os.environ.get(URL_VARIABLE)
        server = plain_url(named) if named else stack.enter_context(_embedded(folder / "postgres", progress))
        name = f"gl_bench_{os.getpid()}_{int(time.time())}"
        with connect(server, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        stack.callback(_drop, server, name)
        url = make_url(server).set(database=name).render_as_string(hide_password=False)
        migrate(url)
        yield url


def _drop(server: str, name: str) -> None:
    with connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def _embedded(folder: Path, progress: Progress) -> Iterator[str]:
    """Yield the URL of an embedded server of this run's own, fsync on."""
    from resources.embedded.postgres import EmbeddedPostgres
    from resources.embedded.programs import find_programs

    progress("starting an embedded database")
    server = EmbeddedPostgres(folder, find_programs(progress))
    server.start()
    try:
        yield server.url("postgres")
    finally:
        server.stop()
