from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sensors.collector.connection_health.history import History, Record
from tests.unit.sensors.collector.connection_health.tables import SLOT_S, START, slots


def history(*names: str, most: int = 1000) -> History:
    return History(names, slot_s=SLOT_S, most=most)


def test_history_when_it_is_full_then_the_newest_slots_stay() -> None:
    kept = history("a", most=100)
    for number in range(250):
        kept.add(slots(1, first=number))
    assert len(kept.slots()) == 100
    assert kept.slots().times[-1] == START + SLOT_S * 250


def test_record_when_written_and_read_then_the_same_to_three_digits(tmp_path: Path) -> None:
    kept = history("a")
    kept.limit_s = np.array([3.0])
    kept.add(slots(50, latency_s=np.geomspace(0.001, 2.0, 50), retried=(3,), down_s={7: 2.5}))
    kept.record().write(tmp_path / "held.npz")
    found = Record.read(tmp_path / "held.npz")
    assert (found.sources, found.slot_s, found.limit_s.tolist()) == (("a",), SLOT_S, [3.0])
    np.testing.assert_allclose(found.slots.latency_s, kept.slots().latency_s, rtol=1e-3)
    np.testing.assert_array_equal(found.slots.retried, kept.slots().retried)
    np.testing.assert_array_equal(found.slots.down_s, kept.slots().down_s)


def test_recall_when_sources_have_changed_then_each_gets_its_own(tmp_path: Path) -> None:
    before = history("old", "a")
    pair = slots(4, latency_s=0.5)
    before.add(
        type(pair)(
            pair.times,
            np.array([[0.1, 0.2]] * 4),
            np.array([[True, False]] * 4),
            pair.unread_s.repeat(2, 1),
            pair.down_s.repeat(2, 1),
        )
    )
    after = history("a", "new")
    after.recall(before.record(), since=START + 2 * SLOT_S)
    held = after.slots()
    assert len(held) == 3
    assert held.latency_s[0].tolist() == pytest.approx([0.2, np.nan], nan_ok=True)
    assert not held.retried.any()


def test_recall_when_the_slots_are_of_another_length_then_nothing() -> None:
    other = History(("a",), slot_s=1.0, most=10)
    other.add(slots(3))
    kept = history("a")
    kept.recall(other.record(), since=0.0)
    assert len(kept.slots()) == 0


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04 but no archive"])
def test_record_when_the_file_is_damaged_then_it_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "held.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="held.npz|pickle|No data"):
        Record.read(path)
