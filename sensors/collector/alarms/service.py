"""The alarms of one collector put together: every batch is judged as it arrives, before it waits for anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import structlog
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from resources.agents.alarms import AlarmsConfig
from resources.agents.config import AgentsConfig
from resources.agents.wire.message import rfc3339
from resources.core.alarms import AlarmChange
from resources.core.clock import Clock, from_micros
from resources.core.errors import ConfigError
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from sensors.collector.alarms.desk import AlarmDesk
from sensors.collector.alarms.evaluator import Crossing, Evaluator
from sensors.collector.alarms.figures import counter
from sensors.collector.alarms.journal import STORE_FILE
from sensors.collector.alarms.points import watch_points
from sensors.collector.alarms.sender import Wire
from sensors.collector.alarms.store import AlarmStore
from sensors.collector.health import Finding

log = structlog.get_logger(__name__)

TICK_S = 0.1
"""How often durations are looked at that run out without a new reading."""

NOT_LIVE_LIMIT_S = 60.0
"""A source that gives late readings only, for this long, has no alarms: its clock is wrong, or it has a backlog."""

_SHOWN = 5


class Alarms(Collector):
    """Judges, and has the desk tell; all of it belongs to the event loop but for what is read at a scrape."""

    def __init__(
        self,
        config: AlarmsConfig,
        agents: AgentsConfig,
        *,
        site: str,
        home: Path,
        catalog: SensorCatalog,
        clock: Clock,
    ) -> None:
        """Read the keys and the state of the last run under `home`; nothing is connected yet.

        Raises:
            ConfigError: A rule watches nothing, or a key file is missing or wrong.
        """
        self._clock = clock
        points = watch_points(config.rules, catalog)
        late_us = config.late_limit // timedelta(microseconds=1)
        self._evaluator = Evaluator(points, catalog, late_limit_us=late_us, clock=clock)
        commands = [rule.command for rule in config.rules.values() if rule.command is not None]
        wire = Wire(
            site=site,
            agents=agents,
            broker=config.broker or agents.broker,
            private_key=config.private_key,
            answerers=sorted({agent for command in commands for agent in command.targets}),
        )
        store = AlarmStore(home / STORE_FILE)
        try:
            self.desk = AlarmDesk(config.rules, catalog, wire, store, clock)
        except ConfigError:
            store.close()
            raise
        self._began = clock.monotonic()
        for change in self.desk.standing():
            key = catalog.get(change.sensor_id)
            if key is None or not self._evaluator.restore(change.rule, key):
                self.desk.withdraw(change)

    def start(self) -> None:
        """Connect to the broker, and send what an earlier run could not."""
        self._began = self._clock.monotonic()
        self.desk.start()
        log.info("alarms_started", agent_id=self.desk.agent_id, points=len(self._evaluator.points))

    def stop(self) -> None:
        """Make everything durable, and disconnect."""
        self.desk.stop()

    def watch(self, batch: ReadingBatch) -> None:
        """Judge a batch; what it raises is on its way when this returns."""
        self._notice(lambda: self._evaluator.judge(batch))

    async def tick_forever(self, is_connected: Callable[[str], bool]) -> None:
        """Look, again and again, at what lasts without new readings."""
        while True:
            self._notice(lambda: self._evaluator.tick(is_connected))
            await asyncio.sleep(TICK_S)

    def _notice(self, judge: Callable[[], list[Crossing]]) -> None:
        try:
            for crossing in judge():
                self.desk.notice(crossing)
        except Exception:
            # a fault in a rule must neither lose the readings nor silence the other rules for good
            log.exception("alarm_judging_failed")

    async def durable(self) -> None:
        """Return once all that was noticed is durable, or at once while the disk does not take it.

        A source is not acknowledged before: what it keeps until then comes again if this process dies, and raises the
        alarm that was lost with it.
        """
        if not self.desk.has_news or not self.desk.works:
            return
        loop, written = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            loop.call_soon_threadsafe(written.set)

        self.desk.when_durable(tell)
        while not written.is_set() and self.desk.works:
            try:
                async with asyncio.timeout(TICK_S):
                    await written.wait()
            except TimeoutError:
                continue

    def findings(self) -> Iterable[Finding]:
        """Yield whether the alarms could be told, whether their readings are live, and which stand."""
        standing = self.desk.standing()
        if self.desk.disk_error is not None:
            yield Finding("alarms", "warning", f"the store takes nothing ({self.desk.disk_error}): free disk space")
        elif not self.desk.connected and self._clock.monotonic() - self._began > NOT_LIVE_LIMIT_S:
            waiting = self.desk.figures.unsent
            yield Finding("alarms", "warning", f"the agents' broker is away; {waiting} messages of alarms wait for it")
        elif standing:
            shown = "; ".join(_sentence(change) for change in standing[:_SHOWN])
            more = f" and {len(standing) - _SHOWN} more" if len(standing) > _SHOWN else ""
            yield Finding("alarms", "warning", f"{len(standing)} stand: {shown}{more}")
        else:
            yield Finding("alarms", "green", f"none stands; {len(self._evaluator.points)} watched")
        for source in self._deaf_sources():
            yield Finding(
                f"alarms.{source}",
                "warning",
                "its readings are too old, or too far ahead, to raise alarms: a clock is wrong, or a backlog comes in",
            )

    def _deaf_sources(self) -> list[str]:
        mark, live = self._clock.monotonic(), self._evaluator.live_at
        return [
            source
            for source, late_at in list(self._evaluator.late_at.items())
            if mark - late_at <= NOT_LIVE_LIMIT_S < mark - live.get(source, self._began)
        ]

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        yield from self.desk.figures.families()
        yield counter(
            "gl_alarms_late_readings",
            "Watched readings that were too old, or too far ahead, to be live.",
            "source",
            self._evaluator.late,
        )
        yield counter(
            "gl_alarms_refused", "Messages to the collector that were refused.", "reason", self.desk.refused()
        )


def _sentence(change: AlarmChange) -> str:
    since = rfc3339(from_micros(change.raised_us))
    return f"{change.rule}: {change.sensor_id} {change.direction} {change.threshold:g} {change.unit} since {since}"
