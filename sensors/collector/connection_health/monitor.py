"""Predictive connection health of one collector: sampled, judged, told in events, on `/healthz/now` and `/metrics`.

Nothing of it is on a reading's way: it is a task beside the sources, its arithmetic is done in a thread, and whatever
fails in it is logged and leaves the collection alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from resources.core.clock import Clock, to_micros
from resources.core.configuration.connection_health import ConnectionHealthConfig
from resources.core.events import SourceEvent
from resources.integrations import Integrations
from resources.scada.config import SourceOptions
from resources.scada.connector import ScadaClient
from sensors.collector.connection_health.history import HISTORY_FILE, History, Record, Slots
from sensors.collector.connection_health.risk_book import Change, RiskBook
from sensors.collector.connection_health.rule import SIGNS, RiskRule
from sensors.collector.connection_health.sampler import Sampler
from sensors.collector.event_queue import EventQueue
from sensors.collector.health import Finding
from sensors.collector.state import SourceState

log = structlog.get_logger(__name__)

AT_RISK, OVER = "source_at_risk", "source_risk_over"
"""Types of the events."""

SEVERITY, SEVERITY_OVER = 500, 100
"""Of the events, 1 to 1000: a warning, and a note."""

KEEP_EVERY_S = 300.0
"""How often the history goes to the disk."""

_WORDS = {
    "latency": "its answers take ever longer, and would reach the time limit",
    "retries": "connections and requests have to be made again far more often than usual",
    "gaps": "far more time than usual goes unread",
}


class ConnectionHealth(Collector):
    """Watches the connections of all sources; `run` until cancelled."""

    def __init__(
        self,
        config: ConnectionHealthConfig,
        sampler: Sampler,
        *,
        failure: timedelta,
        home: Path,
        clock: Clock,
        events: EventQueue | None = None,
    ) -> None:
        """Go on with the history under `home`.

        Args:
            config: What is too much.
            sampler: Measures the sources.
            failure: A source that is away for this long has failed.
            home: GL_HOME.
            clock: For instants and durations.
            events: Where the warnings go beside the log; None: nowhere.
        """
        self._names, self._sampler = sampler.names, sampler
        self._clock, self._events = clock, events
        self._slot_s = config.every.total_seconds()
        self._path = home / HISTORY_FILE
        self.history = History(self._names, slot_s=self._slot_s, most=round(config.history / config.every))
        self._recall(config)
        rule = RiskRule(self._slot_s, config.recent.total_seconds(), config.horizon.total_seconds(), config.chance)
        self.book = RiskBook(len(self._names), rule, failure_s=failure.total_seconds())
        self._standing: dict[str, str] = {}
        """Source at risk -> why, for people."""

    @classmethod
    def of(
        cls,
        config: Integrations,
        clients: Sequence[ScadaClient],
        states: Mapping[str, SourceState],
        *,
        home: Path,
        clock: Clock,
        events: EventQueue | None,
    ) -> Self:
        """Return it for the connectors of one collector."""
        options = [config.sources.get(client.name, SourceOptions()) for client in clients]
        limits_s = [each.connect_timeout.total_seconds() for each in options]
        return cls(
            config.connection_health,
            Sampler(clients, [states[client.name] for client in clients], limits_s, clock),
            failure=config.collector.disconnected_limit,
            home=home,
            clock=clock,
            events=events,
        )

    def _recall(self, config: ConnectionHealthConfig) -> None:
        try:
            held = Record.read(self._path)
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("connection_history_lost", path=str(self._path), error=str(error))
            return
        self.history.recall(held, since=(self._clock.now() - config.history).timestamp())

    async def run(self) -> None:
        """Sample and judge, slot after slot."""
        kept = self._clock.monotonic()
        try:
            while True:
                slot = await self._sampler.sample(self._slot_s)
                try:
                    for change in await asyncio.to_thread(self._judge, slot):
                        await self._tell(change)
                    if self._clock.monotonic() - kept >= KEEP_EVERY_S:
                        kept = self._clock.monotonic()
                        await asyncio.to_thread(self._keep)
                except Exception:  # a supervisor loop: a fault in here must not end the collection of readings
                    log.exception("connection_health_failed")
        finally:
            # no thread: the loop may be about to end, and the file is small
            self._keep()

    def _judge(self, slot: Slots) -> list[Change]:
        self.history.limit_s = self._sampler.limit_s.copy()
        self.history.add(slot)
        return self.book.judge(self.history.slots(), self.history.limit_s)

    def _keep(self) -> None:
        try:
            self.history.record().write(self._path)
        except OSError as error:
            log.warning("connection_history_not_kept", path=str(self._path), error=str(error))

    async def _tell(self, change: Change) -> None:
        name = self._names[change.source]
        if change.at_risk:
            self._standing[name] = _WORDS[change.sign]
            log.warning("source_at_risk", source=name, sign=change.sign, risk=round(change.risk, 2))
        else:
            self._standing.pop(name, None)
            log.info("source_risk_over", source=name, lasted_s=round(change.time - change.warned_at, 1))
        if self._events is not None:
            await self._events.put([event_of(name, change)])

    def findings(self) -> Iterable[Finding]:
        """Yield one line for all that are well, and a warning for each source at risk."""
        for name, why in list(self._standing.items()):
            risk = self.book.risk[self._names.index(name)]
            facts = {sign: round(float(value), 2) for sign, value in zip(SIGNS, risk, strict=True)}
            yield Finding(f"risk.{name}", "warning", f"source {name} is likely to fail soon: {why}", facts)
        if not self._standing:
            yield Finding("connection_health", "green", f"{len(self._names)} sources watched, none at risk")

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        book = self.book
        at_risk = GaugeMetricFamily("gl_source_at_risk", "1 while a warning stands.", labels=("source",))
        risk = GaugeMetricFamily(
            "gl_source_risk",
            "Strength of each sign that the source will fail; a warning at 1.",
            labels=("source", "sign"),
        )
        outcomes = CounterMetricFamily(
            "gl_source_risk_warnings",
            "Warnings, by what became of them: the source failed within the horizon (right) or not (false).",
            labels=("source", "outcome"),
        )
        for position, name in enumerate(self._names):
            at_risk.add_metric((name,), float(book.at_risk[position]))
            for column, sign in enumerate(SIGNS):
                risk.add_metric((name, sign), float(book.risk[position, column]))
            outcomes.add_metric((name, "right"), float(book.right[position]))
            outcomes.add_metric((name, "false"), float(book.false[position]))
        yield from (at_risk, risk, outcomes)


def event_of(source: str, change: Change) -> SourceEvent:
    """Return the event that says it."""
    time_us = to_micros(datetime.fromtimestamp(change.time, UTC))
    kind = AT_RISK if change.at_risk else OVER
    message = (
        f"source {source} is likely to fail soon: {_WORDS[change.sign]}"
        if change.at_risk
        else f"source {source} is no longer likely to fail soon"
    )
    return SourceEvent(
        source=source,
        time_us=time_us,
        received_us=time_us,
        event_type=kind,
        message=message,
        severity=SEVERITY if change.at_risk else SEVERITY_OVER,
        event_id=f"{kind}:{time_us}",
        details={"sign": change.sign, "risk": round(change.risk, 3), "warned_at": change.warned_at},
    )
