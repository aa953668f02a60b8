from __future__ import annotations

import numpy as np
import pytest

from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch
from resources.window_buffer.disk.columns import Columns, Rows, TextRows
from resources.window_buffer.disk.frames import HEADER_BYTES, MAGIC, Damage, Frame, Stamp, encode, scan
from tests.unit.resources.window_buffer.plant import SECOND, T0, readings, reject, texts

BASE = to_micros(T0)


def part(batch: ReadingBatch) -> Rows:
    return Rows(
        Columns.from_batches([batch.readings]) if batch.readings else None,
        TextRows.from_batches([batch.texts]) if batch.texts else None,
        batch.rejects,
    )


def frame(rows: Rows, sequence: int = 1) -> bytes:
    return b"".join(bytes(one) for one in encode(rows, Stamp(sequence, BASE, BASE, b"[]", b"{}")))


MIXED = [
    frame(part(readings([T0, T0 + SECOND], [0, 1], [1, 2])), 1),
    frame(part(texts(T0, 3, "on")), 3),
    frame(part(reject(T0)), 4),
]


def test_frame_when_encoded_then_begins_as_documented() -> None:
    one = frame(part(readings(T0, [0], [1])))
    assert one[:20].hex() == "474c5746" + "01000000" + "01000000" + "00000000" * 2
    assert HEADER_BYTES == 88
    assert len(one) % 8 == 0


def test_scan_when_frames_follow_each_other_then_all_rows_come_back() -> None:
    data = b"".join(MIXED)
    found = list(scan(data, 0, len(data)))
    assert [type(item) for item in found] == [Frame] * 3
    first, second, third = found
    assert isinstance(first, Frame)
    assert first.rows.readings is not None
    assert first.rows.readings.time.tolist() == [BASE, BASE + 1_000_000]
    assert first.next_sequence == 3
    assert isinstance(second, Frame)
    assert second.rows.texts is not None
    assert second.rows.texts.batch.column(2).to_pylist() == ["on"]
    assert isinstance(third, Frame)
    assert third.rows.rejects is not None
    assert third.rows.rejects.column("raw").to_pylist() == ['{"odd": 1}']


def test_scan_when_receive_times_lie_hours_apart_then_they_come_back() -> None:
    received = np.array([BASE, BASE + 10**11])
    columns = Columns(np.array([BASE, BASE]), np.zeros(2, np.int32), np.zeros(2), np.zeros(2, np.uint8), received)
    data = frame(Rows(columns))
    (found,) = scan(data, 0, len(data))
    assert isinstance(found, Frame)
    assert found.rows.readings is not None
    assert found.rows.readings.received.tolist() == received.tolist()


def test_scan_when_file_is_cut_at_any_byte_then_whole_frames_remain_and_the_rest_is_damage() -> None:
    data = b"".join(MIXED)
    ends = np.cumsum([len(one) for one in MIXED])
    for size in range(len(data)):
        found = list(scan(data[:size], 0, size))
        whole = [item for item in found if isinstance(item, Frame)]
        assert len(whole) == int((ends <= size).sum())
        at = whole[-1].end if whole else 0
        assert [item for item in found if isinstance(item, Damage)] == ([Damage(at, size)] if at < size else [])


def test_scan_when_any_byte_is_wrong_then_only_its_frame_is_lost() -> None:
    data = b"".join(MIXED)
    ends = np.cumsum([len(one) for one in MIXED])
    for at in range(len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 0x55
        found = list(scan(bytes(wrong), 0, len(wrong)))
        hit = int(np.searchsorted(ends, at, side="right"))
        header_padding = 84 <= at - (ends[hit] - len(MIXED[hit])) < 88
        whole = [item.offset for item in found if isinstance(item, Frame)]
        expected = [int(end) - len(one) for n, (end, one) in enumerate(zip(ends, MIXED, strict=True)) if n != hit]
        assert header_padding or whole == expected


@pytest.mark.parametrize("data", [MAGIC, MAGIC * 50, b"\0" * 500], ids=["magic", "magics", "zeros"])
def test_scan_when_there_is_no_frame_then_all_is_one_damage(data: bytes) -> None:
    assert list(scan(data, 0, len(data))) == [Damage(0, len(data))]
    assert list(scan(memoryview(data), 0, len(data))) == [Damage(0, len(data))]
