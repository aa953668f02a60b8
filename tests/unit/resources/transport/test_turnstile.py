"""The turnstile: threads and processes that share an endpoint, its files, and what is not waited for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from resources.core.clock import ManualClock
from resources.core.errors import ThrottledError
from resources.transport.turns.turnstile import Turnstile

START = datetime(2026, 11, 22, 10, tzinfo=UTC)


class Time(ManualClock):
    """A clock that goes on by as much as somebody sleeps; threads may share it."""

    def __init__(self) -> None:
        super().__init__(START)
        self.slept: list[float] = []
        self._lock = threading.Lock()
        self.advance(1000.0)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.slept.append(seconds)
            self.advance(seconds)


def turnstile(time: Time, folder: Path | None, per_minute: int | None = 60, patience_s: float = 120.0) -> Turnstile:
    return Turnstile(
        "erp", per_minute, folder=folder, clock=time, patience_s=patience_s, sleep=time.sleep
    )  # fmt: skip


@pytest.mark.parametrize("shared", [False, True], ids=["one process", "two processes"])
def test_requests_when_past_the_burst_wait_for_their_turn(tmp_path: Path, shared: bool) -> None:
    time = Time()
    one = turnstile(time, tmp_path if shared else None)
    other = turnstile(time, tmp_path) if shared else one  # what two processes hold
    for number in range(30):
        (one, other)[number % 2].pass_through("host/api", "orders")
    # a burst of 12, then 49 a minute
    assert sum(time.slept) == pytest.approx(18 * 60 / 49, rel=0.01)
    assert one.waited_s + (other.waited_s if shared else 0) == pytest.approx(sum(time.slept))
    one.pass_through("host/other", "orders")
    assert len(list(tmp_path.glob("*.json"))) == (2 if shared else 0)


def test_threads_when_they_come_at_once_all_pass_and_none_is_lost(tmp_path: Path) -> None:
    time = Time()
    gates = [turnstile(time, tmp_path, 600) for _ in range(3)]
    with ThreadPoolExecutor(9) as threads:
        list(threads.map(lambda number: gates[number % 3].pass_through("host/api", str(number % 3)), range(120)))
    assert '"waiting": []' in next(tmp_path.glob("*.json")).read_text()


def test_a_pause_when_one_process_is_told_of_it_holds_the_other(tmp_path: Path) -> None:
    time = Time()
    one, other = turnstile(time, tmp_path), turnstile(time, tmp_path)
    assert one.throttled("host/api", 40.0) == 40.0
    other.pass_through("host/api", "orders")
    assert sum(time.slept) == pytest.approx(40.0)
    assert max(time.slept) <= 1.0
    assert 1.0 <= one.throttled("host/api", None) <= 2.5  # a second or two, spread
    one.throttled("host/api", 200.0)
    with pytest.raises(ThrottledError, match="host/api asked for a pause that ends in 200 s") as met:
        other.pass_through("host/api", "orders")
    assert met.value.retry_after_s == pytest.approx(200.0)
    assert '"waiting": []' in next(tmp_path.glob("*.json")).read_text()


def test_the_rate_when_the_endpoint_serves_again_comes_back(tmp_path: Path) -> None:
    time = Time()
    one = turnstile(time, tmp_path)
    one.answered("host/api")
    assert not list(tmp_path.glob("*.json"))  # nothing to regain: nothing is touched
    one.throttled("host/api", 1.0)
    for _ in range(10):
        one.answered("host/api")
    before = next(tmp_path.glob("*.json")).read_text()
    assert '"share": 1.0, ' in before
    one.answered("host/api")
    assert next(tmp_path.glob("*.json")).read_text() == before


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b'{"tokens": 1}', b'{"waiting": 7}'])
def test_a_file_when_torn_is_begun_anew(tmp_path: Path, torn: bytes) -> None:
    time = Time()
    gate = turnstile(time, tmp_path)
    gate.pass_through("host/api", "orders")
    next(tmp_path.glob("*.json")).write_bytes(torn)
    gate.pass_through("host/api", "orders")
    assert not time.slept


def test_a_request_when_interrupted_gives_its_place_away(tmp_path: Path) -> None:
    time = Time()

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    gate = Turnstile("erp", 1, folder=tmp_path, clock=time, patience_s=9.0, sleep=interrupted)
    gate.pass_through("host/api", "orders")
    with pytest.raises(KeyboardInterrupt):
        gate.pass_through("host/api", "orders")
    assert '"waiting": []' in next(tmp_path.glob("*.json")).read_text()
