"""The gates of `scada/sensor_readings`: what is asked of every stored window, each a sentence true when it passes.

A gate judges what is in the database after the window's transaction, not what the transaction meant to write. What
must never be stored at all is refused before, in the transaction itself (`gl_assets.scada.persist`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import psycopg

from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.checks.model import MOST_SHOWN, Finding, Gate, Verdict, at_least, at_most, in_force
from resources.core.configuration.settings import TagConfig
from resources.core.errors import ConfigError
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.units import conversion
from resources.core.windows import partition_key
from resources.databases.timescale.quality.gate_results import GAPS_GATE, GateResult
from resources.databases.timescale.quality.window_facts import (
    FailingRows,
    StoredSensors,
    StoredWindowFacts,
    WindowPlace,
    rows_outside,
    window_facts,
)
from resources.integrations import Integrations, QualityConfig

ASSET = SENSOR_READINGS.to_user_string()
"""Name of the asset in `quality.gate_results`."""

STORED_GATE = "every_closed_window_is_stored"
"""Red while a window could not be stored however often it was tried: raised by the trigger, cleared by storing it."""

SOURCES_GATE = "every_source_sent_readings"
"""Remembers which sources were expected."""

REJECTED_GATE = "rejected_rows_are_below_the_limit"
"""The gate that a window refused for its rejected rows stands red on."""


@dataclass(frozen=True, slots=True)
class WindowUnderTest:
    """One window and what is known about it."""

    key: str
    collector: str
    facts: StoredWindowFacts
    expected_sources: tuple[str, ...]
    config: Integrations
    outside: FailingRows = field(default_factory=FailingRows)
    """Stored rows whose value lies outside its tag's limits."""

    @property
    def limits(self) -> QualityConfig:
        """The limits of the configuration."""
        return self.config.quality


def look_at_window(
    connection: psycopg.Connection, config: Integrations, collector: str, start: datetime, expected: tuple[str, ...]
) -> WindowUnderTest:
    """Return a window with what the database holds of it; `expected`: sources configured while it was open."""
    place = WindowPlace(config.site, collector, start, config.window)
    facts = window_facts(connection, site=config.site, collector=collector, window_start=start, length=config.window)
    outside = rows_outside(connection, place, broken_limits(facts.sensors, config.tags(), config.units.atmosphere_kpa))
    return WindowUnderTest(partition_key(start), collector, facts, expected, config, outside)


def broken_limits(
    stored: StoredSensors, tags: Mapping[str, TagConfig], atmosphere_kpa: float = ATMOSPHERE_KPA
) -> dict[tuple[str, str], tuple[float, float]]:
    """Return (sensor_id, unit) -> its tag's limits in that unit, of the sensors that have a value outside of them."""
    limits = np.array(
        [
            limits_in(unit, tags.get(sensor), atmosphere_kpa)
            for sensor, unit in zip(stored.sensor_ids, stored.units, strict=True)
        ]
    ).reshape(-1, 2)
    broken = np.flatnonzero((stored.lowest < limits[:, 0]) | (stored.highest > limits[:, 1]))
    return {
        (stored.sensor_ids[n], stored.units[n]): (float(limits[n, 0]), float(limits[n, 1])) for n in broken.tolist()
    }


def limits_in(unit: str, tag: TagConfig | None, atmosphere_kpa: float = ATMOSPHERE_KPA) -> tuple[float, float]:
    """Return a tag's limits in a unit; infinite where it has none, or where they cannot be said in that unit."""
    low, high = (None, None) if tag is None else (tag.minimum, tag.maximum)
    if tag is not None and unit != tag.unit and (low, high) != (None, None):
        try:
            factor, offset = conversion(tag.unit, unit, atmosphere_kpa)
        except ConfigError:
            low = high = None  # collected in another unit before the tag was changed: its limits say nothing of it
        else:
            low, high = (None if limit is None else factor * limit + offset for limit in (low, high))
    return -np.inf if low is None else low, np.inf if high is None else high


def _schema(window: WindowUnderTest, limit: float) -> Verdict:
    facts = window.facts
    found = Finding(
        sum(facts.faults.values()), facts.first_faulty, {"readings": facts.readings, "broken": dict(facts.faults)}
    )
    return at_most(found, limit)


def _rejected_share(window: WindowUnderTest, _: float) -> Verdict:
    facts, limits = window.facts, window.limits
    # what a person has corrected stands among the rows now
    rejected = facts.rejected - facts.corrected
    seen = facts.rows + rejected
    share = rejected / seen if seen else 0.0
    return Verdict(
        share <= limits.warn_rejected_share,
        {
            "rejected": facts.rejected,
            "corrected": facts.corrected,
            "rows": seen,
            "share": round(share, 6),
            "warn_above": limits.warn_rejected_share,
            "not_stored_above": limits.max_rejected_share,
            "measured": round(share, 6),
            "limit": limits.warn_rejected_share,
        },
    )


def _sources(window: WindowUnderTest, _: float) -> Verdict:
    missing = missing_sources(window)
    return Verdict(
        window.facts.partial or not missing,
        {
            "missing": missing,
            "expected": list(window.expected_sources),
            "partial": window.facts.partial,
            "measured": len(missing),
            "limit": 0,
        },
    )


def missing_sources(window: WindowUnderTest) -> list[str]:
    """Return the sources that were configured while the window was open and sent nothing."""
    return sorted(set(window.expected_sources) - set(window.facts.sources))


def _sensors(window: WindowUnderTest, limit: float) -> Verdict:
    """Judge how many of the sensors of the sources that sent anything have sent something; texts are not counted."""
    sending = set(window.expected_sources) & set(window.facts.sources)
    expected = {
        tag.sensor_id
        for name, source in window.config.sources.items()
        if name in sending
        for tag in source.tags
        if not tag.is_text
    }
    silent = sorted(expected.difference(window.facts.sensors.sensor_ids))
    share = None if window.facts.partial or not expected else 1 - len(silent) / len(expected)
    first = {"first": [{"sensor_id": sensor} for sensor in silent[:MOST_SHOWN]]} if silent else {}
    return at_least(share, limit, expected=len(expected), silent=len(silent), partial=window.facts.partial, **first)


def _gaps(window: WindowUnderTest, _: float) -> Verdict:
    gaps = window.facts.gaps
    shown = [
        {
            "source": gap.source,
            "from": gap.since.isoformat(),
            "to": gap.until.isoformat(),
            "reason": gap.reason,
            **({"not_filled": gap.why_not} if gap.why_not else {}),
            **({"without_history": gap.without_history[:MOST_SHOWN]} if gap.without_history else {}),
        }
        for gap in gaps[:MOST_SHOWN]
    ]
    return Verdict(
        not gaps,
        {
            "gaps": len(gaps),
            "first": shown,
            "from_history": window.facts.from_history,
            "measured": len(gaps),
            "limit": 0,
        },
    )


def _range(window: WindowUnderTest, limit: float) -> Verdict:
    found = Finding(window.outside.count, window.outside.first, {"readings": window.facts.readings})
    return at_most(found, limit)


def _once(window: WindowUnderTest, limit: float) -> Verdict:
    facts = window.facts
    found = Finding(facts.contradicted.count, facts.contradicted.first, {"deduplicated": facts.deduplicated})
    return at_most(found, limit)


def _score(window: WindowUnderTest, limit: float) -> Verdict:
    return at_least(window.facts.score, limit, readings=window.facts.readings)


GATES: Sequence[Gate[WindowUnderTest]] = (
    Gate(
        "stored_readings_match_the_schema",
        "Every stored reading of the window obeys the table's schema. A failure holds the hour back until released.",
        _schema,
        "schema",
        effect="block",
    ),
    Gate(
        REJECTED_GATE,
        "The share of rejected rows is at most quality.warn_rejected_share; above quality.max_rejected_share the "
        "window is not stored at all.",
        _rejected_share,
        "completeness",
    ),
    Gate(
        SOURCES_GATE,
        "Every source configured while the window was open sent something; partial windows are exempt.",
        _sources,
        "completeness",
    ),
    Gate(
        "enough_sensors_sent_readings",
        "Of the sensors of the sources that sent anything, enough have a reading; partial windows are exempt.",
        _sensors,
        "completeness",
        limit=0.5,  # what is subscribed comes on change: not every sensor tells something in every window
    ),
    Gate(
        GAPS_GATE,
        "Whenever a source was not collected within the window, its history has filled that since.",
        _gaps,
        "completeness",
    ),
    Gate(
        "stored_values_are_within_their_limits",
        "Every stored value lies between minimum and maximum of its tag, where the tag has them.",
        _range,
        "range",
    ),
    Gate(
        "no_reading_contradicts_another",
        "No sensor told two different values of one time. The later arrival stands, the earlier one is rejected.",
        _once,
        "duplicates",
    ),
    Gate(
        "the_windows_score_is_high_enough",
        "The quality score of the window, 0 to 100, reaches its limit.",
        _score,
        "score",
        limit=60.0,
    ),
)
"""The gates of a window, as they are where the configuration says nothing of them."""


def gates_of(config: Integrations) -> list[Gate[WindowUnderTest]]:
    """Return the gates that this configuration has for windows."""
    return in_force(GATES, ASSET, config.quality.gates)


def judge(window: WindowUnderTest, run_id: str) -> list[GateResult]:
    """Return what every gate says about a window, as rows of `quality.gate_results`."""
    results = []
    for gate in gates_of(window.config):
        verdict = gate.judge(window, gate.limit)
        metadata = {**verdict.metadata, "collector": window.collector}
        results.append(
            GateResult(
                ASSET, window.key, window.facts.revision, gate.name, verdict.passed, gate.blocking, metadata, run_id
            )
        )
    return results
