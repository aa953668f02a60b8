"""What the report filter costs: microseconds per reading, by the width of a batch and the rule.

`python -m benchmarks.scada.report_filter` prints one JSON object. `off` is a configuration without `report`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np

from resources.core.configuration.settings import TagConfig
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.report_filter.filter import ReportFilter
from resources.scada.report_filter.rules import Frame

SENSORS = 5_000
FRAME = Frame(window=900_000_000, grace=5_000_000, start=0, future=300_000_000)
RULES: dict[str, dict[str, Any]] = {
    "deadband": {"when": "deadband", "deadband": 0.5},
    "swinging_door": {"when": "swinging_door", "deviation": 0.5},
}
SHAPES = {"1x1": (1, 1), "10x1": (10, 1), "24x1": (24, 1), "100x1": (100, 1), "1000x1": (1000, 1), "1x5000": (1, 5000)}
"""Sensors in a batch x readings of each."""
START_US = 1_800_000_000_000_000


def measure() -> dict[str, Any]:
    """Return rule -> shape -> microseconds per reading, median of five."""
    found: dict[str, Any] = {}
    for name, report in RULES.items():
        tags = {
            f"s{n}": TagConfig.model_validate({"sensor_id": f"s{n}", "unit": "1", "report": report})
            for n in range(SENSORS)
        }
        found[name] = {shape: _cost(tags, *size) for shape, size in SHAPES.items()}
    plain = {f"s{n}": TagConfig(sensor_id=f"s{n}", unit="1") for n in range(SENSORS)}
    assert ReportFilter.if_any(plain, _catalog(), FRAME) is None
    return found


def _catalog() -> SensorCatalog:
    return SensorCatalog(Sensor(f"s{n}", "1", "bench") for n in range(SENSORS))


def _cost(tags: dict[str, TagConfig], sensors: int, each: int) -> float:
    chance, costs = np.random.default_rng(1), []
    for _ in range(5):
        filtered = ReportFilter(tags, _catalog(), FRAME)
        batches = []
        for turn in range(max(2, 20_000 // (sensors * each))):
            times = START_US + 1_000_000 * np.repeat(np.arange(each) + turn * each, sensors)
            values = np.cumsum(chance.normal(0, 0.2, len(times)))
            batches.append(
                ReadingBatch("bench", readings_batch(times, np.tile(np.arange(sensors), each), values, 0, times + 1000))
            )
        began = time.perf_counter()
        for batch in batches:
            filtered.apply(batch)
        costs.append((time.perf_counter() - began) / sum(batch.rows for batch in batches) * 1e6)
    return round(statistics.median(costs), 2)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
