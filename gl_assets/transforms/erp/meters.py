"""Energy consumption: what the configuration says of meters, and the period that follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gl_assets.transforms.erp.facts import MeterFacts
from gl_assets.transforms.erp.records import Records
from gl_assets.transforms.values.clocks import INSTANT
from gl_assets.transforms.values.texts import looked_up

UNKNOWN = "unknown"
"""energy_type of a meter that the configuration does not name."""

_OF_METER = ("energy_type", "plant_code", "location_code", "cost_center")


def add_meters(records: Records) -> None:
    """Add what the configuration says of each meter; where it says nothing, what the record says stays.

    A meter that nothing is said of has the energy_type `unknown`. A period starts its meter's interval before its end.
    """
    values, meters = records.values, records.facts.meters
    meter = values.get("meter_id", pa.nulls(records.rows, pa.string()))
    for name in _OF_METER:
        said = looked_up(meter, {key: getattr(facts, name) for key, facts in meters.items()})
        values[name] = pc.coalesce(said, values[name]) if name in values else said
    values["energy_type"] = values["energy_type"].fill_null(UNKNOWN)
    start = _period_start(meter, values.get("period_end", pa.nulls(records.rows, INSTANT)), meters)
    values["period_start"] = pc.coalesce(values["period_start"], start) if "period_start" in values else start


def _period_start(meter: pa.Array, period_end: pa.Array, meters: Mapping[str, MeterFacts]) -> pa.Array:
    known = {key: facts.interval for key, facts in meters.items() if facts.interval is not None}
    lengths = pa.array([length // timedelta(microseconds=1) for length in known.values()], pa.int64())
    place = pc.index_in(meter, value_set=pa.array(list(known), pa.string()))
    length = lengths.take(place)
    end = period_end.cast(pa.int64())
    start = pc.subtract(end, length)
    return start.cast(INSTANT) if len(start) else pa.array(np.zeros(0, np.int64)).cast(INSTANT)
