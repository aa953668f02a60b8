"""How many ERP records per second come from a server into the table, against a bare client and a bare COPY.

`pull_vs_bare`: each page takes 100 ms; the whole way (token, pages, landing, commit) over an httpx loop that follows
the links and discards the pages. `land_vs_copy`: no delay; over a bare COPY of the same rows into the same empty table.
"""

from __future__ import annotations

import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from benchmarks.erp.server import DAY, PAGE, TOKEN_LIFE_S, BenchServer
from benchmarks.store.bare_copy import BareCopy, readable_folder
from gl_assets.erp.bodies import Lander
from gl_assets.erp.feeds import Feed
from gl_assets.erp.tables import TABLES
from gl_assets.erp.writing import StandardWriter
from resources.erp.dynamics.client import DynamicsClient
from resources.erp.dynamics.config import DynamicsConfig

SECRET_VARIABLE = "GL_BENCH_ERP_SECRET"  # noqa: S105 - a name
DATASET = "financial_transactions"
_SYSTEM, _RUN = "bench", "bench"
_LINK = re.compile(rb'"@odata\.nextLink":"([^"]+)"\}$')
_TABLES = "erp.landed_records, erp.pulls, erp.financial_transactions, erp.rejected_records"
_COLUMNS = (
    "system", "dataset", "partition_date", "source_key", "raw", "hash", "changed_at", "ingested_at", "run_id",
    "deleted_at",
)  # fmt: skip


def settings(server: BenchServer, entity_set: str) -> DynamicsConfig:
    """Return the configuration that reads a set of the server, limiter off."""
    return DynamicsConfig.model_validate(
        {
            "kind": "dynamics",
            "http": {
                "base_url": server.base,
                "insecure_plain_http": True,
                "page_size": PAGE,
                "rate_limit_per_minute": None,
            },
            "auth": {
                "token_url": f"{server.base}/bench/oauth2/v2.0/token",
                "client_id": "bench",
                "client_secret": f"${{{SECRET_VARIABLE}}}",
                "client_auth": "client_secret_post",
            },
            "company": "usmf",
            "datasets": {DATASET: {"resource": entity_set}},
        }
    )


class Ours:
    """The platform's own way: the connector's client, and what the assets do with a day."""

    def __init__(self, connection: psycopg.Connection[Any], server: BenchServer) -> None:
        """Store by `connection`."""
        self._connection, self._server = connection, server

    def clear(self) -> None:
        """Empty the tables and write everything out, so that no way pays for the one before."""
        self._connection.commit()
        self._connection.execute(f"TRUNCATE {_TABLES}")
        self._connection.commit()
        self._connection.autocommit = True
        self._connection.execute("CHECKPOINT")
        self._connection.autocommit = False

    def land(self, entity_set: str) -> float:
        """Return the seconds from the first request to the committed day."""
        config = settings(self._server, entity_set)
        begun = time.perf_counter()
        with DynamicsClient(_SYSTEM, config) as client:
            Lander(self._connection, client, Feed(_SYSTEM, config, DATASET), _RUN).land_day(DAY)
        seconds = time.perf_counter() - begun
        self._check("erp.landed_records", int(re.sub(r"\D", "", entity_set)) * PAGE)
        return seconds

    def standardise(self, entity_set: str) -> float:
        """Return the seconds that landed records take to become rows of the standard table, committed."""
        feed = Feed(_SYSTEM, settings(self._server, entity_set), DATASET)
        begun = time.perf_counter()
        StandardWriter(self._connection, TABLES[DATASET], [feed], _RUN, "bench").write(DAY)
        seconds = time.perf_counter() - begun
        self._check(f"erp.{DATASET}", int(re.sub(r"\D", "", entity_set)) * PAGE)
        return seconds

    def _check(self, table: str, records: int) -> None:
        row = self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        self._connection.commit()
        if row is None or row[0] != records:
            raise RuntimeError(f"{row} records in {table} in place of {records}: a figure of this run says nothing")


def bare(address: str) -> float:
    """Return the seconds of a loop that follows the links from `address` and discards the pages."""
    begun = time.perf_counter()
    with httpx.Client() as client:
        link: str | None = address
        while link is not None:
            body = client.get(link).content
            found = _LINK.search(body, max(0, len(body) - 500))
            link = found.group(1).decode() if found else None
    return time.perf_counter() - begun


def landed_rows(connection: psycopg.Connection[Any]) -> bytes:
    """Return the landed rows as a file of PostgreSQL's binary COPY."""
    statement = f"COPY erp.landed_records ({', '.join(_COLUMNS)}) TO STDOUT (FORMAT BINARY)"
    with connection.cursor().copy(statement) as out:
        return b"".join(bytes(part) for part in out)


@dataclass
class _Seconds:
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    def ratio(self) -> float:
        """Return our rate over the bare one, medians."""
        return round(statistics.median(self.bare) / statistics.median(self.ours), 3)


def measure_pull(
    ours: Ours, server: BenchServer, repeats: int, progress: Callable[[str], None]
) -> dict[str, float | int]:
    """Return `pull_vs_bare`, its rates, and what the server saw of connections and tokens."""
    entity_set, records = f"Delayed{server.pages}", server.pages * PAGE
    seconds = _Seconds()
    reuse, excess, tokens = [], [], []
    for number in range(repeats):
        progress(f"pull, {number + 1} of {repeats}")
        for bare_turn in (number % 2 == 0, number % 2 == 1):
            if bare_turn:
                seconds.bare.append(bare(server.address(entity_set)))
                continue
            ours.clear()
            server.stats()
            seconds.ours.append(ours.land(entity_set))
            seen = server.stats()
            reuse.append(1 - seen["connections"] / seen["requests"])
            tokens.append(seen["tokens"])
            excess.append(seen["tokens"] - (1 + seconds.ours[-1] / (0.8 * TOKEN_LIFE_S)))
    return {
        "pull_vs_bare": seconds.ratio(),
        "pull_per_s": round(records / statistics.median(seconds.ours)),
        "pull_bare_per_s": round(records / statistics.median(seconds.bare)),
        "pull_s": round(statistics.median(seconds.ours), 3),
        "connection_reuse": round(statistics.median(reuse), 3),
        "token_requests": round(statistics.median(tokens)),
        "token_requests_beyond_limit": round(max([0.0, *excess]), 3),
    }


def measure_land(
    ours: Ours, connection: psycopg.Connection[Any], server: BenchServer, repeats: int, progress: Callable[[str], None]
) -> dict[str, float | int | str]:
    """Return `land_vs_copy` and its rates; landing again what did not change, and the standard table, as they come.

    `connection`, on autocommit, is the bare COPY's.
    """
    with tempfile.TemporaryDirectory() as name:
        copy = BareCopy(connection, readable_folder(Path(name) / "rows"))
        # what comes from another system comes over the connection, in the bare way as in ours
        copy.where = "COPY over the connection"
        return _measure_land(ours, copy, connection, server, repeats, progress)


def _measure_land(
    ours: Ours,
    copy: BareCopy,
    connection: psycopg.Connection[Any],
    server: BenchServer,
    repeats: int,
    progress: Callable[[str], None],
) -> dict[str, float | int | str]:
    entity_set, records = f"Direct{server.pages}", server.pages * PAGE
    seconds, again, standard = _Seconds(), [], []
    for number in range(repeats):
        progress(f"land, {number + 1} of {repeats}")
        ours.clear()
        seconds.ours.append(ours.land(entity_set))
        again.append(ours.land(entity_set))
        standard.append(ours.standardise(entity_set))
        data = landed_rows(connection)
        ours.clear()
        seconds.bare.append(copy.seconds("erp.landed_records", _COLUMNS, data))
    return {
        "land_vs_copy": seconds.ratio(),
        "land_per_s": round(records / statistics.median(seconds.ours)),
        "land_again_per_s": round(records / statistics.median(again)),
        "copy_per_s": round(records / statistics.median(seconds.bare)),
        "standard_per_s": round(records / statistics.median(standard)),
        "copy": copy.where,
    }
