"""The token bucket, the turns of the lanes and the shared pauses: time is handed in, nothing waits."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.transport.turns.rate_limit import LONGEST_PAUSE_S, WAITER_LIVES_S, Gate

ARRIVALS = st.lists(
    st.tuples(st.floats(0, 20, allow_nan=False), st.sampled_from(["orders", "journals", "meters"])),
    min_size=1,
    max_size=60,
)


def served(arrivals: list[tuple[float, str]], per_minute: int) -> list[tuple[float, str, int]]:
    """Let requests arrive and come again as told; return when each went, its lane and its number."""
    gate, now, done = Gate(), 1000.0, []
    due = []
    for number, (gap, lane) in enumerate(arrivals):
        now += gap
        due.append((now, number, lane))
    while due:
        due.sort()
        now, number, lane = due.pop(0)
        wait_s = gate.enter(str(number), lane, now, per_minute)
        if wait_s == 0:
            done.append((now, lane, number))
        else:
            due.append((now + min(wait_s, 4.0), number, lane))
    return done


@settings(deadline=None, max_examples=40)
@given(ARRIVALS, st.sampled_from([4, 7, 60, 100, 600]))
def test_no_minute_whatever_comes_sees_more_requests_than_allowed(
    arrivals: list[tuple[float, str]], per_minute: int
) -> None:
    times = [now for now, _, _ in served(arrivals, per_minute)]
    assert len(times) == len(arrivals)
    for first in range(len(times)):
        within = itertools.takewhile(lambda now, start=times[first]: now < start + 60 - 1e-6, times[first:])
        assert len(list(within)) <= per_minute


def test_a_lane_when_another_has_many_requests_waits_for_one_of_them_only() -> None:
    flood = [(0.0, "journals")] * 60
    done = served([*flood, (0.0, "meters"), (0.0, "meters"), (0.0, "orders")], 100)
    lanes = [lane for _, lane, _ in done]
    # twenty go at once; from then on the lanes take turns
    assert lanes[:20] == ["journals"] * 20
    assert sorted(lanes[20:23]) == ["journals", "meters", "orders"]
    assert "meters" in lanes[23:25]


def test_requests_of_a_lane_when_they_wait_go_in_the_order_of_arrival() -> None:
    numbers = [number for _, _, number in served([(0.0, "orders")] * 40, 60)]
    assert numbers == list(range(40))


def test_a_lane_when_it_was_quiet_for_long_does_not_make_up_for_it() -> None:
    gate = Gate()
    for number in range(30):
        assert gate.enter(f"j{number}", "journals", number * 10.0, 100) == 0.0
    arrivals = [(f"m{n}", "meters") for n in range(30)] + [(f"k{n}", "journals") for n in range(30)]
    order, now = [], 300.0
    waiting = list(arrivals)
    while waiting:
        now += 1.0
        for ticket, lane in list(waiting):
            if gate.enter(ticket, lane, now, 100) == 0.0:
                order.append(lane)
                waiting.remove((ticket, lane))
    assert abs(order[20:40].count("meters") - order[20:40].count("journals")) <= 2


def test_a_waiter_when_not_heard_of_gives_its_place_away() -> None:
    gate = Gate()
    assert gate.enter("first", "a", 0.0, 1) == 0.0
    assert gate.enter("dead", "a", 0.0, 1) > 0
    assert gate.enter("alive", "a", 1.0, 1) > 60
    assert gate.enter("alive", "a", WAITER_LIVES_S + 0.5, 1) < 60
    assert [waiter.ticket for waiter in gate.waiting] == ["alive"]
    gate.leave("alive")
    assert not gate.waiting


def test_a_pause_when_asked_for_holds_every_lane_and_halves_the_rate() -> None:
    gate = Gate()
    assert gate.enter("a", "x", 0.0, 60) == 0.0
    assert gate.pause(1.0, 30.0) == 30.0
    assert gate.pause(1.1, 10.0) == pytest.approx(29.9)  # refused at the same time: one sign
    assert gate.share == 0.5
    assert gate.enter("b", "y", 11.0, 60) == 20.0
    assert gate.enter("b", "y", 31.0, 60) == 0.0
    slow = gate.enter("c", "y", 31.0, 60)
    assert slow == pytest.approx(gate.share and 1 / (0.5 * 49 / 60), rel=0.5)
    for _ in range(10):
        gate.answered()
    assert gate.share == pytest.approx(1.0)
    assert gate.is_calm


def test_a_server_when_it_does_not_say_how_long_is_given_longer_each_time() -> None:
    gate, now, pauses = Gate(), 0.0, []
    for _ in range(7):
        pauses.append(gate.pause(now, None))
        now = gate.held_until
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
    assert gate.share == 1 / 16
    assert gate.pause(now, 10.0**9) == LONGEST_PAUSE_S


def test_a_pause_when_long_ago_is_forgiven() -> None:
    for per_minute in (100, None):
        gate = Gate()
        for _ in range(5):
            gate.pause(gate.held_until, None)
        last = gate.held_until
        assert gate.enter("a", "x", last + 1.0, per_minute) == 0.0
        assert not gate.is_calm
        assert gate.enter("b", "x", last + 1200.0, per_minute) == 0.0
        assert gate.is_calm
        assert gate.pause(last + 1200.0, None) == 1.0


def test_without_a_limit_only_pauses_count() -> None:
    gate = Gate()
    assert all(gate.enter(str(number), "x", 0.0, None) == 0.0 for number in range(1000))
    gate.pause(0.0, 5.0)
    assert gate.enter("late", "x", 1.0, None) == 4.0


def test_a_state_when_kept_as_json_is_the_same_and_after_a_restart_of_the_machine_begins_anew() -> None:
    gate = Gate()
    for number in range(25):
        gate.enter(str(number), "orders", 5000.0, 100)
    gate.pause(5000.0, 900.0)
    again = Gate.loaded(json.loads(json.dumps(gate.dumped())))
    assert again == gate
    assert again.held_s(5001.0) == 899.0
    assert again.held_s(12.0) == 0.0
    assert again.enter("new", "orders", 12.0, None) == 0.0
    assert again.enter("new", "orders", 12.0, 100) == 0.0
