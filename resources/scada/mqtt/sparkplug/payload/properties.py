"""A metric's properties: quality to status, engineering unit to UCUM. Pure.

Source: Sparkplug 3.0.0, 6.4.6 to 6.4.8 (`Quality` is an Int32: 192 good, 0 bad, 500 stale; absent means good);
`engUnit` is what common edge nodes send, free text.
"""

from __future__ import annotations

from collections.abc import Mapping

from resources.core.errors import ConfigError
from resources.core.physics.units import conversion, ucum_code
from resources.core.readings import Status
from resources.scada.mqtt.sparkplug.payload.schema import (
    COMPRESSED,
    MetricMessage,
    PropertySetMessage,
    PropertyValueMessage,
    as_text,
)

GOOD, UNCERTAIN, BAD = int(Status.GOOD), int(Status.UNCERTAIN), int(Status.BAD)

QUALITY_KEYS = frozenset(("Quality", "quality"))
UNIT_KEYS = frozenset(("engUnit", "EngUnit", "engUnits"))
MARKS = (b"uality", COMPRESSED.encode())
"""One of these is in the bytes of every message that holds a quality: a quick look before a slow one."""


def status_of(code: int, overrides: Mapping[int, int]) -> int:
    """Return the status that a quality code stands for; `overrides` are code -> status."""
    if code in overrides:
        return overrides[code]
    if 192 <= code <= 255:
        return GOOD
    return UNCERTAIN if 64 <= code <= 127 else BAD


def quality_of(metric: MetricMessage) -> int | None:
    """Return the quality code among a metric's properties, None where there is none."""
    found = _find(metric.properties, QUALITY_KEYS) if metric.HasField("properties") else None
    if found is None:
        return None
    if found.WhichOneof("value") == "long_value":
        code = found.long_value
        return code - (1 << 64) if code >> 63 else code
    code = found.int_value
    return code - (1 << 32) if code >> 31 else code


def unit_of(metric: MetricMessage) -> str | None:
    """Return the engineering unit among a metric's properties as it stands there, None where there is none."""
    found = _find(metric.properties, UNIT_KEYS) if metric.HasField("properties") else None
    return as_text(found.string_value).strip()[:40] or None if found is not None else None


def _find(properties: PropertySetMessage, names: frozenset[str]) -> PropertyValueMessage | None:
    value: PropertyValueMessage
    for key, value in zip(properties.keys, properties.values, strict=False):
        if key in names and not value.is_null and value.WhichOneof("value") is not None:
            return value
    return None


def ucum_of(unit: str) -> str | None:
    """Return the UCUM code of a unit as devices write it, None where it cannot be told."""
    try:
        return ucum_code(unit)
    except ConfigError:
        return None


def conversion_to(unit: str | None, wanted: str) -> tuple[float, float] | str:
    """Return (factor, offset) from a metric's unit to the tag's, or why there is none.

    A unit that is absent or unknown is taken to be the tag's: free text proves nothing.
    """
    code = ucum_of(unit) if unit is not None else None
    if code is None or code == wanted:
        return (1.0, 0.0)
    try:
        return conversion(code, wanted, None)
    except (ConfigError, ArithmeticError) as error:
        return f"the unit {unit!r} (engUnit) does not fit: {error}"
