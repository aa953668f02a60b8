"""One poll: the blocks that were read, the items that were refused, and the batch that comes of both. No I/O."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.clock import to_micros
from resources.core.readings import ReadingBatch, Reject, Status, readings_batch, rejects_batch, texts_batch
from resources.core.tags import SensorCatalog
from resources.scada.modbus.codec import Decoded, Mask, PollDecoder, text_of
from resources.scada.modbus.planner import Block
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.wire.exceptions import words
from resources.scada.modbus.wire.pdu import Words
from resources.scada.rejects import raw_value

_LATEST_US = to_micros(datetime(9999, 1, 1, tzinfo=UTC))
_MOST_DECODERS = 64
"""Sets of blocks whose decoder is kept: those of the combinations of poll intervals."""


@dataclass(slots=True)
class Poll:
    """What a poll has brought so far."""

    tags: frozenset[int]
    """Positions of the tags it is for."""
    read: list[tuple[Block, Words, int]] = field(default_factory=list)
    """Block, its words, receive time."""
    refused: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Position of an item -> exception code, receive time."""
    cut: list[Block] = field(default_factory=list)
    """Stretches that the device refuses for good, as short as they could be made."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What comes of a poll."""

    batch: ReadingBatch
    unchanged: int
    """Values left out because the device had not renewed them."""
    absent: npt.NDArray[np.intp]
    """Tags that were read and that the device does not implement."""
    present: npt.NDArray[np.intp]
    """Tags that were read and have a value."""


@dataclass(slots=True)
class _Rows:
    """The rows of one decoded poll, on their way into the batch."""

    decoder: PollDecoder
    found: Decoded
    received: npt.NDArray[np.int64]
    texts: dict[int, str] = field(default_factory=dict)


class PollAssembler:
    """Makes batches of polls; remembers the last reading of devices with a clock of their own."""

    def __init__(self, source: str, registers: RegisterMap, catalog: SensorCatalog) -> None:
        """Number the tags' sensors by `catalog`."""
        self._source, self._registers, self._tags = source, registers, registers.tags
        self._keys = np.array([catalog.key(tag.sensor_id) for tag in self._tags], dtype=np.int32)
        self._last_times = np.zeros(len(self._tags), dtype=np.uint64)
        self._last_values = np.full(len(self._tags), np.nan)
        self._decoders: dict[tuple[Block, ...], PollDecoder] = {}

    def outcome(self, poll: Poll) -> Outcome:
        """Return what a poll comes to."""
        refused = {tag: item for item in poll.refused for tag in self._registers.tags_with(item) if tag in poll.tags}
        rejects = [self._refusal(tag, item, *poll.refused[item]) for tag, item in refused.items()]
        if not poll.read:
            nobody = np.zeros(0, dtype=np.intp)
            return Outcome(self._batch(None, None, rejects), 0, nobody, nobody)
        decoder = self._decoder(tuple(block for block, _, _ in poll.read))
        found = decoder.decode(np.concatenate([read for _, read, _ in poll.read]))
        received = np.array([received_us for _, _, received_us in poll.read], dtype=np.int64)[decoder.block_of_row]
        rows = _Rows(decoder, found, received)
        if found.strings:
            self._read_strings(rows)
        timeless = decoder.has_time & ((found.times == 0) | (found.times >= _LATEST_US))
        same = decoder.has_time & self._same(decoder, found) & ~found.undecoded
        unfit = timeless | found.undecoded
        rejects += [self._reject(rows, row, bool(timeless[row])) for row in np.flatnonzero(unfit).tolist()]
        readings, texts = self._columns(rows, ~(unfit | same))
        tags = decoder.tags
        return Outcome(
            self._batch(readings, texts, rejects),
            int((same & ~unfit).sum()),
            tags[found.absent],
            tags[~(found.absent | found.undecoded)],
        )

    def _decoder(self, blocks: tuple[Block, ...]) -> PollDecoder:
        decoder = self._decoders.get(blocks)
        if decoder is None:
            if len(self._decoders) >= _MOST_DECODERS:
                self._decoders.pop(next(iter(self._decoders)))
            decoder = self._decoders[blocks] = PollDecoder(self._registers, blocks)
        return decoder

    def _read_strings(self, rows: _Rows) -> None:
        found = rows.found
        for row, characters in found.strings.items():
            tag = self._tags[int(rows.decoder.tags[row])]
            try:
                text = text_of(characters, tag.encoding)
            except UnicodeDecodeError:
                found.undecoded[row] = True
                continue
            if tag.not_implemented == "sunspec" and not text:
                found.absent[row] = True
            elif not tag.states:
                rows.texts[row] = text
                # a number that stands for the text where it is compared with the one before
                found.values[row] = zlib.crc32(text.encode())
            elif text in tag.states:
                found.values[row] = tag.states[text]
            else:
                found.undecoded[row] = True

    def _columns(self, rows: _Rows, keep: Mask) -> tuple[pa.RecordBatch | None, pa.RecordBatch | None]:
        decoder, found = rows.decoder, rows.found
        times = np.where(decoder.has_time, found.times.astype(np.int64), rows.received)
        keys = self._keys[decoder.tags]
        numbers = keep & ~decoder.is_text
        readings = None
        if numbers.any():
            absent = found.absent[numbers]
            statuses = np.where(absent, np.uint8(Status.BAD), np.uint8(Status.GOOD))
            missing = absent if absent.any() else None
            readings = readings_batch(
                times[numbers], keys[numbers], found.values[numbers], statuses, rows.received[numbers], missing=missing
            )
        chosen = np.flatnonzero(keep & decoder.is_text).tolist()
        if not chosen:
            return readings, None
        texts = texts_batch(
            times[chosen].tolist(),
            keys[chosen].tolist(),
            [rows.texts.get(row) for row in chosen],
            [int(Status.BAD if found.absent[row] else Status.GOOD) for row in chosen],
            int(rows.received[chosen].max()),
        )
        return readings, texts

    def _batch(
        self, readings: pa.RecordBatch | None, texts: pa.RecordBatch | None, rejects: list[Reject]
    ) -> ReadingBatch:
        return ReadingBatch(self._source, readings, texts, rejects_batch(rejects) if rejects else None)

    def _same(self, decoder: PollDecoder, found: Decoded) -> Mask:
        """Return where time and value are those of the poll before, and remember these."""
        times, values = found.times, np.where(found.absent, np.nan, found.values)
        last = self._last_values[decoder.tags]
        same: Mask = (times == self._last_times[decoder.tags]) & (
            (values == last) | (np.isnan(values) & np.isnan(last))
        )
        self._last_times[decoder.tags], self._last_values[decoder.tags] = times, values
        same &= times != 0
        return same

    def _refusal(self, position: int, item: int, code: int, received_us: int) -> Reject:
        tag = self._tags[position]
        place = self._registers.items[item]
        raw = raw_value(unit_id=place.unit_id, table=place.table, address=place.first, exception_code=code)
        reason = words(code) if item == position else f"its scale_register {place.first}: {words(code)}"
        return Reject(self._source, raw, (reason,), received_us, sensor_id=tag.sensor_id)

    def _reject(self, rows: _Rows, row: int, is_timeless: bool) -> Reject:
        tag = self._tags[int(rows.decoder.tags[row])]
        held = int(rows.found.times[row])
        parts: dict[str, object] = {"table": tag.where, "address": tag.first_address}
        if is_timeless:
            time = tag.zero_based("time_register")
            parts |= {"time_register": time, "time": held}
            reason = f"time_register {time} holds {held}, which is no time in microseconds since 1970"
            return Reject(self._source, raw_value(**parts), (reason,), int(rows.received[row]), sensor_id=tag.sensor_id)
        parts["data_type"] = tag.data_type
        if row in rows.found.strings:
            parts["bytes"] = rows.found.strings[row].hex()
            reason = (
                "its registers hold a text that is none of the states" if tag.states else "its registers hold no text"
            )
            reason += f" (encoding {tag.encoding})"
        elif tag.data_type.startswith("bcd"):
            reason = f"its registers hold no {tag.data_type}: a digit above 9"
        else:
            reason = "its scale_register holds no power of ten from -10 to 10"
        time_us = held if rows.decoder.has_time[row] else int(rows.received[row])
        return Reject(
            self._source,
            raw_value(**parts),
            (reason,),
            int(rows.received[row]),
            time_us=time_us,
            sensor_id=tag.sensor_id,
        )
