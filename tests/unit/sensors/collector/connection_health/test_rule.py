from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensors.collector.connection_health.history import Slots
from sensors.collector.connection_health.rule import PRIOR_GAP_S, chance_of, risks, usual_of
from tests.unit.sensors.collector.connection_health.tables import LIMIT_S, RULE, slots

QUIET = usual_of(slots(2160), RULE)
"""Six hours without any trouble."""


def latency_risk(recent: Slots) -> float:
    return float(risks(recent, QUIET, LIMIT_S, RULE)[0, 0])


def test_usual_when_all_is_well_then_the_answer_time_and_nothing_else() -> None:
    assert QUIET.level[0] == pytest.approx(math.log(0.01))
    assert (QUIET.runs[0], QUIET.gap_s[0], QUIET.gap_unit_s[0], QUIET.hours) == (0, 0, PRIOR_GAP_S, 6.0)


def test_usual_when_few_answers_are_known_then_none() -> None:
    assert np.isnan(usual_of(slots(29), RULE).level[0])


def test_usual_when_an_outage_lasts_for_slots_then_one_run_and_one_gap_of_its_length() -> None:
    usual = usual_of(slots(100, retried=(10, 13), down_s={10: 5.0, 11: 10.0, 12: 10.0, 13: 5.0}), RULE)
    assert usual.runs[0] == 1
    assert usual.gap_s[0] == 30.0
    assert usual.gap_unit_s[0] == pytest.approx((30.0**2 + 60.0**2) / (30.0 + 60.0))


def test_latency_when_it_grows_towards_the_limit_then_a_warning() -> None:
    assert latency_risk(slots(90, latency_s=np.geomspace(0.01, 0.4, 90))) >= 1.0


def test_latency_when_it_grows_and_the_limit_is_far_then_none() -> None:
    assert 0.0 < latency_risk(slots(90, latency_s=np.geomspace(0.01, 0.05, 90))) < 1.0


@pytest.mark.parametrize("jump", [20, 40, 70])
def test_latency_when_it_jumps_once_then_no_growth_is_seen(jump: int) -> None:
    assert latency_risk(slots(90, latency_s=np.where(np.arange(90) < jump, 0.01, 0.3))) < 1.0


def test_latency_when_a_third_has_no_answers_then_nothing_is_said() -> None:
    latency_s = np.geomspace(0.01, 2.0, 90)
    latency_s[30:60] = np.nan
    assert latency_risk(slots(90, latency_s=latency_s)) == 0.0


def test_latency_when_only_a_few_answers_are_slow_then_none() -> None:
    latency_s = np.full(90, 0.01)
    latency_s[::9] = 2.9
    assert latency_risk(slots(90, latency_s=latency_s)) == 0.0


@pytest.mark.parametrize(("runs", "warned"), [(2, False), (3, True)])
def test_retries_when_a_quiet_source_breaks_again_and_again_then_a_warning(runs: int, warned: bool) -> None:
    recent = slots(90, retried=tuple(range(5, 5 + 10 * runs, 10)))
    assert bool(risks(recent, QUIET, LIMIT_S, RULE)[0, 1] >= 1.0) is warned


def test_retries_when_a_source_always_breaks_then_the_same_number_is_no_warning() -> None:
    restless = usual_of(slots(2160, retried=tuple(range(0, 2160, 100))), RULE)
    recent = slots(90, retried=(10, 40, 70))
    assert risks(recent, restless, LIMIT_S, RULE)[0, 1] < 1.0


def test_retries_when_one_outage_has_many_attempts_then_one_run() -> None:
    away = dict.fromkeys(range(10, 40), 10.0)
    recent = slots(90, retried=tuple(range(10, 40, 3)), down_s=away)
    assert risks(recent, QUIET, LIMIT_S, RULE)[0, 1] < 0.5


def test_gaps_when_one_is_long_then_none_and_when_two_are_then_a_warning() -> None:
    one = slots(90, missed_s=dict.fromkeys(range(10, 50), 10.0))
    two = slots(90, missed_s=dict.fromkeys([*range(10, 30), *range(40, 60)], 10.0))
    assert risks(one, QUIET, LIMIT_S, RULE)[0, 2] == 0.0
    assert risks(two, QUIET, LIMIT_S, RULE)[0, 2] >= 1.0


@given(
    counts=st.lists(st.integers(0, 60), min_size=1, max_size=5),
    seen=st.floats(0, 50),
    before=st.floats(0, 24),
    hours=st.floats(0.05, 2),
)
def test_chance_when_more_events_are_seen_then_never_greater_and_within_bounds(
    counts: list[int], seen: float, before: float, hours: float
) -> None:
    ordered = np.sort(np.array(counts))
    found = chance_of(ordered, np.full(len(ordered), 1.0 + seen), before, hours)
    assert ((found > 0) & (found <= 1)).all()
    assert (np.diff(found) <= 1e-12).all()
    assert chance_of([0], np.array([1.0 + seen]), before, hours)[0] == 1.0


def test_chance_when_the_prior_is_all_that_is_known_then_geometric() -> None:
    # one run an hour believed, a quarter of an hour seen: each further event has probability 0.25 / 1.25
    assert chance_of([1, 3], np.ones(2), 0.0, 0.25) == pytest.approx([0.2, 0.008])
