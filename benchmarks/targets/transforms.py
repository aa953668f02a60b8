"""Targets of transforming: 1,000 readings and 1,000 records, conversions, validating and scoring, memory.

Readings take the whole way of a window, from the buffer to the committed rows; records from the landed text to the
standard table.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from benchmarks.targets import erp_server as stand_in
from benchmarks.targets import plant
from benchmarks.targets.erp import RUN, Pulling
from benchmarks.targets.memory import taken_mb
from benchmarks.targets.place import Place, place
from gl_assets.scada.persist import WindowOutcome, persist_window
from resources.core.physics.units import conversion
from resources.databases.timescale.connection import connect
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.demo_plant.erp.dynamics.entra import EntraApp

Progress = Callable[[str], None]

REPEATS = 5
DATASET = "financial_transactions"
PAIRS = (
    ("Cel", "K"), ("[degF]", "Cel"), ("K", "[degF]"), ("bar", "kPa"), ("[psi]", "bar"), ("mbar", "Pa"),
    ("kg/h", "kg/s"), ("t/h", "kg/s"), ("m3/h", "L/s"), ("kW", "MW"), ("kW.h", "MJ"), ("[Btu]", "kJ"),
    ("[lb_av]", "kg"), ("m", "mm"), ("[gal_us]", "L"), ("W", "kW"), ("GJ", "kW.h"), ("h", "s"),
)  # fmt: skip


def measure(progress: Progress) -> dict[str, float]:
    """Return the figures of this part."""
    figures = {"conversions_10000_s": _conversions(progress)}
    secret = {stand_in.SECRET_VARIABLE: EntraApp().client_secret}
    with place(progress, secret) as here, stand_in.serving(here.folder) as base:
        figures |= _readings(here, progress) | _records(here, base, progress)
        for kind in ("readings", "records"):
            progress(f"memory of 1,000 {kind}")
            figures[f"memory_{kind}_1000_mb"] = taken_mb(kind, here, base)
    return figures


def _conversions(progress: Progress) -> float:
    """Return the seconds of 10,000 values, each of a unit of its own, from units that nobody has converted yet."""
    progress("10,000 conversions")
    draw = random.Random(1)
    values = [(draw.uniform(-50, 500), *draw.choice(PAIRS)) for _ in range(10_000)]
    taken = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        for value, from_unit, to_unit in values:
            factor, offset = conversion(from_unit, to_unit)
            _ = factor * value + offset
        taken.append(time.perf_counter() - begun)
    # the first of them learns the units: no median over what has been learnt
    return round(max(taken), 3)


def _readings(here: Place, progress: Progress) -> dict[str, float]:
    config = plant.configuration(1_000)
    progress("1,000 and 10,000 readings through the pipeline")
    with ReadingsStore(here.database_url) as store:
        whole, steps = {}, {}
        for seconds in (1, 10):
            (held,) = plant.windows(here.folder / f"buffer{seconds}", config, plant.seconds(1_000, seconds))
            taken: list[tuple[float, WindowOutcome]] = []
            for number in range(REPEATS):
                begun = time.perf_counter()
                outcome = persist_window(replace(held, revision=10 * seconds + number), store, config, run_id=RUN)
                taken.append((time.perf_counter() - begun, outcome))
                if outcome.rows != 1_000 * seconds:
                    raise RuntimeError(f"{outcome.rows} readings stored: a figure of this run says nothing")
            whole[seconds] = statistics.median(spent for spent, _ in taken)
            steps[seconds] = [outcome.seconds for _, outcome in taken]
    return {
        "transform_readings_1000_s": round(whole[1], 3),
        "validation_10000_s": round(statistics.median(step["validate"] for step in steps[10]), 4),
        "scoring_10000_s": round(statistics.median(step["score"] for step in steps[10]), 4),
    }


def _records(here: Place, base: str, progress: Progress) -> dict[str, float]:
    progress("1,000 records through the pipeline")
    config, day, taken = stand_in.configuration(base, here.folder), stand_in.full_day(), []
    with connect(here.database_url) as connection:
        pulling = Pulling(connection, config)
        for _ in range(REPEATS):
            pulling.clear()
            pulling.land(DATASET, day)
            begun = time.perf_counter()
            rows = pulling.standardise(DATASET, day)
            taken.append(time.perf_counter() - begun)
            if rows != 1_000:
                raise RuntimeError(f"{rows} records stored: a figure of this run says nothing")
    return {"transform_records_1000_s": round(statistics.median(taken), 3)}
