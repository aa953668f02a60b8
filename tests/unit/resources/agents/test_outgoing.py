"""The queue towards the broker: order, room in flight, pace, and what nobody wants any more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from resources.agents.mqtt.outgoing import Outgoing, Publication
from resources.agents.mqtt.pace import Pace
from resources.agents.wire.message import PRIORITIES, Priority


def packet(name: str, priority: Priority = "normal", *, wanted: bool = True) -> Publication:
    return Publication(name, b"", priority, wanted=lambda: wanted)


def drained(outgoing: Outgoing) -> list[str]:
    """The topics in the order in which they would go, each answered at once."""
    found: list[str] = []
    while True:
        publication, _ = outgoing.next(0.0)
        if publication is None:
            return found
        found.append(publication.topic)


@given(st.lists(st.sampled_from(PRIORITIES), max_size=60))
def test_outgoing_when_filled_in_any_order_then_urgent_goes_first_and_each_priority_in_its_order(
    priorities: list[Priority],
) -> None:
    outgoing = Outgoing(Pace(), in_flight=1)
    for number, priority in enumerate(priorities):
        outgoing.add(packet(f"{number:02d}", priority))
    numbered = [(PRIORITIES.index(priority), f"{number:02d}") for number, priority in enumerate(priorities)]
    assert drained(outgoing) == [name for _, name in sorted(numbered)]


def test_outgoing_when_a_critical_one_comes_late_then_it_overtakes_all_that_wait() -> None:
    outgoing = Outgoing(Pace(), in_flight=1)
    outgoing.add(packet("first", "low"))
    publication, _ = outgoing.next(0.0)
    assert publication is not None
    outgoing.flies(1, publication)
    for name, priority in (("b", "low"), ("c", "normal"), ("d", "critical"), ("e", "high")):
        outgoing.add(packet(name, priority))  # type: ignore[arg-type]
    assert outgoing.next(0.0) == (None, None)
    assert outgoing.landed(1) is publication
    assert outgoing.landed(1) is None
    assert drained(outgoing) == ["d", "e", "c", "b"]


def test_outgoing_when_nobody_wants_it_any_more_then_it_is_dropped_and_takes_no_token() -> None:
    outgoing = Outgoing(Pace(1), in_flight=5)
    outgoing.add(packet("cancelled", "critical", wanted=False))
    outgoing.add(packet("kept"))
    assert drained(outgoing) == ["kept"]
    assert len(outgoing) == 0


def test_outgoing_when_the_pace_is_used_up_then_it_says_when_to_ask_again_and_a_late_urgent_one_goes_then() -> None:
    outgoing = Outgoing(Pace(2), in_flight=20)
    for name in ("a", "b", "c"):
        outgoing.add(packet(name))
    assert drained(outgoing) == ["a", "b"]
    assert outgoing.next(0.1) == (None, 0.4)
    outgoing.add(packet("urgent", "critical"))
    publication, _ = outgoing.next(0.5)
    assert publication is not None
    assert publication.topic == "urgent"
    assert len(outgoing) == 1


def test_outgoing_when_called_back_then_what_was_in_flight_waits_again_in_its_priority() -> None:
    outgoing = Outgoing(Pace(), in_flight=2)
    for name, priority in (("a", "low"), ("b", "high")):
        outgoing.add(packet(name, priority))  # type: ignore[arg-type]
    for packet_id in (1, 2):
        publication, _ = outgoing.next(0.0)
        assert publication is not None
        outgoing.flies(packet_id, publication)
    assert len(outgoing) == 2
    outgoing.call_back()
    assert drained(outgoing) == ["b", "a"]
