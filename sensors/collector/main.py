"""The acquisition process: `gl collect` runs `run`, `gl ingest` and the demo run `collect_for`."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from resources.core.clock import Clock
from resources.core.errors import PlatformError
from resources.databases.timescale.connection import URL_VARIABLE, plain_url
from resources.integrations import Integrations
from resources.window_buffer.disk.index import is_disk_full
from sensors.collector.assembly import Collected, Collector, Doors, Progress

log = structlog.get_logger(__name__)

DISK_RETRY_S = 5.0
"""How often a disk that is too full to begin is tried again."""


async def run(
    config: Integrations,
    home: Path,
    *,
    duration: float | None = None,
    expose_without_login: bool = False,
    clock: Clock | None = None,
    stop: asyncio.Event | None = None,
) -> int:
    """Collect until SIGTERM, SIGINT, `stop`, or for `duration` seconds; return the exit code of the process.

    Open windows stay open: the next start goes on with them. On a full disk it waits until it can begin: a process that
    ended instead would be started again and again.

    Raises:
        ConfigError: The configuration does not fit this machine or the buffer's folder; another collector runs there.
    """
    database_url = database_url_if_any()
    with _stop_signals(stop or asyncio.Event(), duration) as stopping:
        collector = await _once_there_is_disk(
            lambda: Collector(config, home, database_url=database_url, clock=clock), home, stopping
        )
        if collector is not None:
            await collector.run(stopping, Doors(expose_without_login=expose_without_login))
    return 0


async def _once_there_is_disk(make: Callable[[], Collector], home: Path, stop: asyncio.Event) -> Collector | None:
    """Return what `make` makes, tried again while the disk is too full for it; None if `stop` came first."""
    told = False
    while not stop.is_set():
        try:
            return make()
        except (PlatformError, OSError, sqlite3.Error) as error:
            if not is_disk_full(error):
                raise
            if not told:
                log.error("collector_waits_for_disk", error=str(error), remedy=f"free disk space under {home}")
            told = True
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), DISK_RETRY_S)
    return None


async def collect_for(
    config: Integrations, home: Path, seconds: float, progress: Progress | None = None, *, clock: Clock | None = None
) -> Collected:
    """Collect for `seconds` (or until SIGTERM or SIGINT), close every window that holds readings, return the counts.

    The pages are not served: a run that ends by itself has nobody who watches it.

    Raises:
        ConfigError: As `run`.
    """
    collector = Collector(config, home, database_url=database_url_if_any(), clock=clock)
    with _stop_signals(asyncio.Event(), seconds) as stopping:
        return await collector.run(stopping, Doors(serve=False), close_windows=True, progress=progress)


def database_url_if_any() -> str | None:
    """Return the URL in GL_DATABASE_URL, None if it is unset: the collector works without.

    Raises:
        ConfigError: It is set, and is not the URL of a PostgreSQL.
    """
    value = os.environ.get(URL_VARIABLE, "")
    if not value:
        log.warning("live_view_off", reason=f"{URL_VARIABLE} is not set; readings are buffered all the same")
        return None
    return plain_url(value)


@contextmanager
def _stop_signals(stop: asyncio.Event, seconds: float | None) -> Iterator[asyncio.Event]:
    """Set `stop` on SIGTERM and SIGINT, and after `seconds`."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(seconds, stop.set) if seconds is not None else None
    caught = (signal.SIGTERM, signal.SIGINT)
    for number in caught:
        # also where a shell that started us in the background has set it to be ignored
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
        if timer is not None:
            timer.cancel()
