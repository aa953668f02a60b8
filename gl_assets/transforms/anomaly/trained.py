"""What is learnt of one equipment: both detectors and the rows they judge; to JSON and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gl_assets.transforms.anomaly.detector import Detector
from gl_assets.transforms.anomaly.features import Floats
from gl_assets.transforms.anomaly.model import Model
from gl_assets.transforms.anomaly.univariate import LEVEL_ROWS, OUTLIER_ROWS, Limits, learn_limits
from resources.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Trained:
    """The detectors of one equipment, and the rows that they judge."""

    multivariate: Model
    """Of all sensors together."""
    limits: Limits
    """Of each sensor alone."""
    step_us: int
    """Length of a row."""
    hold_rows: int
    """How many rows a sensor's last value stands for those it has none in."""

    @property
    def names(self) -> tuple[str, ...]:
        """The sensors, in the order of the columns of a row."""
        return self.multivariate.names

    @property
    def lead_rows(self) -> int:
        """Rows before the first one that is to be judged: what both detectors look back on, and time to settle."""
        return self.hold_rows + max(self.multivariate.settling_rows, 2 * LEVEL_ROWS, OUTLIER_ROWS + 1)

    @classmethod
    def fit(cls, values: Floats, names: Sequence[str], *, detector: Detector, step_us: int, hold_rows: int) -> Trained:
        """Return what clean rows in order of time teach.

        Args:
            values: Rows x sensors, missing values held; NaN: no value.
            names: The sensors.
            detector: Parameters of the multivariate detector.
            step_us: Length of a row.
            hold_rows: As the field.

        Raises:
            DataError: Too few rows in which every sensor has a value.
        """
        return cls(detector.fit(values, names), learn_limits(values), step_us, hold_rows)

    def to_json(self) -> str:
        """Return everything as JSON text: the same scores after `from_json`."""
        limits = {name: _finite(getattr(self.limits, name)) for name in ("outlier", "level", "resolution")}
        plain = {
            "multivariate": json.loads(self.multivariate.to_json()),
            "limits": limits,
            "step_us": self.step_us,
            "hold_rows": self.hold_rows,
        }
        return json.dumps(plain)

    @classmethod
    def from_json(cls, text: str) -> Trained:
        """Return what was written as JSON.

        Raises:
            DataError: The text is not this.
        """
        try:
            plain = json.loads(text)
            limits = Limits(**{name: _with_infinity(part) for name, part in plain["limits"].items()})
            model = Model.from_json(json.dumps(plain["multivariate"]))
            return cls(model, limits, int(plain["step_us"]), int(plain["hold_rows"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"this is no trained detector ({type(error).__name__}: {error}): train it again with "
                "`gl anomalies train`"
            ) from error


def _finite(values: Floats) -> list[float | None]:
    """Return values as JSON can hold them: infinity becomes null."""
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _with_infinity(values: list[float | None]) -> Floats:
    return np.array([np.inf if value is None else value for value in values], dtype=np.float64)
