"""Reading a source's history at once, for assets: what a connector with `HasHistory` yields, collected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol, runtime_checkable

from resources.core.readings import ReadingBatch
from resources.core.tags import Sensor
from resources.scada.connector import HasHistory


@dataclass(frozen=True, slots=True)
class History:
    """What a source has kept of some time."""

    batches: Sequence[ReadingBatch]
    """In order of arrival."""
    sensors: Sequence[Sensor]
    """The sensors by the number that the batches give them."""
    without: Mapping[str, str]
    """sensor_id -> why its history cannot be read."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(batch.rows for batch in self.batches)


@runtime_checkable
class HistoryOptions(Protocol):
    """Configuration of a source that can keep history."""

    @property
    def history(self) -> bool:
        """Whether its gaps are filled from there."""
        ...

    @property
    def history_margin(self) -> timedelta:
        """How long before and after a gap it is read, too."""
        ...

    @property
    def history_delay(self) -> timedelta:
        """How long after a gap it is read."""
        ...


class HistorySource(Protocol):
    """Something that reads a configured source's history; the Dagster resources of such sources are."""

    def read_history(self, since: datetime, until: datetime) -> History:
        """Return the stored readings of all tags in `[since, until)`.

        Raises:
            SourceError, ConfigError: As `resources.scada.connector.ScadaClient.run`.
        """
        ...


async def collect_history(client: HasHistory, sensors: Sequence[Sensor], since: datetime, until: datetime) -> History:
    """Return everything that the connector yields; raises as it does."""
    async with aclosing(client.history([sensor.sensor_id for sensor in sensors], since, until)) as yielded:
        batches = [batch async for batch in yielded]
    return History(batches, sensors, dict(client.no_history))
