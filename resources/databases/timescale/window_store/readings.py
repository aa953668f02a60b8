"""The store of readings: one revision of a window goes in whole, in one transaction with its ledger, or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
import structlog

from resources.core.clock import to_micros
from resources.core.errors import UnreachableError
from resources.core.origins import CORRECTED_SUFFIX
from resources.core.process.closing import Closing
from resources.databases.timescale import maintenance
from resources.databases.timescale.binary import POSTGRES_EPOCH_US
from resources.databases.timescale.connection import connect, describe
from resources.databases.timescale.window_store import ledger
from resources.databases.timescale.window_store.calibration_sets import write_set
from resources.databases.timescale.window_store.conflicts import TableRows, plan, resolve_within
from resources.databases.timescale.window_store.contradictions import rejected_rows
from resources.databases.timescale.window_store.counts import count_sources
from resources.databases.timescale.window_store.dimensions import Dimensions
from resources.databases.timescale.window_store.readings_table import Window, apply, copy_rows, delete_all, fetch
from resources.databases.timescale.window_store.rejected_table import replace_rejected
from resources.databases.timescale.window_store.texts_table import replace_texts
from resources.databases.timescale.window_store.window import ReadingRows, SourceNumbers, StoreResult, WindowToStore

log = structlog.get_logger(__name__)

SAMPLED_SENSORS = 16
"""Sensors by which a replacement is judged to change most rows or few."""


class ReadingsStore(Closing):
    """Writes windows of readings over one connection of its own; one thread at a time.

    Args:
        url: The database, migrated.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection | None = None
        self._dimensions = Dimensions()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def connection(self) -> psycopg.Connection:
        """The store's connection, autocommit; opened anew where the last one broke.

        Raises:
            UnreachableError, AuthError: As `connect`.
        """
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._connection = connect(self._url, autocommit=True)
        return self._connection

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """Yield the store's connection inside a transaction: committed at the end, rolled back by an error.

        Raises:
            UnreachableError: The database went away; nothing of it is committed.
        """
        try:
            with self.connection.transaction():
                yield self.connection
        except psycopg.OperationalError as error:
            self.close()
            raise UnreachableError(
                f"database {describe(self._url)}: lost within a transaction ({str(error).strip().splitlines()[0]}); "
                "nothing of it is committed",
                source="database",
            ) from error

    def replace_window(self, window: WindowToStore) -> StoreResult:
        """Make the tables hold this revision of the window, and say so in the ledger: all in one transaction.

        What this collector has in the window is replaced where `window.complete`, else the rows are merged into it;
        rows of other collectors stay, under the rule of duplicates. Rows that stand there unchanged are not written
        again. A window stored at this revision or a later one is left alone. Writers of the same window take turns.

        Raises:
            UnreachableError: The database went away; nothing of the window is stored.
        """
        try:
            return self._replace(window)
        except psycopg.OperationalError as error:
            self.close()
            raise UnreachableError(
                f"database {describe(self._url)}: lost while storing window {window.window_start:%Y-%m-%dT%H:%M} "
                f"({str(error).strip().splitlines()[0]}); nothing of it is stored, and it will be asked for again",
                source="database",
            ) from error

    def _replace(self, window: WindowToStore) -> StoreResult:
        keys = self._dimensions.resolve(self.connection, window.site, window.collector, window.sensors)
        try:
            result = self._transaction(window, keys, known_empty=True)
        except psycopg.errors.UniqueViolation:
            # rows stand there that no ledger knows of: somebody wrote past the store
            log.warning("window_held_unknown_rows", window=str(window.window_start))
            result = self._transaction(window, keys, known_empty=False)
        if result.written >= maintenance.SUMMARISE_ROWS:
            maintenance.summarise(self.connection, window.window_start)
        return result

    def _transaction(self, window: WindowToStore, keys: Any, *, known_empty: bool) -> StoreResult:
        with self.connection.transaction():
            ledger.lock_window(self.connection, window.window_start)
            entries = ledger.entries(self.connection, [window.window_start])
            mine = next((e for e in entries if (e.site, e.collector) == (window.site, window.collector)), None)
            if mine is not None and mine.stored_revision >= window.revision:
                return StoreResult(False, _already(mine, window), {})
            writer = _WindowWriter(self.connection, window, *keys)
            return writer.write(empty=known_empty and not entries)


def _already(entry: ledger.LedgerEntry, window: WindowToStore) -> str:
    kind = (
        "this revision" if entry.stored_revision == window.revision else f"the newer revision {entry.stored_revision}"
    )
    return (
        f"window {window.window_start:%Y-%m-%dT%H:%M} of {window.collector}: {kind} was stored at "
        f"{entry.stored_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC by run {entry.run_id}; "
        f"revision {window.revision} writes nothing"
    )


class _WindowWriter:
    """One transaction's work on one window."""

    def __init__(
        self,
        connection: psycopg.Connection,
        window: WindowToStore,
        sensor_keys: npt.NDArray[np.int32],
        origin_keys: npt.NDArray[np.int32],
    ) -> None:
        self.connection = connection
        self.window = window
        self.place = Window(window.site, window.collector, window.window_start, window.window_end, window.run_id)
        self.sensor_keys, self.origin_keys = sensor_keys, origin_keys
        self.repeated: Counter[str] = Counter()
        self.lost: list[pa.Table] = []

    def write(self, *, empty: bool) -> StoreResult:
        """Write numbers, texts, rejects and ledger; `empty`: nobody has stored anything in this window yet."""
        readings, incoming = self._incoming()
        if empty:
            copy_rows(self.connection, incoming)
            standing, written, deleted = readings, len(incoming), 0
        else:
            standing, written, deleted = self._replace_numbers(readings, incoming)
        texts = replace_texts(self.connection, self.place, self.window.texts, complete=self.window.complete)
        self.repeated.update(texts.repeated)
        rejects = pa.concat_tables([self.window.rejects, *self.lost, texts.lost])
        replace_rejected(self.connection, self.place, rejects, complete=self.window.complete)
        before = {} if self.window.complete else ledger.deduplicated_before(self.connection, self.window)
        numbers = self._numbers(standing, texts.standing, rejects, before)
        ledger.write_entry(self.connection, self.window, numbers, before)
        write_set(self.connection, self.window.site, self.window.calibrations)
        return StoreResult(True, None, numbers, written, deleted)

    def _incoming(self) -> tuple[ReadingRows, TableRows]:
        """Return the window's rows, each (sensor, time) once, in the order of the table's index."""
        readings = self.window.readings
        rows = self._as_table(readings)
        unique = resolve_within(rows, _since_2000(self.window.window_start))
        if unique.kept is None:
            return readings, rows
        self._leave_out(readings, unique.repeated, unique.lost)
        return readings.take(unique.kept), rows.take(unique.kept)

    def _as_table(self, readings: ReadingRows) -> TableRows:
        return TableRows(
            sensor_key=self.sensor_keys[readings.sensor],
            time=readings.time_us - POSTGRES_EPOCH_US,
            value=readings.value,
            calibrated_value=readings.calibrated_value,
            ingested_at=readings.received_us - POSTGRES_EPOCH_US,
            origin_key=self.origin_keys[readings.sensor],
            quality_score=readings.quality_score,
            status=readings.status,
            defects=readings.defects,
        )

    def _replace_numbers(self, readings: ReadingRows, incoming: TableRows) -> tuple[ReadingRows, int, int]:
        """Return the readings that stand afterwards, and how many rows were written and removed."""
        own_keys = self._own_origins() if self.window.complete else []
        if own_keys and self._mostly_changed(incoming, own_keys):
            # comparing costs more than it saves, and removing all by block ranges beats removing each by the index
            stored = fetch(self.connection, self.place, without_origins=own_keys)
            deleted = delete_all(self.connection, self.place, own_keys)
        else:
            stored, deleted = fetch(self.connection, self.place), 0
        restated = None
        if self.window.collector.endswith(CORRECTED_SUFFIX):
            restated = np.isin(stored.origin_key, self._own_origins())
        own = np.isin(stored.origin_key, own_keys)
        todo = plan(incoming, stored, own, _since_2000(self.window.window_start), restated=restated)
        self._leave_out(readings, todo.repeated, todo.lost)
        stands = np.ones(len(readings), dtype=bool)
        stands[todo.repeated] = stands[todo.lost] = False
        deleted += apply(self.connection, self.place, todo, incoming, stored)
        return readings.take(stands), len(todo.write), deleted

    def _mostly_changed(self, incoming: TableRows, own_keys: list[int]) -> bool:
        """Return whether most rows of a few sensors differ from what stands: a new calibration, say, changes all."""
        sensors = np.unique(incoming.sensor_key)
        sample = sensors[:: max(1, len(sensors) // SAMPLED_SENSORS)]
        rows = incoming.take(np.isin(incoming.sensor_key, sample))
        stored = fetch(self.connection, self.place, sensor_keys=sample.tolist())
        own = np.isin(stored.origin_key, own_keys)
        changes = plan(rows, stored, own, _since_2000(self.window.window_start))
        return 2 * len(changes.stale) > max(1, int(np.count_nonzero(own)))

    def _own_origins(self) -> list[int]:
        found = self.connection.execute(
            "SELECT origin_key FROM scada.origins WHERE site = %s AND collector = %s",
            (self.window.site, self.window.collector),
        )
        return [row[0] for row in found]

    def _leave_out(self, readings: ReadingRows, repeated: npt.NDArray[np.intp], lost: npt.NDArray[np.intp]) -> None:
        self.repeated.update(self.window.sensors[s].source for s in readings.sensor[repeated])
        if len(lost):
            self.lost.append(rejected_rows(self.window.sensors, readings.take(lost)))

    def _numbers(
        self, standing: ReadingRows, texts: Iterable[str], rejects: pa.Table, before: Mapping[str, int]
    ) -> dict[str, SourceNumbers]:
        """Return source -> what stands in the tables now; a merge counts there, since it knows only what it added."""
        if self.window.complete:
            per_sensor = np.bincount(standing.sensor, minlength=len(self.window.sensors))
            rows: Counter[str] = Counter(texts)
            for sensor, count in zip(self.window.sensors, per_sensor.tolist(), strict=True):
                rows[sensor.source] += count
            rows = +rows
            rejected = Counter(rejects.column("source").to_pylist())
        else:
            rows, rejected = count_sources(self.connection, self.place)
        deduplicated = Counter(self.window.deduplicated) + self.repeated + Counter(before)
        return {
            source: SourceNumbers(rows[source], rejected[source], deduplicated[source])
            for source in sorted(rows.keys() | rejected.keys() | deduplicated.keys())
        }


def _since_2000(instant: datetime) -> int:
    return to_micros(instant) - POSTGRES_EPOCH_US
