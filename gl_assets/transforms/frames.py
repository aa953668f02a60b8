"""A window's readings as the public table shows them: the frame that the schema judges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from gl_assets.transforms.pipeline.run import Refined
from gl_assets.transforms.quality import LEVEL_NAMES
from gl_assets.transforms.sensors import SensorTable
from resources.core.readings import STATUS_NAMES


def readings_frame(refined: Refined, sensors: SensorTable) -> pd.DataFrame:
    """Return one row per good reading, by sensor and time, with the columns of `scada.sensor_readings`.

    Text columns are categorical, built from numbers: no string is made per row.
    """
    rows = refined.good
    return pd.DataFrame(
        {
            "time": _instants(rows.time_us),
            "sensor_id": _category(sensors.sensor_ids, rows.sensor),
            "value": rows.value,
            "unit": _category(sensors.units, rows.sensor),
            "calibrated_value": rows.calibrated_value,
            "calibrated_unit": _category(sensors.calibrated_units, rows.sensor),
            "status": _of_codes(STATUS_NAMES, rows.status.view(np.int8)),
            "quality_score": refined.quality_score,
            "quality_level": _of_codes(LEVEL_NAMES, refined.quality_level),
            "source": _category(sensors.sources, rows.sensor),
            "ingested_at": _instants(rows.received_us),
        },
        copy=False,
    )


def _instants(micros: npt.NDArray[np.int64]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(micros.view("datetime64[us]"), copy=False).tz_localize("UTC")


def _category(per_sensor: Sequence[str], sensor: npt.NDArray[np.int32]) -> Any:
    names = sorted(set(per_sensor))
    number = {name: n for n, name in enumerate(names)}
    kind = np.int8 if len(names) < 128 else np.int16 if len(names) < 32_768 else np.int32
    codes = np.array([number[name] for name in per_sensor], dtype=kind)
    return _of_codes(names, codes[sensor])


def _of_codes(names: Sequence[str], codes: npt.NDArray[Any]) -> Any:
    # codes are positions in names by construction: looking at each of them again would cost more than making the column
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(list(names)), validate=False)
