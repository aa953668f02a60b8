"""The collector put together: sources, pipeline, buffer, live view, pages; started and ended in the right order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, fields
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from resources.core.clock import Clock, SystemClock, to_micros
from resources.core.errors import ConfigError
from resources.core.process.logs import performance_log
from resources.core.process.memory import release_unused
from resources.core.tags import SensorCatalog
from resources.integrations import Integrations
from resources.scada.connector import KeepsState, RecallsCounts, ScadaClient
from resources.scada.mqtt.config import MqttConfig
from resources.scada.report_filter.filter import ReportFilter
from resources.scada.report_filter.rules import Frame
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.judging.time_rules import FUTURE_US
from resources.window_buffer.model import ClosedWindow, SourceCounts
from sensors.collector import health
from sensors.collector.connection_health.monitor import ConnectionHealth
from sensors.collector.database import DatabaseMirror, Origin
from sensors.collector.ending import cancelled
from sensors.collector.event_queue import event_queue_for
from sensors.collector.flow import Flow
from sensors.collector.live_view import LiveView
from sensors.collector.pipeline import Pipeline
from sensors.collector.shown.certificates import CertificateWatch
from sensors.collector.shown.http import refuse_open_door
from sensors.collector.shown.metrics import CollectorMetrics, registry_of
from sensors.collector.shown.pages import Pages
from sensors.collector.sources import build_clients
from sensors.collector.state import SourceState
from sensors.collector.supervision.discovery_watch import findings, watches
from sensors.collector.supervision.supervisor import SourceSupervisor, Surroundings

if TYPE_CHECKING:
    from sensors.collector.alarms.service import Alarms
    from sensors.collector.anomalies.service import LiveAnomalies

log = structlog.get_logger(__name__)

REPORT_EVERY_S = 60.0
"""How often the collector's figures go to performance.log."""

MORE_THREADS = 32
"""Threads beside two a source for what blocks: a name server that does not answer holds one for half a minute."""

Progress = Callable[[float, Mapping[str, SourceState]], None]
"""Called about once a second with the seconds since the start and the sources as they are."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What one run of the collector has done."""

    counts: dict[str, SourceCounts]
    """Source -> counters of this run alone."""
    closed: list[ClosedWindow]
    """The windows closed at the end, if that was asked for."""


@dataclass(frozen=True, slots=True)
class Doors:
    """How the pages are served."""

    serve: bool = True
    expose_without_login: bool = False


class Collector:
    """One run of the acquisition process; made once, run once."""

    def __init__(
        self,
        config: Integrations,
        home: Path,
        *,
        database_url: str | None = None,
        clock: Clock | None = None,
        build: Callable[[Integrations, SensorCatalog, Clock], list[ScadaClient]] = build_clients,
    ) -> None:
        """Open the buffer under `home` and prepare everything; nothing is connected yet.

        Args:
            config: What to collect.
            home: GL_HOME.
            database_url: Where the live view goes; None: nowhere, everything else works.
            clock: Replaceable for tests.
            build: Makes the connectors.

        Raises:
            BufferLockedError: Another collector runs on this folder.
            BufferFullError: The disk is too full to open the buffer.
            ConfigError: The buffer holds windows of another collector or window length.
        """
        self.config, self._home = config, home
        self.clock: Clock = clock or SystemClock()
        catalog = config.catalog()
        built = build(config, catalog, self.clock)
        self._untagged = [c.name for c in built if c.name in config.sources and not config.sources[c.name].tags]
        clients = [client for client in built if client.name not in self._untagged]
        for name in self._untagged:
            log.warning("source_without_tags", source=name, remedy=f"gl tags discover {name} --write")
        for client in clients:
            if isinstance(client, KeepsState):
                client.keep_state_in(home / "sources" / client.name)
        self.events = event_queue_for(clients, home / "events.sqlite", wanted=config.connection_health.enabled)
        mark = self.clock.monotonic()
        self.buffer = self._open_buffer(catalog)
        self._before = self.buffer.counts()
        for client in clients:
            if isinstance(client, RecallsCounts):
                client.recall(self._before.get(client.name, SourceCounts()).other)
        self.states = {client.name: SourceState(client.name, client.kind, mark) for client in clients}
        self.certificates = CertificateWatch(config, self.states, self.clock)
        self.flow = Flow(tuple(self.states))
        self.live = LiveView(catalog.sensors, clock=self.clock)
        reports = ReportFilter.if_any(config.tags(), catalog, _frame(config))
        if reports is not None:
            reports.know(self.buffer.last_known())
        self.alarms = self._make_alarms(catalog)
        self.anomalies = self._make_anomalies()
        self.pipeline = Pipeline(
            self.buffer,
            flow=self.flow,
            clock=self.clock,
            flush_interval_s=config.buffer.flush_interval.total_seconds(),
            patient=frozenset(
                name
                for name, source in config.sources.items()
                if isinstance(source, MqttConfig) and source.is_kept_by_the_broker
            ),
            observers=(self.live.offer, *([self.anomalies.offer] if self.anomalies is not None else [])),
            alarms=self.alarms,
            reports=reports,
        )
        self.offers = watches(config, clients, self.states, self.clock)
        around = Surroundings(since=self.buffer.began)
        self._supervisors = [
            SourceSupervisor(
                client,
                self.pipeline,
                self.states[client.name],
                clock=self.clock,
                around=around,
                options=config.sources.get(client.name),
            )
            for client in clients
        ]
        self.mirror = (
            DatabaseMirror(
                database_url,
                Origin(config.site, config.collector.name),
                self.live,
                self.buffer,
                clock=self.clock,
                watch_registry=config.agents is not None,
            )
            if database_url
            else None
        )
        if self.mirror is not None:
            self.mirror.events = self.events
            if self.anomalies is not None:
                self.mirror.errands.append(self.anomalies.exchange)
        self.connections = (
            ConnectionHealth.of(config, clients, self.states, home=home, clock=self.clock, events=self.events)
            if config.connection_health.enabled
            else None
        )

    def _open_buffer(self, catalog: SensorCatalog) -> WindowBuffer:
        config = self.config
        try:
            return WindowBuffer(
                self._home / "buffer",
                collector=config.collector.name,
                grid=config.grid,
                start=config.start,
                catalog=catalog,
                grace=config.grace,
                retention=config.buffer.retention,
                max_bytes=config.buffer.max_bytes,
                clock=self.clock,
            )
        except BaseException:
            if self.events is not None:
                self.events.close()
            raise

    def _make_anomalies(self) -> LiveAnomalies | None:
        """Return what scores live readings, None where no equipment is watched."""
        own = self.config.anomalies
        if not own.live or not own.equipment(self.config.tags().values()):
            return None
        # a collector that watches nothing does not load what scores
        from sensors.collector.anomalies.service import LiveAnomalies

        return LiveAnomalies(self.config, home=self._home, clock=self.clock)

    def _make_alarms(self, catalog: SensorCatalog) -> Alarms | None:
        """Return what raises alarms, None where none are configured.

        Raises:
            ConfigError: A key is missing or wrong; the buffer is closed again.
        """
        config = self.config
        if config.alarms is None or config.agents is None:
            return None
        # what signs and verifies takes memory that a collector without alarms need not have
        from sensors.collector.alarms.service import Alarms

        try:
            return Alarms(
                config.alarms, config.agents, site=config.site, home=self._home, catalog=catalog, clock=self.clock
            )
        except ConfigError:
            self.buffer.close()
            if self.events is not None:
                self.events.close()
            raise

    async def run(
        self,
        stop: asyncio.Event,
        doors: Doors = Doors(),
        *,
        close_windows: bool = False,
        progress: Progress | None = None,
    ) -> Collected:
        """Collect until `stop`, then end the sources, make everything durable, and release the buffer.

        Raises:
            ConfigError: The pages cannot be served as configured.
            PlatformError: The disk under the buffer failed; what was acknowledged is safe.
        """
        threads = ThreadPoolExecutor(2 * len(self.states) + MORE_THREADS, thread_name_prefix="blocking")
        asyncio.get_running_loop().set_default_executor(threads)
        try:
            async with AsyncExitStack() as ending:
                if self.alarms is not None:
                    ending.push_async_callback(asyncio.to_thread, self.alarms.stop)
                if doors.serve:
                    await self._open_doors(doors, ending)
                release_unused()
                if self.mirror is not None:
                    self.mirror.start()
                    ending.push_async_callback(asyncio.to_thread, self.mirror.stop)
                if self.alarms is not None:
                    self.alarms.start()
                await self._collect(stop, progress)
                closed = await self.pipeline.on_disk(self.buffer.close_all) if close_windows else []
                counts = since(self._before, self.buffer.counts())
            return Collected(counts, closed)
        finally:
            self.pipeline.shutdown()
            self.buffer.close()
            if self.events is not None:
                self.events.close()
            log.info("collector_ended", rows=self.flow.rows)

    async def _collect(self, stop: asyncio.Event, progress: Progress | None) -> None:
        """Run everything until `stop`; when this returns, the sources are closed and all they gave is durable."""
        stopped = asyncio.create_task(stop.wait())
        helpers = [asyncio.create_task(self._report_forever()), asyncio.create_task(self._progress_forever(progress))]
        helpers += [asyncio.create_task(watch.run()) for watch in self.offers.values()]
        if self.alarms is not None:
            helpers.append(asyncio.create_task(self.alarms.tick_forever(lambda name: self.states[name].connected)))
        helpers += [asyncio.create_task(each.run()) for each in (self.connections, self.anomalies) if each is not None]
        disk = asyncio.create_task(self.pipeline.run())
        sources = [asyncio.create_task(s.run(), name=s.state.name) for s in self._supervisors]
        try:
            await asyncio.wait({stopped, disk}, return_when=asyncio.FIRST_COMPLETED)
            if not disk.done():
                # acknowledged while the connections are still there: what is not comes a second time
                await self.pipeline.commit()
        finally:
            await cancelled([*sources, *helpers, stopped])
            self.pipeline.end_reports()
            failed = disk.done()
            await cancelled([disk])
            if not failed:
                await self.pipeline.commit()
        if failed:
            disk.result()

    async def _open_doors(self, doors: Doors, ending: AsyncExitStack) -> None:
        host = self.config.collector.host
        refuse_open_door(host, expose_without_login=doors.expose_without_login)
        registry = registry_of(
            CollectorMetrics(
                self.states,
                self.flow,
                self.buffer,
                home=self._home,
                clock=self.clock,
                live_view_lag_s=lambda: self.mirror.lag_s if self.mirror else 0.0,
                offers=self.offers,
            )
        )
        for more in (self.certificates, self.alarms, self.connections, self.anomalies):
            if more is not None:
                registry.register(more)
        pages = Pages(self.contributors, [supervisor.ask for supervisor in self._supervisors], registry, self.clock)
        url = await pages.open(host, self.config.collector.port, self._home, ending)
        log.info("collector_started", url=url, sources=len(self.states), sensors=len(self.live))

    def contributors(self) -> list[health.Contributor]:
        """Return who is asked for /healthz."""
        settings, erp = self.config.collector, tuple(self.config.erp.systems)
        found: list[health.Contributor] = [
            lambda: health.source_findings(
                self.states,
                self.clock,
                disconnected_limit=settings.disconnected_limit,
                silent_limit=settings.silent_limit,
            ),
            lambda: findings(self.offers, self._untagged),
            lambda: health.buffer_findings(self.buffer),
            lambda: health.erp_findings(self._home, erp, self.clock),
            self.certificates.findings,
        ]
        if self.mirror is not None:
            found.append(self.mirror.findings)
        if self.alarms is not None:
            found.append(self.alarms.findings)
        if self.connections is not None:
            found.append(self.connections.findings)
        return found

    async def _progress_forever(self, progress: Progress | None) -> None:
        began = self.clock.monotonic()
        while progress is not None:
            progress(self.clock.monotonic() - began, self.states)
            await asyncio.sleep(1.0)

    async def _report_forever(self) -> None:
        performance, rows = performance_log(), 0
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            rows, before = self.flow.rows, rows
            state = self.buffer.state()
            performance.info(
                "collector",
                rows_per_s=round((rows - before) / REPORT_EVERY_S, 1),
                commits=self.flow.commits.count,
                pending_rows=state.pending_rows,
                held_windows=state.held_windows,
                buffer_bytes=state.bytes,
            )


def _frame(config: Integrations) -> Frame:
    """Return the buffer's times as the report filter wants them."""
    window, grace = config.window / timedelta(microseconds=1), config.grace / timedelta(microseconds=1)
    return Frame(window=round(window), grace=round(grace), start=to_micros(config.start), future=FUTURE_US)


def since(before: Mapping[str, SourceCounts], now: Mapping[str, SourceCounts]) -> dict[str, SourceCounts]:
    """Return what the counters have gained."""
    return {source: _difference(before.get(source, SourceCounts()), counts) for source, counts in now.items()}


def _difference(before: SourceCounts, now: SourceCounts) -> SourceCounts:
    numbers = {
        field.name: getattr(now, field.name) - getattr(before, field.name)
        for field in fields(SourceCounts)
        if field.name != "other"
    }
    other = {name: value - before.other.get(name, 0) for name, value in now.other.items()}
    return SourceCounts(**numbers, other=other)
