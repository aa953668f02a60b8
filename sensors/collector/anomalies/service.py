"""Live scoring put together: takes what passes through the pipeline, scores it every second, and has it written.

Nothing waits for it: a batch is put aside on its way and scored in a thread. What is put aside is bounded, and what is
found waits for the database as the state of each window, so that an outage of any length makes no backlog of rows.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

import psycopg
import pyarrow as pa
import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from resources.core.clock import Clock, from_micros, to_micros
from resources.core.readings import ReadingBatch
from resources.databases.timescale.anomaly.anomalies import AnomalyRow
from resources.databases.timescale.anomaly.anomaly_models import newest_models
from resources.databases.timescale.anomaly.live_anomalies import LiveWindow, replace_live
from resources.integrations import Integrations
from sensors.collector.anomalies.columns import WatchedColumns
from sensors.collector.anomalies.models import MODELS_FILE, ModelShelf
from sensors.collector.anomalies.scorer import EquipmentScorer
from sensors.collector.histogram import ArrayHistogram

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often the rows are scored."""

MODELS_EVERY_S = 60.0
"""How often the database is asked for newer detectors."""

MOST_BATCHES = 10_000
"""Batches that may wait to be scored; more are dropped, oldest first, and counted."""

MOST_WINDOWS = 10_000
"""Windows whose findings may wait for the database; more are dropped: the asset finds the same once they are stored."""

WINDOWS_AT_ONCE = 200
"""Windows that are written in one turn: the live view must not wait for a backlog."""

LATENCY_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)


class LiveAnomalies(Collector):
    """Scores the live readings of one collector; `run` until cancelled, `exchange` in the database's thread."""

    def __init__(self, config: Integrations, *, home: Path, clock: Clock) -> None:
        """Go on with the detectors that are kept under `home`."""
        self._site, self._clock = config.site, clock
        self._run_id = f"collector/{config.collector.name}"
        self._window_us = to_micros(from_micros(0) + config.window)
        self._columns = WatchedColumns(config)
        self._shelf = ModelShelf(
            home / MODELS_FILE,
            {name: config.anomalies.fingerprint(sensors) for name, sensors in self._columns.equipment.items()},
        )
        self._scorers: dict[str, EquipmentScorer] = {}
        self._batches: deque[tuple[float, pa.RecordBatch]] = deque(maxlen=MOST_BATCHES)
        self._offered = self._taken = 0
        self._latency = ArrayHistogram(LATENCY_BOUNDS_S)
        self._begun: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._known: dict[tuple[str, datetime], tuple[AnomalyRow, ...]] = {}
        """Equipment and window -> what was found in it when it was last looked at; the latest windows."""
        self._waiting: dict[tuple[str, datetime], LiveWindow] = {}
        self._asked: float | None = None
        self._told = False

    # -- in the event loop -------------------------------------------------------------------------------------------

    def offer(self, batch: ReadingBatch) -> None:
        """Put a batch aside to be scored; returns at once."""
        if batch.readings is not None and batch.readings.num_rows and self._shelf.models:
            self._offered += 1
            self._batches.append((self._clock.monotonic(), batch.readings))

    async def run(self) -> None:
        """Score until cancelled; a fault in here is logged and leaves the readings alone."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                await asyncio.to_thread(self.look)
            except Exception:  # a supervisor loop: scoring must not end the collection of readings
                log.exception("anomaly_scoring_failed")

    # -- in a thread of its own --------------------------------------------------------------------------------------

    def look(self) -> None:
        """Score what has arrived since the last look."""
        now_us = to_micros(self._clock.now())
        self._renew_scorers(now_us)
        marks = self._take(now_us)
        for equipment, scorer in self._scorers.items():
            stood = scorer.stands
            for findings in scorer.look(now_us):
                self._note(findings)
            if scorer.stands != stood:
                self._tell(equipment, scorer)
        if marks:
            mark = self._clock.monotonic()
            self._latency.observe([mark - arrived for arrived in marks])

    def _renew_scorers(self, now_us: int) -> None:
        models = self._shelf.models
        for equipment in [name for name in self._scorers if name not in models]:
            del self._scorers[equipment]
        for equipment, watched in models.items():
            held = self._scorers.get(equipment)
            if held is None or held.watched is not watched:
                column = {name: place for place, name in enumerate(watched.trained.names)}
                places = {
                    position: column[sensor]
                    for position, sensor in enumerate(self._columns.sensors)
                    if sensor in column
                }
                self._scorers[equipment] = EquipmentScorer(watched, places, window_us=self._window_us, now_us=now_us)

    def _take(self, now_us: int) -> list[float]:
        """Hand what has arrived to the scorers; return when each batch did."""
        arrived = [self._batches.popleft() for _ in range(len(self._batches))]
        self._taken += len(arrived)
        if arrived:
            values = self._columns.of([readings for _, readings in arrived])
            for scorer in self._scorers.values():
                scorer.take(values, now_us)
        return [mark for mark, _ in arrived]

    def _note(self, findings: LiveWindow) -> None:
        """Remember what a window comes to, and have it written if that is news."""
        key = (findings.equipment, findings.window_start)
        before = self._known.pop(key, ())
        self._known[key] = findings.rows
        while len(self._known) > MOST_WINDOWS:
            del self._known[next(iter(self._known))]
        if findings.rows == before:
            return
        told = {(row.kind, row.time) for row in before}
        self._begun.update(row.kind for row in findings.rows if (row.kind, row.time) not in told)
        with self._lock:
            self._waiting[key] = findings
            while len(self._waiting) > MOST_WINDOWS:
                del self._waiting[next(iter(self._waiting))]

    def _tell(self, equipment: str, scorer: EquipmentScorer) -> None:
        if scorer.stands:
            log.warning("equipment_not_as_in_training", equipment=equipment, distance=round(scorer.distance, 2))
        else:
            log.info("equipment_as_in_training_again", equipment=equipment)

    # -- in the database's thread ------------------------------------------------------------------------------------

    def exchange(self, connection: psycopg.Connection) -> None:
        """Write what was found, and see now and then whether there are newer detectors.

        Raises:
            psycopg.OperationalError: The database is away; what was found goes on waiting.
        """
        try:
            self._write(connection)
            mark = self._clock.monotonic()
            if self._asked is None or mark - self._asked >= MODELS_EVERY_S:
                self._asked = mark
                stored = newest_models(connection, site=self._site, equipment=tuple(self._columns.equipment))
                self._shelf.renew(stored.values())
        except psycopg.OperationalError:
            raise
        except psycopg.Error as error:
            # a schema of another version, say: no reason to hold up the live view
            if not self._told:
                log.warning("anomalies_not_exchanged", error=str(error).strip())
            self._told = True
        else:
            self._told = False

    def _write(self, connection: psycopg.Connection) -> None:
        with self._lock:
            waiting = dict(islice(self._waiting.items(), WINDOWS_AT_ONCE))
        for key, findings in waiting.items():
            with connection.transaction():
                replace_live(connection, findings, site=self._site, run_id=self._run_id)
            with self._lock:
                if self._waiting.get(key) is findings:
                    del self._waiting[key]

    # -- at a scrape -------------------------------------------------------------------------------------------------

    def collect(self) -> Iterator[Metric]:
        """Yield all families."""
        scorers = dict(self._scorers)
        yield _gauge(
            "gl_anomaly_distance",
            "Distance of the latest row from normal over the limit; 1 is the limit.",
            {name: scorer.distance for name, scorer in scorers.items()},
        )
        yield _gauge(
            "gl_anomaly_standing",
            "1 while an equipment is not as in training.",
            {name: float(scorer.stands) for name, scorer in scorers.items()},
        )
        yield _gauge(
            "gl_anomaly_model_version",
            "Version of the detectors in force; none where an equipment is not trained.",
            {name: float(scorer.watched.version) for name, scorer in scorers.items()},
        )
        begun = CounterMetricFamily("gl_anomalies_found", "Anomalies found live.", labels=("kind",))
        for kind, number in list(self._begun.items()):
            begun.add_metric((kind,), number)
        yield begun
        stray = CounterMetricFamily("gl_anomaly_stray_readings", "Readings too old, or too far ahead, to be scored.")
        stray.add_metric((), sum(scorer.stray for scorer in scorers.values()))
        yield stray
        dropped = CounterMetricFamily("gl_anomaly_dropped_batches", "Batches dropped because scoring was behind.")
        dropped.add_metric((), max(0, self._offered - self._taken - len(self._batches)))
        yield dropped
        yield GaugeMetricFamily(
            "gl_anomaly_unwritten_windows", "Windows whose anomalies wait for the database.", value=len(self._waiting)
        )
        latency = HistogramMetricFamily("gl_anomaly_latency_seconds", "Arrival of a batch to its scores.")
        latency.add_metric((), *self._latency.cumulative())
        yield latency


def _gauge(name: str, text: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("equipment",))
    for equipment, value in values.items():
        family.add_metric((equipment,), value)
    return family
