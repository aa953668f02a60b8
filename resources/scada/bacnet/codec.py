"""Properties of objects to readings, and engineering values to what an object takes. No I/O.

How good a value is, is what the object's statusFlags and reliability say: a fault or a reliability other than
no-fault-detected is bad; overridden and out of service (somebody has set the value by hand) are uncertain; an alarm
says nothing about the measurement.
Source: ANSI/ASHRAE 135, clause 12 (object types), 12.12 accumulator, 12.2 analog input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bacpypes3.basetypes import BinaryPV, DateTime, StatusFlags
from bacpypes3.constructeddata import Any as AnyValue
from bacpypes3.primitivedata import CharacterString, Date, ObjectIdentifier, Time
from bacpypes3.vendor import get_vendor_info

from resources.core.errors import ConfigError
from resources.core.physics.units import conversion
from resources.core.readings import ReadingBatch, Reject, Status, readings_batch, rejects_batch, texts_batch
from resources.core.tags import SensorCatalog
from resources.scada.bacnet.config import BacnetTag
from resources.scada.bacnet.errors import Refused
from resources.scada.bacnet.units import ucum
from resources.scada.rejects import raw_value

_FAULT, _OVERRIDDEN, _OUT_OF_SERVICE = 1, 2, 3
_VENDOR = get_vendor_info(0)
_SAME_OFFSET = 1e-9

COMMANDABLE = frozenset(
    f"{kind}-{role}" for kind in ("analog", "binary", "multi-state") for role in ("output", "value")
) | {"large-analog-value", "integer-value", "positive-integer-value", "characterstring-value", "lighting-output"}
"""Object types whose present value may have a priority array."""


def status_of(flags: Any, reliability: Any) -> Status:
    """Return the status of a value by its object's statusFlags and reliability; what the object lacks is None."""
    if reliability is not None and not isinstance(reliability, Refused) and int(reliability):
        return Status.BAD
    if not isinstance(flags, StatusFlags):
        return Status.GOOD
    bits = [*flags, 0, 0, 0, 0]
    if bits[_FAULT]:
        return Status.BAD
    return Status.UNCERTAIN if bits[_OVERRIDDEN] or bits[_OUT_OF_SERVICE] else Status.GOOD


def decode(object_id: ObjectIdentifier, name: str, value: AnyValue) -> Any:
    """Return a notification's value by the property's type, or `Refused`."""
    object_class = _VENDOR.get_object_class(object_id[0])
    try:
        kind = object_class.get_property_type(name) if object_class else None
    except ValueError:
        kind = None
    if kind is None:
        return Refused(f"{name} of {object_id} has no known type")
    try:
        return value.cast_out(kind)
    except Exception as error:  # noqa: BLE001 - whatever the decoder stumbles over, it is the device's bytes
        return Refused(f"{name} of {object_id} is not {kind.__name__}: {error}")


def number_of(value: Any) -> float | None:
    """Return a value as a number (off and inactive 0, on and active 1, a state its number), None where it is none."""
    if isinstance(value, CharacterString | ObjectIdentifier | Date | Time | DateTime) or not isinstance(
        value, int | float
    ):
        return None
    return float(value)


def text_of(value: Any) -> str:
    """Return a value as text."""
    return str(value)


@dataclass(slots=True)
class TagFacts:
    """What the device says of a tag's object, asked once for each connection."""

    factor: float = 1.0
    """What a count of an accumulator is worth."""
    wrong_unit: str | None = None
    """Why its readings cannot be in the tag's unit."""


def facts_of(tag: BacnetTag, units: Any, scale: Any) -> TagFacts:
    """Return what `units` and, of an accumulator, `scale` mean for a tag; a property that is lacking is `Refused`."""
    factor = 1.0
    if scale is not None and not isinstance(scale, Refused):
        integer = getattr(scale, "integerScale", None)
        factor = float(10.0**integer) if integer is not None else float(scale.floatScale)
    told = None if isinstance(units, Refused) else ucum(units)
    converted = (tag.scale, tag.offset) != (1.0, 0.0)
    if told is None or tag.is_text or tag.property != "present-value" or converted or _is_same_unit(told, tag.unit):
        return TagFacts(factor)
    return TagFacts(
        factor,
        f"the device gives {units} ({told}), the tag says {tag.unit}: write unit: {told!r} with canonical_unit: "
        f"{tag.unit!r}, or set scale and offset",
    )


def _is_same_unit(told: str, wanted: str) -> bool:
    try:
        factor, offset = conversion(told, wanted)
    except ConfigError:
        return False
    return math.isclose(factor, 1.0, rel_tol=1e-9) and abs(offset) < _SAME_OFFSET


@dataclass(slots=True)
class BatchBuilder:
    """Gathers answers and notifications and makes one batch of them."""

    source: str
    tags: Sequence[BacnetTag]
    catalog: SensorCatalog
    facts: Mapping[int, TagFacts]
    _numbers: list[tuple[int, int, float, int]] = field(default_factory=list)
    _missing: list[bool] = field(default_factory=list)
    _texts: list[tuple[int, int, str | None, int]] = field(default_factory=list)
    _rejects: list[Reject] = field(default_factory=list)

    def add(self, position: int, value: Any, status: Status, received_us: int) -> None:
        """Add a tag's value; one that cannot be a reading is added to the rejects with the reason."""
        tag, facts = self.tags[position], self.facts.get(position, TagFacts())
        if isinstance(value, Refused):
            self.refuse(position, value.reason, received_us)
        elif facts.wrong_unit is not None:
            self.refuse(position, facts.wrong_unit, received_us, value)
        elif tag.is_text:
            self._texts.append((received_us, self.catalog.key(tag.sensor_id), text_of(value), int(status)))
        else:
            self._add_number(position, tag, value, status, received_us)

    def _add_number(self, position: int, tag: BacnetTag, value: Any, status: Status, received_us: int) -> None:
        number = float(tag.states[str(value)]) if tag.states and str(value) in tag.states else number_of(value)
        if number is None or (tag.states and str(value) not in tag.states):
            known = f"; known are {', '.join(tag.states)}" if tag.states else ": set data: text where it is one"
            self.refuse(position, f"{value!s} of {tag.object} is no number{known}", received_us, value)
            return
        factor = self.facts.get(position, TagFacts()).factor
        missing = status is Status.BAD and math.isnan(number)
        self._numbers.append(
            (received_us, self.catalog.key(tag.sensor_id), number * factor * tag.scale + tag.offset, status)
        )
        self._missing.append(missing)

    def refuse(self, position: int, reason: str, received_us: int, value: Any = None) -> None:
        """Add a reject."""
        tag = self.tags[position]
        parts = {"object": tag.object, "property": tag.property}
        raw = raw_value(**parts) if value is None else raw_value(**parts, value=str(value))
        self._rejects.append(Reject(self.source, raw, (reason,), received_us, sensor_id=tag.sensor_id))

    def batch(self, acknowledge: Callable[[], None] | None = None) -> ReadingBatch:
        """Return everything added so far."""
        import numpy as np

        readings = texts = None
        if self._numbers:
            times, keys, values, statuses = zip(*self._numbers, strict=True)
            readings = readings_batch(times, keys, values, statuses, times, missing=np.array(self._missing))
        if self._texts:
            times, keys, found, statuses = zip(*self._texts, strict=True)
            texts = texts_batch(times, keys, found, statuses, max(times))
        rejects = rejects_batch(self._rejects) if self._rejects else None
        return ReadingBatch(self.source, readings=readings, texts=texts, rejects=rejects, acknowledge=acknowledge)


def to_write(object_id: ObjectIdentifier, raw: float | str) -> Any:
    """Return a raw value as the type that the object's present value has.

    Raises:
        ValueError: It cannot be one.
    """
    kind = _VENDOR.get_object_class(object_id[0]).get_property_type("present-value")
    if kind is None:
        raise ValueError(f"{object_id} has no present value")
    if issubclass(kind, CharacterString):
        return kind(str(raw))
    if issubclass(kind, BinaryPV):
        if float(raw) not in (0.0, 1.0):
            raise ValueError(f"{object_id} is on (1) or off (0), not {raw}")
        return kind(int(float(raw)))
    if issubclass(kind, float):
        return kind(float(raw))
    number = float(raw)
    if not number.is_integer():
        raise ValueError(f"{object_id} takes whole numbers, not {raw}")
    return kind(int(number))
