"""When what is read: the grid, the units that answer, the gaps."""

import itertools
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.core.clock import from_micros, to_micros
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.gaps import Gaps
from resources.scada.modbus.planner import Block
from resources.scada.modbus.poll import Poll
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.schedule import Grid, Schedule
from resources.scada.modbus.units import Roster
from resources.scada.values import _Collected


@settings(deadline=None)
@given(
    steps=st.lists(st.floats(0, 30), min_size=1, max_size=60),
    intervals=st.lists(st.integers(1_000, 10_000_000), min_size=1, max_size=4, unique=True),
)
def test_grid_when_polls_come_whenever_then_every_point_is_used_or_counted_and_none_moves(
    steps: list[float], intervals: list[int]
) -> None:
    grid = Grid(dict.fromkeys(intervals, 3), 1_000.0)
    now, used, skipped = 1_000.0, 0, 0
    for step in steps:
        now += step
        due, passed, readings = grid.take(now)
        assert readings == 3 * passed
        used, skipped = used + len(due), skipped + passed
        assert grid.due_at > now - 1e-6
    elapsed = round((now - 1_000.0) * 1e6)
    assert used + skipped == sum(elapsed // interval + 1 for interval in intervals)
    # the next point of each lies on its own grid, however long it has run
    assert round((grid.due_at - 1_000.0) * 1e6) == min((elapsed // i + 1) * i for i in intervals)


def test_grid_when_it_has_run_for_a_year_then_it_has_not_drifted() -> None:
    grid = Grid({100_000: 1}, 5.0)
    grid.take(5.0 + 365 * 86_400)
    assert grid.due_at == pytest.approx(5.0 + 365 * 86_400 + 0.1, abs=1e-6)


def _schedule(*tags: dict[str, Any], **changes: Any) -> Schedule:
    made = [{"sensor_id": f"s{n}", "unit": "kW", "data_type": "int16", **tag} for n, tag in enumerate(tags)]
    config = ModbusConfig.model_validate({"kind": "modbus", "host": "h", "tags": made} | changes)
    return Schedule(config, RegisterMap(config), 0.0)


def _ends(blocks: Sequence[Block]) -> list[tuple[int, int]]:
    return [(block.address, block.end) for block in blocks]


def test_schedule_when_groups_fall_due_together_then_they_share_requests() -> None:
    schedule = _schedule({"address": 0}, {"address": 1, "poll_interval": "2s"}, {"address": 2})
    assert _ends(schedule.take(0.0).blocks) == [(0, 3)]
    alone = schedule.take(1.0)
    assert (_ends(alone.blocks), alone.tags) == ([(0, 3)], {0, 2})
    assert schedule.take(2.0).tags == {0, 1, 2}


def _refuse(schedule: Schedule, item: int, now: float) -> None:
    due = schedule.take(now)
    poll = Poll(due.tags)
    poll.refused[item] = (2, 0)
    poll.cut.append(Block(1, "holding_register", item, 1, (item,)))
    schedule.learn(poll, now)


def test_schedule_when_an_item_is_refused_then_it_is_left_out_tried_alone_and_merged_again() -> None:
    schedule = _schedule(*({"address": n} for n in range(5)), retry_bad_items_after="10s")
    _refuse(schedule, 2, 0.0)
    assert _ends(schedule.take(1.0).blocks) == [(0, 2), (3, 5)]
    assert schedule.take(9.0).tags == {0, 1, 3, 4}
    again = schedule.take(10.0)
    assert _ends(again.blocks) == [(0, 2), (3, 5), (2, 3)]
    assert again.tags == {0, 1, 2, 3, 4}
    poll = Poll(again.tags)
    poll.refused[2] = (2, 0)
    schedule.learn(poll, 10.0)
    assert schedule.take(11.0).tags == {0, 1, 3, 4}
    retried = schedule.take(20.0)
    healed = Poll(retried.tags)
    healed.read = [(block, None, 0) for block in retried.blocks]  # type: ignore[misc]
    schedule.learn(healed, 20.0)
    assert _ends(schedule.take(21.0).blocks) == [(0, 5)]


def test_schedule_when_many_items_are_refused_then_only_some_are_tried_in_one_poll() -> None:
    schedule = _schedule(*({"address": 2 * n} for n in range(40)), retry_bad_items_after="10s")
    due = schedule.take(0.0)
    poll = Poll(due.tags)
    poll.refused = dict.fromkeys(range(40), (1, 0))
    schedule.learn(poll, 0.0)
    assert schedule.take(1.0).blocks == ()
    assert len(schedule.take(10.0).blocks) == 8


def _blocks(*units: int) -> list[Block]:
    return [Block(unit, "holding_register", 0, 1, (unit,)) for unit in units]


def _order(roster: Roster, blocks: list[Block], now: float) -> list[int]:
    return [found[0].unit_id for found in roster.order(blocks, now)]


def test_roster_when_a_unit_is_silent_then_it_is_asked_last_and_ever_more_rarely() -> None:
    roster, blocks = Roster([1, 2], 30.0), _blocks(1, 2)
    assert _order(roster, blocks, 0.0) == [1, 2]
    roster.answered(2)
    assert roster.silent(1, 0.0, 0.1)
    asked = []
    for tenth in range(1, 3_000):
        now = tenth / 10
        order = _order(roster, blocks, now)
        assert order[0] == 2
        roster.answered(2)
        if order[1:] == [1]:
            asked.append(now)
            roster.silent(1, now, 0.1)
    pauses = [b - a for a, b in itertools.pairwise(asked)]
    assert asked[0] == pytest.approx(1.0)
    assert pauses[:4] == pytest.approx([2, 4, 8, 16])
    assert pauses[4:] == pytest.approx([30.0] * len(pauses[4:]))
    roster.answered(1)
    assert not roster.is_silent(1)


def test_roster_when_several_are_silent_then_together_they_cost_a_tenth_of_the_time() -> None:
    units = range(1, 12)
    roster, blocks = Roster(units, 1.0), _blocks(*units)
    now, wasted = 0.0, 0.0
    roster.answered(11)
    for unit in range(1, 11):
        roster.order(blocks, now)
        roster.answered(11)
        roster.silent(unit, now, 3.0)
    while now < 600:
        order = _order(roster, blocks, now)
        roster.answered(11)
        for unit in order[1:]:
            now += 3.0
            wasted += 3.0
            roster.silent(unit, now, 3.0)
        now += 0.5
    assert wasted / now == pytest.approx(0.1, abs=0.02)


def test_roster_when_a_unit_was_never_heard_of_then_it_waits_where_another_was_silent() -> None:
    roster, blocks = Roster([1, 2, 3], 30.0), _blocks(1, 2, 3)
    roster.answered(3)
    assert _order(roster, blocks, 0.0) == [3, 1, 2]
    roster.answered(3)
    assert roster.may_ask(1)
    roster.silent(1, 0.0, 1.0)
    assert not roster.may_ask(2)
    assert roster.may_ask(3)


def test_roster_when_nobody_answers_then_the_connection_is_given_up() -> None:
    alone = Roster([1], 30.0)
    alone.order(_blocks(1), 0.0)
    assert not alone.silent(1, 0.0, 1.0)
    many = Roster(range(1, 20), 30.0)
    for unit in range(1, 20):
        many.answered(unit)
    many.order(_blocks(*range(1, 20)), 0.0)
    assert [many.silent(unit, 0.0, 1.0) for unit in (1, 2, 3)] == [True, True, False]


def test_roster_when_it_is_connected_anew_then_those_that_ever_answered_are_asked_and_the_others_in_their_turn() -> (
    None
):
    roster, blocks = Roster([1, 2], 30.0), _blocks(1, 2)
    roster.order(blocks, 0.0)
    roster.silent(1, 0.0, 1.0)
    roster.reconnected()
    assert _order(roster, blocks, 0.5) == [1, 2]
    roster.silent(1, 0.5, 1.0)
    roster.answered(2)
    roster.silent(2, 0.6, 1.0)
    roster.reconnected()
    assert _order(roster, blocks, 0.7) == [2]
    assert _order(roster, blocks, 2.0) == [2, 1]


class _Told(_Collected):
    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[tuple[datetime, datetime, str]] = []

    def missed(self, since: datetime, until: datetime, reason: str) -> None:
        self.gaps.append((since, until, reason))


def test_gaps_when_one_goes_on_then_it_is_told_in_pieces_without_a_hole() -> None:
    told = _Told()
    gaps = Gaps(told)
    for second in range(1, 151):
        gaps.extend("unit 2", 0, second * 1_000_000, "silent")
    gaps.close("unit 2", 150_500_000)
    edges = [from_micros(second * 1_000_000) for second in (0, 60, 120)] + [from_micros(150_500_000)]
    assert [(a, b) for a, b, _ in told.gaps] == list(itertools.pairwise(edges))
    gaps.close_all()
    gaps.close("unit 2")
    assert len(told.gaps) == 3


def test_gaps_when_one_comes_and_goes_then_it_is_one_until_it_stays_away() -> None:
    told = _Told()
    gaps = Gaps(told)
    for second in (1, 3, 5):
        gaps.extend("grid", second * 1_000_000, second * 1_000_000 + 1, "late")
        gaps.settle("grid", second * 1_000_000 + 2)
    assert told.gaps == []
    gaps.settle("grid", 11_000_000)
    assert told.gaps == [(from_micros(1_000_000), from_micros(5_000_001), "late")]
    gaps.extend("nothing", 7, 7, "empty")
    gaps.close_all()
    assert len(told.gaps) == 1


def test_gaps_when_the_wall_clock_was_set_back_then_what_is_missed_afterwards_is_told_too() -> None:
    told = _Told()
    gaps = Gaps(told)
    gaps.extend("unit 2", 100_000_000, 110_000_000, "silent")
    for second in (40, 42):
        gaps.extend("unit 2", 100_000_000, second * 1_000_000, "silent")
    gaps.close("unit 2", 43_000_000)
    assert [(to_micros(a), to_micros(b)) for a, b, _ in told.gaps] == [
        (100_000_000, 110_000_000),
        (40_000_000, 43_000_000),
    ]
