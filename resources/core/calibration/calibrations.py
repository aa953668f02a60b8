"""Calibrations of sensors as the configuration states them: what a reading is worth by its certificate, and when.

Calibrated value = the certificate's function of the engineering value, in the certificate's unit; only then follows
the conversion to the canonical unit. Outside every period of validity a value stays as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Self

from pydantic import AwareDatetime, Field, FiniteFloat, field_validator, model_validator

from resources.core.configuration.settings import SensorId, StrictModel, TagConfig, Unit
from resources.core.errors import ConfigError
from resources.core.physics.units import conversion

Point = tuple[FiniteFloat, FiniteFloat]
"""One line of a certificate: what the instrument showed, and what was true."""


class LinearCalibration(StrictModel):
    """True value = factor * value + offset."""

    factor: float = Field(1.0, gt=0, allow_inf_nan=False)
    """Gain."""
    offset: float = Field(0.0, allow_inf_nan=False)
    """Zero, in the calibration's unit."""


class CalibrationConfig(StrictModel):
    """One certificate of one sensor; exactly one of `linear`, `polynomial` and `lookup` says what it does."""

    sensor_id: SensorId
    """The sensor, a tag of a source."""
    certificate: str = Field(min_length=1, max_length=200)
    """Number of the certificate."""
    valid_from: AwareDatetime
    """First source time that it holds for."""
    valid_until: AwareDatetime | None = None
    """First source time that it no longer holds for; without end if absent."""
    unit: Unit | None = None
    """Unit of the certificate's numbers; the tag's unit if absent."""
    linear: LinearCalibration | None = None
    """Gain and zero."""
    polynomial: Annotated[tuple[FiniteFloat, ...], Field(min_length=2, max_length=10)] | None = None
    """Coefficients, lowest power first: c0 + c1 * value + c2 * value^2 ..."""
    lookup: Annotated[tuple[Point, ...], Field(min_length=2, max_length=1000)] | None = None
    """Points [shown, true], ascending: straight lines between them, and the outer lines go on beyond."""

    @field_validator("valid_from", "valid_until")
    @classmethod
    def _is_utc(cls, value: datetime | None) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        given = [name for name in ("linear", "polynomial", "lookup") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"calibration {self.certificate} of {self.sensor_id}: give one of linear, polynomial and lookup, "
                f"not {' and '.join(given) or 'none'}"
            )
        if self.valid_until is not None and self.valid_until <= self.valid_from:
            raise ValueError(f"calibration {self.certificate} of {self.sensor_id}: valid_until is not after valid_from")
        return self

    @model_validator(mode="after")
    def _points_ascend(self) -> Self:
        shown = [point[0] for point in self.lookup or ()]
        true = [point[1] for point in self.lookup or ()]
        if any(later <= earlier for row in (shown, true) for earlier, later in pairwise(row)):
            raise ValueError(
                f"calibration {self.certificate} of {self.sensor_id}: the points of lookup must ascend in both numbers"
            )
        return self

    @cached_property
    def fingerprint(self) -> str:
        """A word that changes with whatever changes a calibrated value; the certificate's number does not."""
        definition = {"sensor_id": self.sensor_id, **self.definition}
        definition["valid"] = [None if t is None else t.isoformat() for t in (self.valid_from, self.valid_until)]
        text = json.dumps(definition, sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

    @property
    def definition(self) -> dict[str, Any]:
        """What the certificate does, as JSON."""
        return self.model_dump(mode="json", include={"unit", "linear", "polynomial", "lookup"}, exclude_none=True)

    def overlaps(self, start: datetime, end: datetime) -> bool:
        """Return whether it holds anywhere in `[start, end)`."""
        return self.valid_from < end and (self.valid_until is None or self.valid_until > start)


def refuse_impossible(calibrations: Sequence[CalibrationConfig], tags: Mapping[str, TagConfig]) -> None:
    """Refuse calibrations of unknown or text tags, in a unit that does not fit, or that overlap.

    Raises:
        ConfigError: The first one found; the message names the sensor and the certificate.
    """
    last: dict[str, CalibrationConfig] = {}
    for calibration in sorted(calibrations, key=lambda c: (c.sensor_id, c.valid_from)):
        sensor_id, name = calibration.sensor_id, f"calibration {calibration.certificate} of {calibration.sensor_id}"
        tag = tags.get(sensor_id)
        if tag is None or tag.is_text:
            raise ConfigError(f"{name}: {'the tag is a text' if tag else 'the sensor is not a tag of any source'}")
        try:
            conversion(tag.unit, calibration.unit or tag.unit)
        except ConfigError as error:
            raise ConfigError(f"{name}: {error}") from error
        before = last.get(sensor_id)
        if before is not None and before.overlaps(calibration.valid_from, datetime.max.replace(tzinfo=UTC)):
            raise ConfigError(
                f"{name} begins {calibration.valid_from:%Y-%m-%d %H:%M} UTC, while {before.certificate} still holds: "
                "set its valid_until"
            )
        last[sensor_id] = calibration
