"""What a sensor of the plant is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from resources.demo_plant.signals import Array

State = TypeVar("State")

Register = Literal["int16", "uint16", "int32", "uint32", "float32", "float64", "bool"]
"""How a value lies in Modbus registers."""


class Wave(Protocol):
    """Gives a slow signal of the equipment that the energy balance does not know."""

    def __call__(self, name: str, mean: float, amplitude: float) -> Array:
        """Return mean ± amplitude at each instant."""
        ...


@dataclass(frozen=True)
class Tag(Generic[State]):
    """One sensor; `noise` is one standard deviation in `unit`."""

    name: str
    """Id within the equipment, such as `STEAM.FLOW`."""
    unit: str
    description: str
    limits: tuple[float, float]
    noise: float
    value: Callable[[State, Wave], Array]
    register: Register = "float32"
    scale: float = 1.0
    """Engineering value = register * scale."""
    canonical_unit: str | None = None


@dataclass(frozen=True)
class Sensor:
    """A tag of one equipment, as the servers and the configuration name it."""

    sensor_id: str
    equipment: str
    tag: Tag[object]


def sensors(prefix: str, equipment: str, tags: Sequence[Tag[State]]) -> tuple[Sensor, ...]:
    """Return the sensors of one equipment: ids are `<prefix>.<name>`."""
    return tuple(Sensor(f"{prefix}.{tag.name}", equipment, tag) for tag in tags)  # type: ignore[arg-type]
