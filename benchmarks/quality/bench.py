"""`gl bench quality`: the steps of `gl_assets.transforms.pipeline` over one pass in NumPy written by hand, in one run.

A million readings in the order they came in, with planted faults. Ours: put in order and duplicates settled, as buffer
and history do it (`settle`), then validate, normalise, calibrate, convert, enrich, score and output (the frame, held
against its schema, and the scores of the partition). By hand: sort, calibrate, range, rate of change, duplicates, score
and level, on columns that are ready: no names, no reasons, no frame, no schema, rejected rows left where they are. Both
are alternated, and the median of each counts.
"""

from __future__ import annotations

import statistics
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from benchmarks.quality.rows import PER_SENSOR, SENSORS, START, ByHand, Rows, make_config, make_rows, shares_found
from benchmarks.scratch_database import machine
from gl_assets.scada.refining import RefinedWindow
from gl_assets.scada.window_scores import codes_of_window
from gl_assets.schemas.sensor_readings import SensorReadings
from gl_assets.step_times import StepTimes
from gl_assets.transforms.calibration import Calibrations
from gl_assets.transforms.frames import readings_frame
from gl_assets.transforms.pipeline.enrich import enrich
from gl_assets.transforms.pipeline.partitions import Tally, partition_scores
from gl_assets.transforms.pipeline.run import Context, refine
from gl_assets.transforms.sensors import sensor_table
from resources.integrations import Integrations
from resources.window_buffer.reading.in_memory import assemble_batches

MOST = 10.0
"""`pipeline_vs_numpy` may be this much at most."""

GOAL = 6.0
"""And should be no more than this."""


def run(progress: Callable[[str], None], *, repeats: int = 5, per_sensor: int = PER_SENSOR) -> dict[str, Any]:
    """Return the figures.

    Args:
        progress: Called with a line about what is being done.
        repeats: Repetitions of which the median is taken; one more goes before, uncounted.
        per_sensor: Readings of each of the thousand sensors.
    """
    count = SENSORS * per_sensor
    progress(f"making {count:,} readings")
    config = make_config()
    rows = make_rows(config, per_sensor)
    by_hand = ByHand.of(rows)
    ours, theirs, steps = [], [], []
    for number in range(repeats + 1):
        progress(f"pipeline and NumPy, {number} of {repeats}")
        times = StepTimes()
        begun = time.perf_counter()
        window = through(rows, config, times)
        done = time.perf_counter()
        by_hand.run()
        if number:
            ours.append(done - begun)
            theirs.append(time.perf_counter() - done)
            steps.append(times.seconds)
    found = shares_found(window.refined.good, window.refined.codes, window.refined.rejected, rows)
    ratio = statistics.median(ours) / statistics.median(theirs)
    result = {
        "machine": machine(),
        "rows": count,
        "repeats": repeats,
        "pipeline_vs_numpy": round(ratio, 2),
        "goal_met": ratio <= GOAL,
        "pipeline_ms": round(1000 * statistics.median(ours), 1),
        "numpy_ms": round(1000 * statistics.median(theirs), 1),
        "rows_per_s": round(count / statistics.median(ours)),
        "bytes_per_row": round(peak_bytes(rows, config) / count, 1),
        "steps_ms": {
            name: round(1000 * statistics.median(found.get(name, 0.0) for found in steps), 1) for name in steps[0]
        },
        "faults_found": found,
        "spread": {"pipeline": _spread(ours), "numpy": _spread(theirs)},
    }
    result["missed"] = [
        *(["pipeline_vs_numpy"] if ratio > MOST else []),
        *(["faults_found"] if min(found.values()) < 0.99 else []),
    ]
    return result


def through(rows: Rows, config: Integrations, times: StepTimes) -> RefinedWindow:
    """Take the readings through every step, up to what goes to the table."""
    with times.step("settle"):
        contents = assemble_batches([rows.batch], rows.sensors, START, config.collector.name)
    with times.step("normalise"):
        tags = config.tags()
        sensors = sensor_table(contents.sensors, tags, config.quality.rules)
    with times.step("calibrate"):
        calibrations = Calibrations.of(sensors.sensor_ids, sensors.units, config.calibration_book)
    context = Context(calibrations=calibrations, step=times.step)
    refined = refine(contents.readings, contents.rejects, sensors, context)
    with times.step("enrich"):
        window = RefinedWindow(sensors, refined, enrich(sensors, tags))
    with times.step("output"):
        SensorReadings.validate(readings_frame(refined, sensors), lazy=True, inplace=True)
    with times.step("score"):
        codes = codes_of_window(window)
        partition_scores(
            {source: Tally(stored, rejected=refined.rejected.num_rows) for source, stored in codes.items()}
        )
    return window


def peak_bytes(rows: Rows, config: Integrations) -> int:
    """Return the most memory that was taken at once on the way, beyond the readings themselves: NumPy's and Arrow's."""
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    tracemalloc.start()
    try:
        through(rows, config, StepTimes())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # the pool's highest mark covers the process's life: what is above the readings is counted, at most too much
    above: int = max(pool.max_memory() - before, 0)
    return peak + above


def _spread(seconds: list[float]) -> float:
    return round((max(seconds) - min(seconds)) / statistics.median(seconds), 2)
