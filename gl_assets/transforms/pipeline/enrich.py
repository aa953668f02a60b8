"""Enrich: what the configuration knows of the sensors of a window, one row per sensor and not per reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gl_assets.transforms.sensors import SensorTable
from resources.core.configuration.settings import TagConfig


@dataclass(frozen=True, slots=True)
class SensorFacts:
    """One row of `scada.sensor_metadata`."""

    sensor_id: str
    source: str
    description: str
    equipment: str | None
    area: str | None
    unit: str
    canonical_unit: str
    minimum: float | None
    maximum: float | None
    certificate: str | None


def enrich(
    sensors: SensorTable, tags: Mapping[str, TagConfig], certificates: Mapping[str, str] | None = None
) -> tuple[SensorFacts, ...]:
    """Return what is known of each configured sensor of a window; a sensor that came in two ways has one row.

    Args:
        sensors: The window's sensors.
        tags: sensor_id -> tag.
        certificates: sensor_id -> number of the calibration that holds at the window's end.
    """
    ways, held = zip(sensors.sensor_ids, sensors.sources, sensors.calibrated_units, strict=True), certificates or {}
    known = {i: _facts(tags[i], source, canonical, held.get(i)) for i, source, canonical in ways if i in tags}
    return tuple(known[sensor_id] for sensor_id in sorted(known))


def _facts(tag: TagConfig, source: str, canonical_unit: str, certificate: str | None) -> SensorFacts:
    return SensorFacts(
        sensor_id=tag.sensor_id,
        source=source,
        description=tag.description,
        equipment=tag.equipment,
        area=tag.area,
        unit=tag.unit,
        canonical_unit=canonical_unit,
        minimum=tag.minimum,
        maximum=tag.maximum,
        certificate=certificate or tag.calibration,
    )
