"""Rules that correct many rejected readings at once: another factor, unit, status, sensor or time. Columns alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from resources.core.errors import ConfigError
from resources.core.physics.units import ucum_code
from resources.core.readings import STATUS_NAMES, TIMESTAMP

LONGEST_SHIFT = timedelta(days=40 * 365)
"""Most that times are moved by: a device without a clock begins in 1970 or 2000."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is corrected in every row of a batch; what is None stays as it was."""

    multiply: float | None = None
    """Values are multiplied by this."""
    add: float | None = None
    """Then this is added to values."""
    unit: str | None = None
    """Values are in truth in this unit: they stay, and are converted from it."""
    status: str | None = None
    """Readings get this status."""
    sensor_id: str | None = None
    """Readings are in truth of this sensor."""
    shift: timedelta | None = None
    """Times are moved by so much."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigError: A status or a unit that does not exist, a number that is not finite, a factor of 0, a shift of
                years.
        """
        if self.status is not None and self.status not in STATUS_NAMES:
            raise ConfigError(f"status {self.status!r}: write one of {', '.join(STATUS_NAMES)}")
        if self.unit is not None:
            # units are stored as UCUM codes, however they were spelled
            object.__setattr__(self, "unit", ucum_code(self.unit))
        if self.multiply is not None and (not np.isfinite(self.multiply) or self.multiply == 0):
            raise ConfigError(f"multiply {self.multiply:g}: a factor is a finite number other than 0")
        if self.add is not None and not np.isfinite(self.add):
            raise ConfigError(f"add {self.add:g}: what is added is a finite number")
        if self.shift is not None and abs(self.shift) > LONGEST_SHIFT:
            raise ConfigError(f"shift {self.shift}: at most {LONGEST_SHIFT.days} days: no clock is so wrong")

    @property
    def as_is(self) -> bool:
        """Whether nothing is corrected: the rows are tried as they are, after the configuration was mended."""
        return all(getattr(self, field.name) is None for field in fields(self))

    def told(self) -> dict[str, Any]:
        """Return the rules that are given, as JSON holds them."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        return found | ({} if self.shift is None else {"shift": f"{self.shift.total_seconds():g}s"})


def apply_rules(rows: pa.Table, rules: Rules) -> pa.Table:
    """Return rejected readings (QUARANTINED) as the rules correct them; rows without a value or a time keep none."""
    value = rows.column("value")
    if rules.multiply is not None:
        value = pc.multiply(value, rules.multiply)
    if rules.add is not None:
        value = pc.add(value, rules.add)
    rows = _with(rows, "value", value)
    for name, constant in (("unit", rules.unit), ("status", rules.status), ("sensor_id", rules.sensor_id)):
        if constant is not None:
            rows = _with(rows, name, pa.array([constant] * rows.num_rows, pa.string()))
    if rules.shift is not None:
        micros = pc.add(rows.column("time").cast(pa.int64()), rules.shift // timedelta(microseconds=1))
        rows = _with(rows, "time", micros.cast(TIMESTAMP))
    return rows


def _with(rows: pa.Table, name: str, column: Any) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, rows.schema.field(place), column)
