"""Tags as configured, and the catalog that numbers their sensors for one process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resources.core.errors import ConfigError

SENSOR_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:/\-]{0,127}$"
"""A sensor_id: letters, digits and `_ . : / -`, at most 128 characters."""


@dataclass(frozen=True, slots=True)
class Sensor:
    """One sensor as the collector knows it: engineering unit (UCUM code), source name, text or number."""

    sensor_id: str
    unit: str
    source: str
    is_text: bool = False


class SensorCatalog:
    """The sensors of one process, numbered 0..n-1 in the order given; the number is `sensor_key` in a batch.

    The numbers mean nothing outside the process: whoever stores a batch stores the catalog's entries with it.
    """

    def __init__(self, sensors: Iterable[Sensor]) -> None:
        """Number the sensors.

        Raises:
            ConfigError: A sensor_id occurs twice.
        """
        self.sensors: tuple[Sensor, ...] = tuple(sensors)
        self._keys: dict[str, int] = {}
        for key, sensor in enumerate(self.sensors):
            if sensor.sensor_id in self._keys:
                first = self.sensors[self._keys[sensor.sensor_id]]
                raise ConfigError(
                    f"sensor_id {sensor.sensor_id} is configured twice (sources {first.source} and {sensor.source}): "
                    "rename one of them"
                )
            self._keys[sensor.sensor_id] = key

    def __len__(self) -> int:
        """Return how many sensors there are."""
        return len(self.sensors)

    def key(self, sensor_id: str) -> int:
        """Return the number of a sensor; KeyError if it is not configured."""
        return self._keys[sensor_id]

    def get(self, sensor_id: str) -> int | None:
        """Return the number of a sensor, None if it is not configured."""
        return self._keys.get(sensor_id)

    def of_source(self, source: str) -> dict[str, int]:
        """Return sensor_id -> number of one source's sensors."""
        return {s.sensor_id: k for k, s in enumerate(self.sensors) if s.source == source}
