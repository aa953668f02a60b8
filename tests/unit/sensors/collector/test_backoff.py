from __future__ import annotations

import random

import pytest

from resources.core.errors import AuthError, ConfigError, ProtocolError, ThrottledError, UnreachableError
from sensors.collector.supervision.backoff import CAP_S, PROTOCOL_FIRST_S, REFUSED_S, Backoff

AWAY = UnreachableError("no reply", source="a")


@pytest.mark.parametrize("seed", range(20))
def test_pause_when_unreachable_then_first_under_a_second_and_never_above_the_cap(seed: int) -> None:
    backoff = Backoff(random.Random(seed))
    pauses = [backoff.pause_after(AWAY) for _ in range(200)]
    assert pauses[0] < 1.0
    assert max(pauses) <= CAP_S
    assert max(pauses[10:]) > CAP_S / 2


def test_pause_when_two_sources_are_lost_at_once_then_they_come_back_out_of_step() -> None:
    first, second = Backoff(random.Random(1)), Backoff(random.Random(2))
    assert [first.pause_after(AWAY) for _ in range(5)] != [second.pause_after(AWAY) for _ in range(5)]


def test_pause_when_reset_then_short_again() -> None:
    backoff = Backoff(random.Random(3))
    for _ in range(20):
        backoff.pause_after(AWAY)
    backoff.reset()
    assert backoff.pause_after(AWAY) < 1.0


def test_pause_when_a_person_has_to_mend_it_then_a_minute_each_time() -> None:
    backoff = Backoff()
    assert [backoff.pause_after(ConfigError("variable unset")) for _ in range(5)] == [REFUSED_S] * 5


def test_pause_when_credentials_are_refused_then_ever_longer_so_that_no_account_is_locked() -> None:
    backoff = Backoff()
    assert [backoff.pause_after(AuthError("refused")) for _ in range(6)] == [60, 120, 240, 480, 900, 900]
    backoff.reset()
    assert backoff.pause_after(AuthError("refused")) == REFUSED_S


def test_pause_when_the_protocol_was_broken_then_not_at_once() -> None:
    assert PROTOCOL_FIRST_S <= Backoff().pause_after(ProtocolError("garbage")) <= PROTOCOL_FIRST_S + 1.0


def test_pause_when_the_source_asks_for_one_then_at_least_that() -> None:
    assert Backoff().pause_after(ThrottledError("slow down", retry_after_s=90.0)) == 90.0
    assert Backoff().pause_after(ThrottledError("slow down")) < 1.0
