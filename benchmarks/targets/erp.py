"""Targets of ERP: a token, datasets from the first request to the committed rows, the rate limit, the throughput.

The system is the demo plant's Dynamics-like service over TLS in a process of its own; throughput and reuse of
connections come from the server of `gl bench erp`, which waits 100 ms before each page.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg

from benchmarks.erp import pull as erp_pull
from benchmarks.erp.server import PAGE, serving
from benchmarks.targets import erp_server as stand_in
from benchmarks.targets.place import Place, environment, place
from gl_assets.erp.bodies import Lander
from gl_assets.erp.feeds import Feed
from gl_assets.erp.tables import TABLES
from gl_assets.erp.writing import StandardWriter
from resources.core.clock import SystemClock
from resources.databases.timescale.connection import connect
from resources.demo_plant.erp.dynamics.book import GENERAL_JOURNAL
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.erp.connector import Day
from resources.erp.dynamics.client import DynamicsClient
from resources.erp.dynamics.config import DynamicsConfig
from resources.transport.auth.authenticators import authenticator_of

Progress = Callable[[str], None]

REPEATS = 3
THREE = ("financial_transactions", "production_schedule", "cost_allocation")
PER_MINUTE, REQUESTS = 100, 100
PAGES = 40
"""Pages of 1,000 records that the throughput is taken from."""

SYSTEM, RUN = "bench", "targets"


def measure(progress: Progress) -> dict[str, float]:
    """Return the figures of this part."""
    with place(progress, {stand_in.SECRET_VARIABLE: EntraApp().client_secret}) as here:
        with stand_in.serving(here.folder) as base:
            figures = _datasets(here, base, progress)
            size = stand_in.COUNTS[GENERAL_JOURNAL] // REQUESTS
            limited = stand_in.configuration(base, here.folder, page_size=size, rate_limit_per_minute=PER_MINUTE)
            figures |= _limited(limited, progress)
        return figures | _throughput(here, progress)


@dataclass(slots=True)
class Pulling:
    """One system's way into the tables."""

    connection: psycopg.Connection[Any]
    config: DynamicsConfig

    def pull(self, dataset: str, day: date) -> int:
        """Land and standardise a day; return the rows of the standard table."""
        self.land(dataset, day)
        return self.standardise(dataset, day)

    def land(self, dataset: str, day: date) -> None:
        """Land a day over connections of its own, committed."""
        with DynamicsClient(SYSTEM, self.config) as client:
            Lander(self.connection, client, Feed(SYSTEM, self.config, dataset), RUN).land_day(day)

    def standardise(self, dataset: str, day: date) -> int:
        """Bring a landed day into the standard table, committed; return its rows."""
        feed = Feed(SYSTEM, self.config, dataset)
        writer = StandardWriter(self.connection, TABLES[feed.table], [feed], RUN, "bench")
        writer.write(day)
        self.connection.commit()
        return writer.records(day.isoformat())

    def clear(self) -> None:
        """Empty the tables."""
        tables = ", ".join(f"erp.{self.config.table_of(dataset)}" for dataset in THREE)
        self.connection.execute(f"TRUNCATE erp.landed_records, erp.pulls, erp.rejected_records, {tables}")
        self.connection.commit()


def _datasets(here: Place, base: str, progress: Progress) -> dict[str, float]:
    config, day = stand_in.configuration(base, here.folder), stand_in.full_day()
    seconds: dict[str, list[float]] = {dataset: [] for dataset in THREE}
    tokens = []
    with connect(here.database_url) as connection:
        pulling = Pulling(connection, config)
        # once before anything is timed: libraries are loaded and the service has made its days
        for dataset in THREE:
            _expect(pulling.pull(dataset, day), dataset)
        for number in range(REPEATS):
            progress(f"three datasets, {number + 1} of {REPEATS}")
            pulling.clear()
            tokens.append(_token(config))
            for dataset in THREE:
                begun = time.perf_counter()
                _expect(pulling.pull(dataset, day), dataset)
                seconds[dataset].append(time.perf_counter() - begun)
    return {
        "erp_token_s": round(statistics.median(tokens), 3),
        "erp_records_1000_s": round(statistics.median(seconds["financial_transactions"]), 3),
        "erp_schedules_500_s": round(statistics.median(seconds["production_schedule"]), 3),
        "erp_three_datasets_s": round(statistics.median(map(sum, zip(*seconds.values(), strict=True))), 3),
    }


def _expect(rows: int, dataset: str) -> None:
    least = {"financial_transactions": 1_000, "production_schedule": 500}.get(dataset, 1)
    if rows < least:
        raise RuntimeError(f"{rows} rows of {dataset} in place of {least}: a figure of this run says nothing")


def _token(config: DynamicsConfig) -> float:
    """Return the seconds to a token of a client that has none, its connection included."""
    tokens = authenticator_of(SYSTEM, config.auth, config.http, headers={}, home=None, clock=SystemClock())
    with closing(tokens):
        begun = time.perf_counter()
        tokens.headers()
        return time.perf_counter() - begun


def _limited(config: DynamicsConfig, progress: Progress) -> dict[str, float]:
    """Return the seconds of 100 pages: what may go at once goes at once, the rest as the limit lets it."""
    progress(f"{REQUESTS} requests at {PER_MINUTE} a minute")
    begun, pages = time.perf_counter(), 0
    with DynamicsClient(SYSTEM, config) as client:
        for _ in client.fetch("financial_transactions", Day(stand_in.full_day())):
            pages += 1
    if pages != REQUESTS:
        raise RuntimeError(f"{pages} pages in place of {REQUESTS}: a figure of this run says nothing")
    return {"erp_100_requests_s": round(time.perf_counter() - begun, 1)}


def _throughput(here: Place, progress: Progress) -> dict[str, float]:
    """Return records per second from the first request to the standard table, and the reuse of connections."""
    entity_set, rates, reuse = f"Delayed{PAGES}", [], []
    with (
        environment({erp_pull.SECRET_VARIABLE: "bench"}),
        serving(PAGES) as server,
        connect(here.database_url) as connection,
    ):
        ours = erp_pull.Ours(connection, server)
        for number in range(REPEATS):
            progress(f"{PAGES * PAGE:,} records, {number + 1} of {REPEATS}")
            ours.clear()
            server.stats()
            seconds = ours.land(entity_set)
            seen = server.stats()
            seconds += ours.standardise(entity_set)
            rates.append(PAGES * PAGE / seconds)
            reuse.append(1 - seen["connections"] / seen["requests"])
    return {
        "erp_records_per_s": round(statistics.median(rates)),
        "erp_connection_reuse": round(statistics.median(reuse), 3),
    }
