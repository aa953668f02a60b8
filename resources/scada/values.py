"""What the Dagster resources of the connectors share: settings as plain data, and readings for people."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import BaseModel

from resources.core.configuration.settings import EnvSecret
from resources.core.readings import READINGS_SCHEMA, STATUS_NAMES, ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.connector import ScadaClient


@dataclass(frozen=True, slots=True)
class SensorValue:
    """One reading, for people and assets that want a few."""

    sensor_id: str
    time: datetime
    """Source time, aware UTC."""
    value: float | None
    unit: str
    """UCUM code."""
    status: str
    """good, uncertain or bad."""


def sensor_values(readings: pa.RecordBatch | pa.Table | None, catalog: SensorCatalog) -> list[SensorValue]:
    """Return readings with names in place of numbers, in their order."""
    if readings is None:
        return []
    found = []
    for row in readings.to_pylist():
        sensor = catalog.sensors[row["sensor_key"]]
        status = STATUS_NAMES[row["status"]]
        found.append(SensorValue(sensor.sensor_id, row["time"], row["value"], sensor.unit, status))
    return found


def plain_settings(value: Any) -> Any:
    """Return a configuration model as JSON data that validates to the same model; secrets stay names."""
    if isinstance(value, BaseModel):
        # Dagster's maps take no null: what is absent by default is left out
        return {
            name: plain_settings(getattr(value, name))
            for name, field in value.__class__.model_fields.items()
            if getattr(value, name) is not None or field.default is not None
        }
    if isinstance(value, tuple | list):
        return [plain_settings(item) for item in value]
    if isinstance(value, Mapping):
        return {str(name): plain_settings(item) for name, item in value.items()}
    if isinstance(value, timedelta):
        return f"{value / timedelta(milliseconds=1):.6f}ms"
    if isinstance(value, Path):
        return str(value)
    return repr(value) if isinstance(value, EnvSecret) else value


@dataclass(slots=True)
class _Collected:
    """A driver that keeps the readings, and acknowledges at once: for a look, not for keeping data."""

    batches: list[pa.RecordBatch] = field(default_factory=list)

    async def emit(self, batch: ReadingBatch) -> None:
        if batch.readings is not None:
            self.batches.append(batch.readings)
        if batch.acknowledge is not None:
            batch.acknowledge()

    def connected(self, facts: Mapping[str, str], *, unbroken: bool = False) -> None:
        pass

    def item_failed(self, sensor_id: str, reason: str) -> None:
        pass

    def item_recovered(self, sensor_id: str) -> None:
        pass

    def missed(self, since: datetime, until: datetime, reason: str) -> None:
        pass

    def counted(self, **increments: int) -> None:
        pass


async def collect(client: ScadaClient, seconds: float) -> pa.Table:
    """Return the readings (READINGS_SCHEMA) that a connector brings in `seconds`, connection included.

    Raises:
        SourceError: As `ScadaClient.run`.
    """
    collected = _Collected()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(client.run(collected.emit, collected), seconds)
    return pa.Table.from_batches(collected.batches, READINGS_SCHEMA)
