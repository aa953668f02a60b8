"""The block `anomalies`: which equipment is watched, what its detectors are trained on, and when again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, SensorId, StrictModel, TagConfig

_MOST_TRAINING_ROWS = 1_000_000
"""Rows of the longest training that is let through: more neither fit a worker's memory nor teach anything new."""


class AnomaliesConfig(StrictModel):
    """Detectors of anomalies: one set for each equipment that tags name, over its sensors with numbers."""

    enabled: bool = True
    """false: nothing is trained and nothing scored."""
    live: bool = True
    """false: the collector does not score live readings; stored windows are scored all the same."""
    step: Annotated[Duration, Field(ge=timedelta(seconds=1), le=timedelta(hours=1))] = timedelta(seconds=10)
    """Length of a row: readings of all sensors of an equipment are compared as means over it. Whole seconds."""
    hold: Duration = timedelta(minutes=1)
    """How long a sensor's last value stands where it has no reading."""
    train_after: Duration = timedelta(days=3)
    """An equipment is first trained when its oldest reading is this old: it must have been through its usual loads."""
    training_span: Duration = timedelta(days=7)
    """What it is trained on: the latest stretch of good readings, this long at most."""
    retrain_after: Duration = timedelta(days=7)
    """Age at which detectors are trained again; they also are when sensors or parameters have changed."""
    smoothing_rows: int = Field(10, ge=1, le=1000)
    """Rows of the mean that is compared: more find smaller shifts, later."""
    confidence: float = Field(0.99, gt=0.5, lt=1)
    """Share of normal rows, not seen in training, that lie within the limit: higher means fewer false alarms."""
    exclude: tuple[SensorId, ...] = ()
    """Sensors that are left out, such as setpoints that people change."""

    @model_validator(mode="after")
    def _spans_fit(self) -> Self:
        if self.step % timedelta(seconds=1):
            raise ValueError("anomalies.step is whole seconds")
        if self.training_span < self.train_after:
            raise ValueError("anomalies.training_span is shorter than anomalies.train_after")
        if self.training_span / self.step > _MOST_TRAINING_ROWS:
            raise ValueError(
                f"anomalies.training_span / step makes more than {_MOST_TRAINING_ROWS:,} rows: take a longer step"
            )
        return self

    @property
    def hold_rows(self) -> int:
        """`hold` in whole rows."""
        return int(self.hold / self.step)

    def equipment(self, tags: Iterable[TagConfig]) -> dict[str, dict[str, str]]:
        """Return equipment -> sensor -> canonical unit, in the order of the file, of what is watched."""
        found: dict[str, dict[str, str]] = {}
        if not self.enabled:
            return found
        for tag in tags:
            # of states, the numbers of names, no distance can be told
            watched = not tag.is_text and not tag.states and tag.sensor_id not in self.exclude
            if tag.equipment is not None and watched:
                found.setdefault(tag.equipment, {})[tag.sensor_id] = tag.canonical_unit or tag.unit
        return found

    def fingerprint(self, sensors: Mapping[str, str]) -> str:
        """Return what tells whether detectors of these sensors (-> unit) were trained under this configuration."""
        plain = [
            sorted(sensors.items()),
            self.step.total_seconds(),
            self.hold_rows,
            self.smoothing_rows,
            self.confidence,
        ]
        return hashlib.sha256(json.dumps(plain).encode()).hexdigest()[:16]
