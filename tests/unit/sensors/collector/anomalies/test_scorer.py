from __future__ import annotations

from dataclasses import replace

import numpy as np

from gl_assets.scada.anomaly.scoring import row_of
from gl_assets.transforms.anomaly.episodes import anomalies, judge_rows
from resources.databases.timescale.anomaly.live_anomalies import LiveWindow
from sensors.collector.anomalies.columns import Values
from sensors.collector.anomalies.rows import Floats
from sensors.collector.anomalies.scorer import SETTLE_US, EquipmentScorer
from tests.unit.sensors.collector.anomalies.plant import NOON_US, SECOND_US, STEP_US, signal, watched

WINDOW_US = 60 * SECOND_US
ROWS, SHIFT = 300, 260
PLACES = {4: 0, 5: 1, 6: 2}
"""The equipment's sensors are the fifth to seventh of all watched ones."""


def fed(scorer: EquipmentScorer, values: Floats, row: int) -> list[LiveWindow]:
    """Give the scorer one row of readings, and let it look every second until it is whole."""
    begins = NOON_US + row * STEP_US
    scorer.take(Values(np.array([4, 5, 6, 0]), np.full(4, begins), np.append(values[row], 1e9)), begins)
    found = []
    for second in range(2):
        found += scorer.look(begins + (second + 1) * SECOND_US)
    return found


def test_scorer_when_rows_become_whole_then_what_the_stored_window_would_give() -> None:
    scorer = EquipmentScorer(watched(), PLACES, window_us=WINDOW_US, now_us=NOON_US - 1)
    values, latest = signal(ROWS, 2, shifted_from=SHIFT), dict[int, LiveWindow]()
    for row in range(ROWS):
        for found in fed(scorer, values, row):
            latest[int(found.window_start.timestamp())] = found
    for found in scorer.look(NOON_US + ROWS * STEP_US + SETTLE_US + 4 * SECOND_US):
        latest[int(found.window_start.timestamp())] = found
    rows_a_window = WINDOW_US // STEP_US
    # the last one begins where the readings have ended
    for window, found in sorted(latest.items())[4:-1]:
        start = (window * SECOND_US - NOON_US) // STEP_US
        lead = max(0, start - watched().trained.lead_rows)
        end = min(start + rows_a_window, ROWS)
        times = NOON_US + STEP_US * np.arange(lead, end)
        judged = judge_rows(watched().trained, times, values[lead:end], from_us=window * SECOND_US)
        expected = tuple(
            replace(row_of(watched(), one), found_by="collector") for one in anomalies(watched().trained, judged)
        )
        assert found.rows == expected, window
    told = [row for found in latest.values() for row in found.rows if row.kind == "multivariate"]
    assert {row.sensor_id for row in told if row.score > 2} == {"kiln.b"}
    assert scorer.stray == 0


def test_scorer_when_a_row_is_only_begun_then_its_distance_is_known_within_a_second() -> None:
    scorer = EquipmentScorer(watched(), PLACES, window_us=WINDOW_US, now_us=NOON_US)
    values = signal(ROWS, 3)
    for row in range(100):
        fed(scorer, values, row)
    assert scorer.distance < 1.0
    assert not scorer.stands
    begins = NOON_US + 100 * STEP_US
    scorer.take(Values(np.array([4, 5, 6]), np.full(3, begins), values[100] + [0.0, 40.0, 0.0]), begins)
    assert scorer.look(begins + SECOND_US) == []
    assert scorer.distance > 1.0
    assert scorer.stands


def test_scorer_when_nothing_arrives_then_nothing_is_found_and_the_distance_is_unknown() -> None:
    scorer = EquipmentScorer(watched(), PLACES, window_us=WINDOW_US, now_us=NOON_US)
    found = [one for second in range(60) for one in scorer.look(NOON_US + second * SECOND_US)]
    assert found
    assert all(one.rows == () for one in found)
    assert np.isnan(scorer.distance)


def test_scorer_when_it_begins_within_a_window_then_it_says_from_when_on_it_knows() -> None:
    scorer = EquipmentScorer(watched(), PLACES, window_us=WINDOW_US, now_us=NOON_US + 21 * SECOND_US)
    (found,) = scorer.look(NOON_US + 31 * SECOND_US)
    assert found.window_start.timestamp() * SECOND_US == NOON_US
    # the row that it began in is none
    assert found.since.timestamp() * SECOND_US == NOON_US + 22 * SECOND_US


def test_scorer_when_the_first_reading_of_a_row_is_odd_then_it_counts_for_its_part_of_the_row() -> None:
    scorer = EquipmentScorer(watched(), PLACES, window_us=WINDOW_US, now_us=NOON_US)
    values = signal(ROWS, 5)
    for row in range(100):
        fed(scorer, values, row)
    before, begins = scorer.distance, NOON_US + 100 * STEP_US
    scorer.take(Values(np.array([4, 5, 6]), np.full(3, begins), values[100] + np.array([0.0, 40.0, 0.0])), begins)
    scorer.look(begins + STEP_US // 1000)
    at_once = scorer.distance
    scorer.look(begins + STEP_US // 2)
    assert scorer.distance > at_once
    assert at_once < before + 0.5


def test_scorer_when_none_of_its_sensors_is_configured_then_nothing() -> None:
    scorer = EquipmentScorer(watched(), {}, window_us=WINDOW_US, now_us=NOON_US)
    scorer.take(Values(np.array([0]), np.array([NOON_US]), np.array([1.0])), NOON_US)
    assert scorer.stray == 0
