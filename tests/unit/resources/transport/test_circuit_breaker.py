from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from resources.core.clock import ManualClock
from resources.transport.turns.circuit_breaker import Circuit, CircuitBreaker


class Bench:
    def __init__(self, failures: int = 5) -> None:
        self.clock = ManualClock(datetime(2026, 11, 22, tzinfo=UTC))
        self.breaker = CircuitBreaker(failures=failures, recovery_s=60.0, monotonic=self.clock.monotonic)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.attempt()
            self.breaker.failed()


def test_breaker_when_failures_are_below_the_limit_then_closed() -> None:
    bench = Bench()
    bench.fail(4)
    assert (bench.breaker.state, bench.breaker.wait_s(), bench.breaker.failures) == (Circuit.CLOSED, 0.0, 4)


def test_breaker_when_a_success_comes_in_between_then_counting_begins_anew() -> None:
    bench = Bench()
    bench.fail(4)
    bench.breaker.succeeded()
    bench.fail(4)
    assert bench.breaker.state is Circuit.CLOSED


def test_breaker_when_the_limit_is_reached_then_open_for_the_recovery_time() -> None:
    bench = Bench()
    bench.fail(5)
    assert bench.breaker.state is Circuit.OPEN
    assert bench.breaker.wait_s() == 60.0
    bench.clock.advance(45.0)
    assert bench.breaker.wait_s() == 15.0
    bench.clock.advance(45.0)
    assert bench.breaker.wait_s() == 0.0


def test_breaker_when_half_open_then_one_attempt_decides() -> None:
    bench = Bench()
    bench.fail(5)
    bench.breaker.attempt()
    assert bench.breaker.state is Circuit.HALF_OPEN
    bench.breaker.failed()
    assert (bench.breaker.state, bench.breaker.wait_s()) == (Circuit.OPEN, 60.0)
    bench.breaker.attempt()
    bench.breaker.succeeded()
    assert (bench.breaker.state, bench.breaker.failures) == (Circuit.CLOSED, 0)


@given(st.lists(st.sampled_from(["succeed", "fail"]), max_size=60), st.integers(1, 8))
def test_breaker_when_driven_at_random_then_open_exactly_after_the_limit_of_failures_in_a_row(
    steps: list[str], limit: int
) -> None:
    bench, in_row, deciding = Bench(limit), 0, False
    for step in steps:
        bench.breaker.attempt()
        if step == "succeed":
            bench.breaker.succeeded()
            in_row, deciding = 0, False
        else:
            bench.breaker.failed()
            in_row += 1
            deciding = deciding or in_row >= limit
        assert bench.breaker.failures == in_row
        assert (bench.breaker.state is Circuit.OPEN) == deciding
