"""How far a run over many business days is: in its log, and as observations of the asset in the UI."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import dagster as dg

REPORTS = 20
"""At most so many reports of a run: a run over two years must not fill the event log."""


@dataclass(slots=True)
class Progress:
    """Tells of the work on `total` partitions of an asset; a short range is told day by day, by the log alone."""

    context: dg.AssetExecutionContext
    key: dg.AssetKey
    total: int
    clock: Callable[[], float] = time.monotonic
    done: int = 0
    failed: int = 0
    records: int = 0
    _started: float = field(init=False)
    _reports: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Begin to count the time."""
        self._started = self.clock()

    def step(self, partition: str, *, records: int = 0, failed: bool = False) -> None:
        """Count a partition, and report if a further share of the range is through."""
        self.done, self.failed, self.records = self.done + 1, self.failed + failed, self.records + records
        due = self.done * REPORTS // self.total
        if self.total <= REPORTS or due > self._reports:
            self._reports = due
            self._report(partition)

    def _report(self, partition: str) -> None:
        spent = self.clock() - self._started
        left = spent / self.done * (self.total - self.done)
        self.context.log.info(
            "%s: %d of %d days through %s (%d %%), %d records, %d failed, %.0f s so far, about %.0f s left",
            *(self.key.to_user_string(), self.done, self.total, partition, 100 * self.done // self.total),
            *(self.records, self.failed, spent, left),
        )
        if self.total > REPORTS:
            self.context.log_event(
                dg.AssetObservation(
                    self.key,
                    metadata={
                        "days_done": self.done,
                        "days_asked_for": self.total,
                        "progress": f"{100 * self.done // self.total} %",
                        "through": partition,
                        "records": self.records,
                        "failed_days": self.failed,
                        "seconds_so_far": round(spent, 1),
                        "seconds_left": round(left, 1),
                    },
                )
            )
