"""One poll: the blocks that were read, the tags that were refused, and the batch that comes of both. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch, Reject, Status, readings_batch, rejects_batch
from resources.core.tags import SensorCatalog
from resources.scada.modbus.codec import PollDecoder, Words
from resources.scada.modbus.config import ModbusTag
from resources.scada.modbus.exceptions import words
from resources.scada.modbus.planner import Block
from resources.scada.rejects import raw_value

_LATEST_US = to_micros(datetime(9999, 1, 1, tzinfo=UTC))


@dataclass(slots=True)
class Poll:
    """What a poll has brought so far."""

    read: list[tuple[Block, Words, int]] = field(default_factory=list)
    """Block, its words, receive time."""
    refused: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Position of a tag -> exception code, receive time."""
    cut: list[Block] = field(default_factory=list)
    """Stretches that the device refuses for good, as short as they could be made."""

    @property
    def answered(self) -> int:
        """How many tags got an answer, good or bad."""
        return sum(len(block.tags) for block, _, _ in self.read) + len(self.refused)


class PollAssembler:
    """Makes batches of polls; remembers the last reading of devices with a clock of their own."""

    def __init__(self, source: str, tags: Sequence[ModbusTag], catalog: SensorCatalog) -> None:
        """Number the tags' sensors by `catalog`."""
        self._source, self._tags = source, tags
        self._keys = np.array([catalog.key(tag.sensor_id) for tag in tags], dtype=np.int32)
        self._last_times = np.zeros(len(tags), dtype=np.uint64)
        self._last_values = np.full(len(tags), np.nan)
        self._decoder: PollDecoder | None = None
        self._decoded_blocks: list[Block] = []

    def batch(self, poll: Poll) -> tuple[ReadingBatch, int]:
        """Return the batch of a poll, and how many values were left out because the device had not renewed them."""
        rejects = [self._refusal(position, *why) for position, why in poll.refused.items()]
        readings, unchanged = self._readings(poll, rejects) if poll.read else (None, 0)
        batch = ReadingBatch(self._source, readings=readings, rejects=rejects_batch(rejects) if rejects else None)
        return batch, unchanged

    def _readings(self, poll: Poll, rejects: list[Reject]) -> tuple[pa.RecordBatch | None, int]:
        blocks = [block for block, _, _ in poll.read]
        if self._decoder is None or blocks != self._decoded_blocks:
            self._decoder, self._decoded_blocks = PollDecoder(self._tags, blocks), blocks
        decoder = self._decoder
        image = np.concatenate([read for _, read, _ in poll.read])
        values, device_times = decoder.values(image), decoder.times(image)
        received = np.array([received_us for _, _, received_us in poll.read], dtype=np.int64)[decoder.block_of_row]
        timeless = decoder.has_time & ((device_times == 0) | (device_times >= _LATEST_US))
        rejects += [self._timeless(decoder, row, device_times, received) for row in np.flatnonzero(timeless).tolist()]
        same = decoder.has_time & self._same(decoder, device_times, values)
        keep = ~(timeless | same)
        if not keep.any():
            return None, int(same.sum())
        times = np.where(decoder.has_time, device_times.astype(np.int64), received)
        keys = self._keys[decoder.tags]
        batch = readings_batch(times[keep], keys[keep], values[keep], int(Status.GOOD), received[keep])
        return batch, int(same.sum())

    def _same(
        self, decoder: PollDecoder, times: npt.NDArray[np.uint64], values: npt.NDArray[np.float64]
    ) -> npt.NDArray[np.bool_]:
        """Return where time and value are those of the poll before, and remember these."""
        last = self._last_values[decoder.tags]
        same: npt.NDArray[np.bool_] = (times == self._last_times[decoder.tags]) & (
            (values == last) | (np.isnan(values) & np.isnan(last))
        )
        self._last_times[decoder.tags], self._last_values[decoder.tags] = times, values
        same &= times != 0
        return same

    def _refusal(self, position: int, code: int, received_us: int) -> Reject:
        tag = self._tags[position]
        raw = raw_value(table=tag.table, address=tag.address, exception_code=code)
        return Reject(self._source, raw, (words(code),), received_us, sensor_id=tag.sensor_id)

    def _timeless(
        self, decoder: PollDecoder, row: int, times: npt.NDArray[np.uint64], received: npt.NDArray[np.int64]
    ) -> Reject:
        tag = self._tags[int(decoder.tags[row])]
        held = int(times[row])
        raw = raw_value(table=tag.table, address=tag.address, time_register=tag.time_register, time=held)
        reason = f"time_register {tag.time_register} holds {held}, which is no time in microseconds since 1970"
        return Reject(self._source, raw, (reason,), int(received[row]), sensor_id=tag.sensor_id)
