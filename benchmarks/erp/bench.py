"""`gl bench erp`: from a system's pages to the table, over a bare client, a bare COPY and dlt, in one run.

A local server of pre-rendered pages in a process of its own, limiter off, and a scratch database on GL_DATABASE_URL's
server or on an embedded one. Which figure is held to which limit stands in `TARGETS`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import structlog

from benchmarks.erp import dlt_peer as erp_dlt
from benchmarks.erp import memory as erp_memory
from benchmarks.erp import pull as erp_pull
from benchmarks.erp.server import BenchServer, serving
from benchmarks.scratch_database import machine, scratch_database
from benchmarks.store.bare_copy import readable_folder
from resources.core.errors import ConfigError
from resources.core.process.home import gl_home
from resources.databases.timescale.connection import connect

PARTS = ("pull", "land", "memory", "dlt")
PAGES = 100
"""Pages of 1,000 records."""

TARGETS: dict[str, tuple[Literal["least", "most"], float]] = {
    "pull_vs_bare": ("least", 0.9),
    "land_vs_copy": ("least", 0.4),
    "pull_vs_dlt": ("least", 3.0),
    "rss_growth_mb": ("most", 60.0),
    "rss_growth_ratio": ("most", 1.1),
    "token_requests_beyond_limit": ("most", 0.0),
    "connection_reuse": ("least", 0.9),
}
"""Figure -> what it has to be at least or at most. `token_requests_beyond_limit` is by how much the requests for tokens
exceed 1 + time of the pull / (0.8 x life of a token)."""


def run(progress: Callable[[str], None], *, repeats: int = 3, parts: Iterable[str] = PARTS) -> dict[str, Any]:
    """Return the figures of `parts`, medians of `repeats`, their targets, and which of them were missed.

    Raises:
        ConfigError: There is no such part, or dlt cannot be installed.
    """
    parts = tuple(parts)
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"gl bench erp has no part {part}: there are {', '.join(PARTS)}")
    figures: dict[str, Any] = {"machine": machine(), "repeats": repeats, "records": PAGES * 1_000}
    # first of all: what cannot be installed is told before the rest has taken its time
    python = erp_dlt.environment(gl_home().absolute() / "bench" / "dlt", progress) if "dlt" in parts else None
    with _surroundings(progress) as (server, url):
        for part in parts:
            figures |= _measure(part, server, url, python, repeats, progress)
    targets = {name: f"at {bound} {limit:g}" for name, (bound, limit) in TARGETS.items() if name in figures}
    return figures | {"targets": targets, "missed": missed(figures)}


def missed(figures: dict[str, Any]) -> list[str]:
    """Return the names of the figures that miss their target."""
    return [
        name
        for name, (bound, limit) in TARGETS.items()
        if name in figures and (figures[name] < limit if bound == "least" else figures[name] > limit)
    ]


def _measure(
    part: str, server: BenchServer, url: str, python: Path | None, repeats: int, progress: Callable[[str], None]
) -> dict[str, Any]:
    if part == "memory":
        return erp_memory.measure(server, url, progress)
    with connect(url) as connection, connect(url, autocommit=True) as other:
        ours = erp_pull.Ours(connection, server)
        if part == "pull":
            return erp_pull.measure_pull(ours, server, repeats, progress)
        if part == "land":
            return erp_pull.measure_land(ours, other, server, repeats, progress)
        assert python is not None
        return erp_dlt.measure(ours, server, url, python, repeats, progress)


@contextmanager
def _surroundings(progress: Callable[[str], None]) -> Iterator[tuple[BenchServer, str]]:
    """Yield the server and the URL of a scratch database; figures of calls and the rate limit's state go nowhere."""
    with ExitStack() as stack:
        # under the system's folder of temporary files: the database's user has to reach it
        folder = readable_folder(Path(tempfile.gettempdir()) / f"gl_bench_erp_{os.getpid()}")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        url = stack.enter_context(scratch_database(folder, progress))
        quiet = structlog.get_config()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
        stack.callback(structlog.configure, **quiet)
        stack.enter_context(_variable(erp_pull.SECRET_VARIABLE, "bench"))
        stack.enter_context(_variable("GL_HOME", str(folder / "home")))
        progress("rendering pages")
        yield stack.enter_context(serving(PAGES)), url


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
