"""Between the start and the end of `gl demo`: jobs launched, the plant frozen, everything drained, counted."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import httpx

from gl_assets.cli.running import counts
from gl_assets.cli.running.dagster_client import DagsterClient
from gl_assets.cli.running.launched_runs import Launch, LaunchedRuns
from gl_assets.cli.running.platform import Platform
from gl_assets.cli.state import Progress
from gl_assets.erp.jobs import sync_job_name
from gl_assets.jobs import sensor_readings_job
from resources.core.errors import PlatformError
from resources.databases.timescale.connection import connect
from resources.databases.timescale.window_store.ledger import stored_revisions
from resources.demo_plant.setup import load_state
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.reader import BufferReader

_DRAIN_S = 60.0
_QUIET_S = 10.0
_STORE_S = 900.0
"""A machine that has other work takes minutes for what takes seconds on its own: that alone is no fault."""


class DemoRun:
    """One demo on a started platform."""

    def __init__(self, platform: Platform, progress: Progress) -> None:
        """Take the platform, started."""
        if platform.config is None or platform.supervision is None:
            raise PlatformError("the platform was not started")
        self._platform = platform
        self._supervision = platform.supervision
        self._config: Integrations = platform.config
        self._say = progress
        self._reader = BufferReader(counts.buffer_folder(platform.home))
        port = load_state(platform.home / "demo").ports["control"]
        self._plant = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=_DRAIN_S + 30, trust_env=False)

    def run(self, seconds: float, *, until: Callable[[], bool] = lambda: True) -> dict[str, Any]:
        """Let the plant send for `seconds`, then stop it, drain, store, and return the JSON result.

        Args:
            seconds: How long the plant sends at least.
            until: It goes on sending as long as this is false; asked once the command and the ERP pull are done.

        Raises:
            PlatformError: A part did not finish in time.
        """
        ends = time.monotonic() + seconds
        with self._plant, DagsterClient(self._platform.ui_url) as dagster:
            runs = LaunchedRuns(dagster, self._launches(), self._say)
            self._say(f"the plant sends for {seconds:.0f} s; the Dagster UI is at {self._platform.ui_url}")
            self._until(lambda: not runs.unfinished(), _STORE_S, lambda: f"runs go on: {runs.unfinished()}")
            while not until() or time.monotonic() < ends:
                time.sleep(0.5)
            sent = self._freeze()
            self._say("stopping the collector and closing the last windows")
            self._supervision.stop_program("collector")
            self._close_windows()
            self._say("waiting until every window is stored")
            self._until(lambda: not self._unstored(), _STORE_S, lambda: f"windows not stored: {self._unstored()[:5]}")
            # a run reports its checks after the rows
            self._until(
                lambda: dagster.is_idle(sensor_readings_job.name),
                _STORE_S,
                lambda: f"a run of {sensor_readings_job.name} has not ended",
            )
            return self._result(sent, dagster)

    def _launches(self) -> list[Launch]:
        """Return what launches one command to all agents, and the ERP pulls of the last three business days."""
        self._say("sending a command to all agents, and pulling the last three days from the ERP")
        today = datetime.now(UTC).date()
        first, last = (str(today - timedelta(days=days)) for days in (3, 1))
        jobs = [sync_job_name(system) for system in self._config.erp.systems]
        return [
            lambda dagster: dagster.launch("broadcast_command", config=_broadcast_config()),
            *(partial(_launch_days, job=job, days=(first, last)) for job in jobs),
        ]

    def _freeze(self) -> dict[str, int]:
        """Stop the plant's values, wait until the collector has them, and return source -> sent, as the plant says."""
        self._say("stopping the plant and draining")
        answer = self._plant.post("/stop", json={"drain_s": _DRAIN_S}).raise_for_status().json()
        if not answer["drained"]:
            raise PlatformError("the demo plant could not hand over what it had; see the log demo-plant.log")
        sent = {name: source["sent"] for name, source in answer["sources"].items() if source["kind"] != "modbus"}

        self._drain(sent)
        return sent

    def _drain(self, sent: dict[str, int]) -> None:
        """Wait until all that was sent is durable, or nothing more has come for a while."""
        deadline = time.monotonic() + _DRAIN_S
        last, quiet_since = -1, time.monotonic()
        while time.monotonic() < min(deadline, quiet_since + _QUIET_S):
            durable = self._reader.counts()
            taken = {name: _taken(durable, name) for name in sent}
            if all(taken[name] >= number for name, number in sent.items()):
                return
            if sum(taken.values()) != last:
                last, quiet_since = sum(taken.values()), time.monotonic()
            time.sleep(0.2)

    def _sent_between(self, source: str, since: datetime, until: datetime) -> int:
        terms = {"source": source, "since": since.isoformat(), "until": until.isoformat()}
        return int(self._plant.get("/sent", params=terms).raise_for_status().json()["sent"])

    def _close_windows(self) -> None:
        config = self._config
        with WindowBuffer(
            counts.buffer_folder(self._platform.home),
            collector=config.collector.name,
            grid=config.grid,
            start=config.start,
            catalog=config.catalog(),
            grace=config.grace,
            retention=config.buffer.retention,
            max_bytes=config.buffer.max_bytes,
        ) as buffer:
            buffer.close_all()

    def _unstored(self) -> list[str]:
        with connect(self._platform.database_url) as connection:
            stored = stored_revisions(connection, site=self._config.site, collector=self._config.collector.name)
        held = self._reader.windows()
        return [str(w.window_start) for w in held if stored.get(w.window_start, 0) < w.revision]

    def _until(self, condition: Callable[[], bool], timeout_s: float, why: Callable[[], str]) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise PlatformError(f"not finished in {timeout_s:.0f} s: {why()}; logs: {self._platform.home / 'logs'}")
            time.sleep(0.5)

    def _result(self, sent: dict[str, int], dagster: DagsterClient) -> dict[str, Any]:
        url = self._platform.database_url
        stored = counts.stored_counts(self._config, url)
        results = counts.source_results(
            self._config,
            sent=sent,
            buffered=self._reader.counts(),
            stored=stored,
            in_gaps=counts.readings_missed_in_gaps(
                self._reader, self._config, self._sent_between, datetime.now(UTC), url
            ),
            filled=counts.filled_counts(self._config, url),
        )
        return {
            **counts.totals(results, stored, counts.window_latencies(self._reader, url)),
            "erp_rows": counts.record_counts(url),
            "agents": counts.agent_counts(url),
            "checks": dagster.checks(),
        }


def _taken(durable: Any, name: str) -> int:
    found = durable.get(name)
    return 0 if found is None else found.buffered + found.rejected + found.clock_skew


def _launch_days(dagster: DagsterClient, *, job: str, days: tuple[str, str]) -> str:
    return dagster.launch(job, partitions=days)


def _broadcast_config() -> dict[str, Any]:
    # the latency that the demo reports is that of one broadcast, not of ten agents at a time
    return {"ops": {"send_command": {"config": {"command": "status", "strategy": {"all_at_once": True}}}}}
