"""Sequence numbers against every way in which messages are lost, doubled and exchanged."""

from hypothesis import given, settings
from hypothesis import strategies as st

from resources.scada.mqtt.sparkplug.nodes.rebirths import Rebirths
from resources.scada.mqtt.sparkplug.nodes.sequence import Order, Sequence


def taken_in_order(sequence: Sequence[int], seq: int, number: int) -> list[int]:
    """What can be read once message `number` has come under `seq`."""
    order = sequence.judge(seq, hash(number))
    if order is Order.EARLY:
        sequence.keep(seq, number)
        return []
    if order is Order.REPEATED:
        return []
    found = [number]
    while (waiting := sequence.next_in_order()) is not None:
        found.append(waiting)
    return found


@settings(deadline=None)
@given(st.data())
def test_sequence_when_messages_are_exchanged_and_doubled_then_each_is_taken_once_in_order(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 600))
    arrivals = sorted(range(count), key=lambda n: n + data.draw(st.integers(0, 3)) * 5 if n % 7 == 0 else n)
    sequence: Sequence[int] = Sequence()
    sequence.born(0, hash("birth"))
    found: list[int] = []
    for number in arrivals:
        found += taken_in_order(sequence, (number + 1) % 256, number)
        if number % 11 == 0:
            found += taken_in_order(sequence, (number + 1) % 256, number)
    assert found == list(range(count))
    assert not sequence.is_waiting


@settings(deadline=None)
@given(st.integers(2, 120), st.sets(st.integers(0, 119), min_size=1))
def test_sequence_when_messages_are_lost_then_those_behind_wait_and_come_in_order(count: int, lost: set[int]) -> None:
    sequence: Sequence[int] = Sequence()
    sequence.born(200, hash("birth"))
    found: list[int] = []
    for number in range(count):
        if number not in lost:
            found += taken_in_order(sequence, (number + 201) % 256, number)
    present = [n for n in range(count) if n not in lost]
    assert found + sequence.give_up() == present
    assert sequence.expected is None
    assert sequence.judge(7, 1) is Order.UNKNOWN


def test_rebirths_when_many_are_wanted_then_they_are_spaced() -> None:
    rebirths: Rebirths[int] = Rebirths(10.0)
    for node in range(200):
        rebirths.want(node)
    asked = [len(rebirths.due(step / 10)) for step in range(10, 61)]
    assert sum(asked) == 200
    # what had not been asked for in the first second may be made up for, the rest comes at fifty a second
    assert max(asked) <= 51
    assert rebirths.is_wanted
    for node in range(200):
        rebirths.born(node)
    assert not rebirths.is_wanted
    assert rebirths.due(1000.0) == []


def test_rebirths_when_a_node_was_well_for_long_then_its_pauses_begin_anew() -> None:
    rebirths: Rebirths[str] = Rebirths(10.0)
    asked = []
    for second in range(100):
        rebirths.want("n")
        asked += [second] * len(rebirths.due(float(second)))
    assert asked == [0, 10, 30, 70]
    rebirths.born("n")
    rebirths.want("n")
    assert rebirths.due(1000.0) == ["n"]
    assert rebirths.due(1009.0) == []
    assert rebirths.due(1010.0) == ["n"]
