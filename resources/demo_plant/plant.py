"""All sensors of the plant, and what they measure at any instant: physics plus each sensor's own noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np

from resources.demo_plant import physics
from resources.demo_plant.signals import Array, Micros, noise, wave
from resources.demo_plant.tags.boiler import BOILER
from resources.demo_plant.tags.exchanger import EXCHANGER
from resources.demo_plant.tags.furnace import FURNACE
from resources.demo_plant.tags.tag import Sensor, Wave, sensors
from resources.demo_plant.tags.utilities import UTILITIES, Utilities

OPC_UA: Final = "boiler_house"
"""Source that the boilers belong to, as in integrations.yaml."""
MODBUS: Final = "furnace_plc"
"""Source of the furnace, Modbus TCP."""
MODBUS_TLS: Final = "heat_recovery_plc"
"""Source of the heat exchanger, Modbus over TLS."""
MQTT: Final = "utility_meters"
"""Source of the meters."""

SENSORS: Final[dict[str, tuple[Sensor, ...]]] = {
    OPC_UA: (*sensors("BLR1", "boiler_1", BOILER), *sensors("BLR2", "boiler_2", BOILER)),
    MODBUS: sensors("FUR1", "furnace_1", FURNACE),
    MODBUS_TLS: sensors("HEX1", "heat_exchanger_1", EXCHANGER),
    MQTT: sensors("UTL", "utilities", UTILITIES),
}
"""Source -> its sensors, in the order of the columns that `Plant` returns."""


class Plant:
    """One plant by its seed; the same seed and time give the same values everywhere."""

    def __init__(self, seed: int) -> None:
        """Take the seed."""
        self.seed = seed

    def balances(self, times_us: Micros) -> dict[str, physics.Balance]:
        """Return equipment -> energy balance at each instant."""
        return {
            "boiler_1": physics.boiler(self.seed, 1, times_us).balance,
            "boiler_2": physics.boiler(self.seed, 2, times_us).balance,
            "furnace_1": physics.furnace(self.seed, times_us).balance,
            "heat_exchanger_1": physics.exchanger(self.seed, times_us).balance,
        }

    def truth(self, source: str, times_us: Micros) -> Array:
        """Return true values, one row per instant and one column per sensor of `source`, in the sensors' units."""
        states = self._states(source, times_us)
        columns = [
            sensor.tag.value(states[sensor.equipment], self._wave(sensor, times_us)) for sensor in SENSORS[source]
        ]
        return np.stack(columns, axis=1)

    def measure(self, source: str, times_us: Micros) -> Array:
        """Return what the sensors show: the truth with noise, within each sensor's limits. Shape as `truth`."""
        measured = self.truth(source, times_us)
        for column, sensor in enumerate(SENSORS[source]):
            if sensor.tag.noise:
                measured[:, column] += sensor.tag.noise * noise(self.seed, sensor.sensor_id, times_us)
            np.clip(measured[:, column], *sensor.tag.limits, out=measured[:, column])
        return measured

    def _states(self, source: str, times_us: Micros) -> dict[str, object]:
        boilers = partial(physics.boiler, self.seed)
        makers: dict[str, Callable[[], object]] = {
            "boiler_1": lambda: boilers(1, times_us),
            "boiler_2": lambda: boilers(2, times_us),
            "furnace_1": lambda: physics.furnace(self.seed, times_us),
            "heat_exchanger_1": lambda: physics.exchanger(self.seed, times_us),
            "utilities": lambda: Utilities(
                (boilers(1, times_us), boilers(2, times_us)),
                physics.furnace(self.seed, times_us),
                physics.exchanger(self.seed, times_us),
                physics.ambient(self.seed, times_us),
            ),
        }
        return {equipment: makers[equipment]() for equipment in _equipment(SENSORS[source])}

    def _wave(self, sensor: Sensor, times_us: Micros) -> Wave:
        def slow(name: str, mean: float, amplitude: float) -> Array:
            return wave(self.seed, f"{sensor.equipment}.{name}", times_us, mean=mean, amplitude=amplitude)

        return slow


def _equipment(found: Sequence[Sensor]) -> list[str]:
    return list(dict.fromkeys(sensor.equipment for sensor in found))
