"""An equipment of three sensors, its detectors, and readings of it: seven a row, with noise that is the same every time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache

import numpy as np
import numpy.typing as npt

from gl_assets.scada.anomaly.scoring import Watched
from gl_assets.transforms.anomaly.detector import Detector
from gl_assets.transforms.anomaly.settings import DetectorSettings
from gl_assets.transforms.anomaly.trained import Trained
from resources.core.clock import to_micros
from resources.core.configuration.anomalies import AnomaliesConfig
from resources.core.readings import ReadingBatch, readings_batch
from resources.integrations import Integrations

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_US = to_micros(NOON)
SECOND_US = 1_000_000
SENSORS = ("kiln.a", "kiln.b", "kiln.c")
CONFIG = Integrations.model_validate({
    "site": "plant",
    "start": NOON - timedelta(days=1),
    "window": "1m",
    "anomalies": {"step": "2s", "hold": "6s", "smoothing_rows": 3},
    "collector": {"port": 0},
    "sources": {
        "line": {
            "kind": "modbus",
            "host": "127.0.0.1",
            "tags": [
                {"sensor_id": name, "unit": "Cel", "address": n, "data_type": "uint16", "equipment": "kiln"}
                for n, name in enumerate(SENSORS)
            ],
        }
    },
})  # fmt: skip
STEP_US = CONFIG.anomalies.step // timedelta(microseconds=1)


def fingerprint() -> str:
    sensors = CONFIG.anomalies.equipment(CONFIG.tags().values())["kiln"]
    return CONFIG.anomalies.fingerprint(sensors)


def signal(rows: int, seed: int, *, shifted_from: int | None = None) -> npt.NDArray[np.float64]:
    """Return rows of values; the second sensor is ten higher from a row on."""
    values = np.array([100.0, 50.0, 20.0]) + np.random.default_rng(seed).normal(0, 1.0, (rows, 3))
    if shifted_from is not None:
        values[shifted_from:, 1] += 10.0
    return values


@cache
def trained() -> Trained:
    own: AnomaliesConfig = CONFIG.anomalies
    detector = Detector(DetectorSettings(smoothing_rows=own.smoothing_rows, confidence=own.confidence))
    return Trained.fit(signal(800, 1), SENSORS, detector=detector, step_us=STEP_US, hold_rows=own.hold_rows)


def watched(version: int = 1) -> Watched:
    return Watched("kiln", version, trained())


def batch(times_us: npt.ArrayLike, keys: npt.ArrayLike, values: npt.ArrayLike, status: int = 0) -> ReadingBatch:
    return ReadingBatch("line", readings=readings_batch(times_us, keys, values, status, times_us))
