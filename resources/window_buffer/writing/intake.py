"""What was appended and waits for a commit: memory only, shared by the event loop and the committing thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from resources.core.errors import DataError
from resources.core.readings import READINGS_SCHEMA, REJECTS_SCHEMA, TEXTS_SCHEMA, ReadingBatch
from resources.window_buffer.judging.time_rules import Entry
from resources.window_buffer.model import BufferFullError
from resources.window_buffer.writing.group_writer import Counts, merge_counts

MOST_PENDING_ROWS = 500_000
"""More rows than this never wait in memory (about 20 MB): the disk is too slow, and the sources must be slowed down."""


@dataclass(slots=True)
class Taken:
    """What one commit has to make durable."""

    entries: list[Entry] = field(default_factory=list)
    increments: Counts = field(default_factory=dict)
    rows: int = 0


class Intake:
    """The queue between `append` and `commit`."""

    def __init__(self) -> None:
        """Nothing waits."""
        self._lock = threading.Lock()
        self._taken = Taken()

    @property
    def rows(self) -> int:
        """Rows that wait."""
        return self._taken.rows

    def put(self, batch: ReadingBatch, now_us: int, increments: Mapping[str, int] | None = None) -> None:
        """Queue a batch, and with it the increments of its source's counters: one commit takes both or neither.

        Raises:
            DataError: A part has another schema than the contract's; nothing was queued.
            BufferFullError: Too many rows wait already.
        """
        rows = 0
        for part, schema in (
            (batch.readings, READINGS_SCHEMA),
            (batch.texts, TEXTS_SCHEMA),
            (batch.rejects, REJECTS_SCHEMA),
        ):
            if part is not None:
                if not part.schema.equals(schema):
                    raise DataError(
                        f"window buffer: a batch of source {batch.source} has columns {part.schema.names}, "
                        f"expected {schema.names} with the types of resources.core.readings"
                    )
                rows += part.num_rows
        with self._lock:
            if self._taken.rows and self._taken.rows + rows > MOST_PENDING_ROWS:
                raise BufferFullError(
                    f"window buffer: {self._taken.rows} rows wait for the disk, and {MOST_PENDING_ROWS} are the most; "
                    "the disk is too slow for the sources: find what else uses it, or read fewer tags"
                )
            self._taken.entries.append(Entry(batch, now_us))
            self._taken.rows += rows
            if increments:
                merge_counts(self._taken.increments, {batch.source: dict(increments)})

    def count(self, source: str, increments: dict[str, int]) -> None:
        """Queue increments of counters."""
        with self._lock:
            merge_counts(self._taken.increments, {source: increments})

    def take(self) -> Taken:
        """Return everything queued and begin anew."""
        with self._lock:
            taken, self._taken = self._taken, Taken()
            return taken

    def waiting_counts(self) -> Counts:
        """Return the queued increments."""
        with self._lock:
            return {source: dict(some) for source, some in self._taken.increments.items()}
