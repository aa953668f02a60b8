"""What the configuration says about each sensor of a window, as columns to index by a reading's sensor."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import reduce
from typing import get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.configuration.quality_rules import RulesConfig
from resources.core.configuration.settings import TagConfig
from resources.core.errors import ConfigError
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.units import conversion
from resources.core.rules import BIT, RULES, Action, ChosenRule, Rule
from resources.core.tags import SENSOR_ID_PATTERN

_LARGEST = np.finfo(np.float64).max
"""Limit of a tag without limits: no finite value is beyond it, infinity is."""

NEVER_US = np.iinfo(np.int64).max
"""A duration of a tag without one: nothing lasts as long."""

_CHOSEN: tuple[ChosenRule, ...] = get_args(ChosenRule)
_FIXED = reduce(int.__or__, (BIT[rule] for rule in RULES if rule not in _CHOSEN))
"""Rules that always reject."""


@dataclass(frozen=True, slots=True)
class SensorTable:
    """One entry per sensor of a window, in the order of its `sensors`."""

    sensor_ids: tuple[str, ...]
    units: tuple[str, ...]
    """Unit the readings were collected in."""
    calibrated_units: tuple[str, ...]
    """Canonical unit."""
    sources: tuple[str, ...]
    faults: tuple[str | None, ...]
    """Why no reading of this sensor can be stored, as a sentence; None: they can."""
    fault_bits: npt.NDArray[np.int16]
    """The rule that such a sensor breaks; 0: none."""
    factor: npt.NDArray[np.float64]
    """Calibrated value = factor * value + offset."""
    offset: npt.NDArray[np.float64]
    minimum: npt.NDArray[np.float64]
    """Least value, in the unit collected in."""
    maximum: npt.NDArray[np.float64]
    """Greatest value, in the unit collected in."""
    max_rate: npt.NDArray[np.float64]
    """Greatest change in a second, in the unit collected in; infinity: none is said."""
    flat_after_us: npt.NDArray[np.int64]
    """A signal that stays the same for this long is flat; NEVER_US: nothing is said."""
    future_after_us: int
    too_old_after_us: int
    active: npt.NDArray[np.int16]
    """Bits of the rules that are looked at."""
    rejecting: npt.NDArray[np.int16]
    """Bits of the rules that reject."""
    position: npt.NDArray[np.int32]
    """The window's sensor_key -> position here; -1 for a key that does not occur."""

    def __len__(self) -> int:
        """Return how many sensors there are."""
        return len(self.sensor_ids)

    def held_against(self, rule: Rule) -> npt.NDArray[np.bool_]:
        """Return for each sensor whether its readings are held against this rule."""
        held: npt.NDArray[np.bool_] = (self.active & BIT[rule]) != 0
        return held

    def watches(self, rule: Rule) -> bool:
        """Return whether any sensor's readings are held against this rule."""
        return bool(self.held_against(rule).any())

    @property
    def compared(self) -> npt.NDArray[np.bool_]:
        """Sensors whose readings are compared with those before them."""
        rate = np.isfinite(self.max_rate) & self.held_against("rate_of_change")
        found: npt.NDArray[np.bool_] = rate | ((self.flat_after_us < NEVER_US) & self.held_against("flat_line"))
        return found


@dataclass(frozen=True, slots=True)
class _Entry:
    calibrated_unit: str
    fault: str | None = None
    broken: Rule | None = None
    factor: float = 1.0
    offset: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    max_rate: float | None = None
    flat_after: timedelta | None = None
    actions: Mapping[ChosenRule, Action] = field(default_factory=dict)


def sensor_table(
    sensors: pa.Table,
    tags: Mapping[str, TagConfig],
    rules: RulesConfig | None = None,
    atmosphere_kpa: float = ATMOSPHERE_KPA,
) -> SensorTable:
    """Return the sensors of a window with what their tags say.

    A tag whose unit was changed since the readings came in still judges them where the old unit can be converted.

    Args:
        sensors: One row per sensor: sensor_key, sensor_id, unit (collected in), source.
        tags: sensor_id -> tag.
        rules: What follows from a broken rule where the tag does not say; the defaults if left out.
        atmosphere_kpa: Pressure of the air at the site.
    """
    ids, units = sensors.column("sensor_id").to_pylist(), sensors.column("unit").to_pylist()
    pairs = zip(ids, units, strict=True)
    entries = [_entry(sensor_id, unit, tags.get(sensor_id), atmosphere_kpa) for sensor_id, unit in pairs]
    keys = sensors.column("sensor_key").to_numpy()
    position = np.full(int(keys.max()) + 1 if len(keys) else 0, -1, dtype=np.int32)
    position[keys] = np.arange(len(keys), dtype=np.int32)
    rules = rules or RulesConfig()
    active, rejecting = _masks(entries, rules)
    return SensorTable(
        sensor_ids=tuple(ids),
        units=tuple(units),
        calibrated_units=tuple(e.calibrated_unit for e in entries),
        sources=tuple(sensors.column("source").to_pylist()),
        faults=tuple(e.fault for e in entries),
        fault_bits=np.array([0 if e.broken is None else BIT[e.broken] for e in entries], dtype=np.int16),
        factor=np.array([e.factor for e in entries], dtype=np.float64),
        offset=np.array([e.offset for e in entries], dtype=np.float64),
        minimum=np.array([-_LARGEST if e.minimum is None else e.minimum for e in entries], dtype=np.float64),
        maximum=np.array([_LARGEST if e.maximum is None else e.maximum for e in entries], dtype=np.float64),
        max_rate=np.array([np.inf if e.max_rate is None else e.max_rate for e in entries], dtype=np.float64),
        flat_after_us=np.array(
            [NEVER_US if e.flat_after is None else _micros(e.flat_after) for e in entries], dtype=np.int64
        ),
        future_after_us=_micros(rules.future_after),
        too_old_after_us=_micros(rules.too_old_after),
        active=active,
        rejecting=rejecting,
        position=position,
    )


def _entry(sensor_id: str, unit: str, tag: TagConfig | None, atmosphere_kpa: float) -> _Entry:
    if re.fullmatch(SENSOR_ID_PATTERN, sensor_id) is None:
        return _Entry(unit, f"{sensor_id[:140]!r} is not a sensor_id: letters, digits and _ . : / -", "sensor_id")
    if tag is None:
        return _Entry(unit, f"sensor {sensor_id} is not in the configuration", "sensor_id")
    if tag.is_text:
        return _Entry(unit, f"sensor {sensor_id} came as a number, and is configured as text", "type")
    canonical = tag.canonical_unit or tag.unit
    try:
        factor, offset = conversion(unit, canonical, atmosphere_kpa)
        to_collected, shift = conversion(tag.unit, unit, atmosphere_kpa)
    except ConfigError:
        return _Entry(
            unit,
            f"sensor {sensor_id} was collected in {unit}, which does not convert to {canonical} as configured now",
            "unit",
        )
    return _Entry(
        canonical,
        factor=factor,
        offset=offset,
        # the tag's limits are in its unit; where that was changed, readings may have come in another one
        minimum=None if tag.minimum is None else to_collected * tag.minimum + shift,
        maximum=None if tag.maximum is None else to_collected * tag.maximum + shift,
        max_rate=None if tag.max_rate is None else abs(to_collected) * tag.max_rate,
        flat_after=tag.flat_after,
        actions=tag.rules,
    )


def _masks(entries: Sequence[_Entry], rules: RulesConfig) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Return for each sensor the rules that are looked at, and those that reject."""
    active = np.full(len(entries), _FIXED, dtype=np.int16)
    rejecting = active.copy()
    for rule in _CHOSEN:
        usual: Action = getattr(rules, rule)
        actions = np.array([entry.actions.get(rule, usual) for entry in entries], dtype=str)
        active[actions != "off"] |= BIT[rule]
        rejecting[actions == "reject"] |= BIT[rule]
    return active, rejecting


def _micros(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
