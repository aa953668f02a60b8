from __future__ import annotations

from sensors.collector.supervision.lookout import Lookout


def tries(lookout: Lookout, seconds: int, *, every: int = 2) -> list[int]:
    """When an open port that refuses every attempt is tried: waiting begins anew after each."""
    found, since = [], 0
    for now in range(every, seconds + 1, every):
        if lookout.worth_trying(True, now - since):
            found.append(now)
            since = now
    return found


def test_lookout_when_the_port_was_closed_and_opens_then_at_once() -> None:
    lookout = Lookout()
    assert not lookout.worth_trying(False, 2.0)
    assert lookout.worth_trying(True, 0.1)


def test_lookout_when_the_port_was_open_all_the_time_then_each_try_in_vain_doubles_the_patience() -> None:
    assert tries(Lookout(), 300) == [2, 6, 14, 30, 62, 126, 254]


def test_lookout_when_the_port_closes_in_between_then_patience_begins_anew() -> None:
    lookout = Lookout()
    tries(lookout, 60)
    assert not lookout.worth_trying(False, 2.0)
    assert lookout.worth_trying(True, 2.0)
    assert tries(lookout, 10) == [2, 6]


def test_lookout_when_the_source_has_worked_then_patience_begins_anew() -> None:
    lookout = Lookout()
    tries(lookout, 60)
    lookout.proved()
    assert tries(lookout, 10) == [2, 6]
