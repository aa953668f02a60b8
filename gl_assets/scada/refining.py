"""A window's contents through the steps of `gl_assets.transforms.pipeline`, with what they need beside the readings."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import psycopg

from gl_assets.step_times import StepTimes
from gl_assets.transforms.calibration import Calibrations
from gl_assets.transforms.pipeline.enrich import SensorFacts, enrich
from gl_assets.transforms.pipeline.neighbours import Before
from gl_assets.transforms.pipeline.run import Context, Refined, refine
from gl_assets.transforms.sensors import NEVER_US, SensorTable, sensor_table
from resources.core.clock import to_micros
from resources.core.origins import SUFFIXES
from resources.databases.timescale.window_store.preceding import LookBack, preceding
from resources.integrations import Integrations
from resources.window_buffer.contents import WindowContents

LOOK_BACK = timedelta(minutes=10)
"""The last reading before a window is looked for so far back; as far as the longest `flat_after` where that is more."""


@dataclass(frozen=True, slots=True)
class RefinedWindow:
    """A window's readings on their way out."""

    sensors: SensorTable
    refined: Refined
    facts: tuple[SensorFacts, ...]


def refine_window(
    contents: WindowContents, config: Integrations, connection: psycopg.Connection, times: StepTimes | None = None
) -> RefinedWindow:
    """Return the readings of a window as they can be stored, and what is known of their sensors.

    Args:
        contents: The window.
        config: Tags, rules and calibrations.
        connection: To the platform's database, for the readings before the window.
        times: Takes up how long each step took.
    """
    times = times or StepTimes()
    with times.step("normalise"):
        tags = config.tags()
        sensors = sensor_table(contents.sensors, tags, config.quality.rules, config.units.atmosphere_kpa)
    with times.step("calibrate"):
        calibrations = Calibrations.of(sensors.sensor_ids, sensors.units, config.calibration_book)
    with times.step("validate"):
        before = before_window(connection, contents, sensors)
    context = Context(
        calibrations=calibrations,
        before=before,
        history=contents.collector.endswith(SUFFIXES),
        step=times.step,
    )
    refined = refine(contents.readings, contents.rejects, sensors, context)
    with times.step("enrich"):
        holding = config.calibration_book.set_of(contents.window_start, contents.window_end)
        facts = enrich(sensors, tags, holding.certificates)
    return RefinedWindow(sensors, refined, facts)


def before_window(connection: psycopg.Connection, contents: WindowContents, sensors: SensorTable) -> Before | None:
    """Return the last plausible reading of each sensor that is compared with it; None where none is."""
    compared = np.flatnonzero(sensors.compared)
    if not len(compared):
        return None
    flat = np.flatnonzero(sensors.flat_after_us < NEVER_US)
    longest = timedelta(microseconds=int(sensors.flat_after_us[flat].max(initial=0)))
    asked = {(sensors.sensor_ids[n], sensors.units[n]): n for n in compared.tolist()}
    look_back = LookBack(
        contents.window_start,
        max(longest, LOOK_BACK),
        [name for name, _ in asked],
        [sensors.sensor_ids[n] for n in flat.tolist()],
    )
    before = Before.nothing(sensors)
    for last in preceding(connection, look_back):
        place = asked.get((last.sensor_id, last.unit))
        if place is not None:
            before.time_us[place], before.value[place] = to_micros(last.time), last.value
            before.since_us[place] = to_micros(last.since)
    return before
