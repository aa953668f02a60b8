"""The acquisition process: `gl collect` runs `run`, `gl ingest` and the demo run `collect_for`."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from resources.core.clock import Clock
from resources.databases.timescale.connection import URL_VARIABLE, plain_url
from resources.integrations import Integrations
from sensors.collector.assembly import Collected, Collector, Doors, Progress

log = structlog.get_logger(__name__)


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

    Open windows stay open: the next start goes on with them.

    Raises:
        ConfigError: The configuration does not fit this machine or the buffer's folder; another collector runs there.
    """
    collector = Collector(config, home, database_url=database_url_if_any(), clock=clock)
    with _stop_signals(stop or asyncio.Event(), duration) as stopping:
        await collector.run(stopping, Doors(expose_without_login=expose_without_login))
    return 0


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
