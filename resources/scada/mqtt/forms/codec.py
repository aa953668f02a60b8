"""MQTT payloads to readings: the messages of one turn in, one batch of readings, texts and rejects out. Pure.

Messages of topics that are read alike are decoded together, by column; whatever is out of the ordinary in one of them
sends them the careful way, one by one, where each fault has its reason.
Times: RFC 3339 text with a zone, or epoch milliseconds. Values: JSON numbers and booleans (1, 0), texts, states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from resources.core.readings import Reject, readings_batch
from resources.core.receive_times import ReceiveTimes
from resources.core.tags import SensorCatalog
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.forms import columns
from resources.scada.mqtt.forms.reader import RefusedError, TagReader, Value, parsed
from resources.scada.mqtt.link.wire import CutPayload, Message
from resources.scada.mqtt.payloads import Decoded
from resources.scada.mqtt.rows import Rows
from resources.scada.rejects import raw_payload


@dataclass(slots=True)
class _Topic:
    """The tags of one topic."""

    form: str
    readers: list[TagReader] = field(default_factory=list)
    keys: tuple[int, ...] = ()
    layout: _Layout | None = None
    """None: only the careful way can read it."""


@dataclass(slots=True, eq=False)
class _Layout:
    """What topics that are read alike have in common: the places of each tag, in order."""

    readers: Sequence[TagReader]
    """Those of the first topic found; their places are those of all."""
    messages: list[Message] = field(default_factory=list)
    documents: list[Any] = field(default_factory=list)
    topics: list[_Topic] = field(default_factory=list)
    odd: bool = False
    """One of the messages is no JSON."""


class MessageDecoder:
    """Turns the messages of one source into readings; keeps the last receive time it gave out."""

    def __init__(
        self,
        source: str,
        tags: Sequence[MqttTag],
        catalog: SensorCatalog,
        *,
        payload: Literal["json", "csv", "sparkplug_b"] = "json",
        csv_delimiter: str = ",",
    ) -> None:
        """Sort the tags by topic; `payload` is the form where a tag names none."""
        self._source, self._delimiter = source, csv_delimiter
        self._topics: dict[bytes, _Topic] = {}
        for tag in tags:
            form = tag.payload or payload
            topic = self._topics.setdefault(tag.topic.encode(), _Topic(form))
            topic.readers.append(TagReader(tag, catalog.key(tag.sensor_id), form))
        layouts: dict[object, _Layout] = {}
        for topic in self._topics.values():
            topic.keys = tuple(reader.key for reader in topic.readers)
            if all(reader.is_plain for reader in topic.readers):
                places = tuple((r.value_path, r.time_path, r.status_path, r.unit_path) for r in topic.readers)
                topic.layout = layouts.setdefault(places, _Layout(topic.readers))
        self._layouts = tuple(layouts.values())
        self._scale, self._offset = np.ones(len(catalog)), np.zeros(len(catalog))
        for topic in self._topics.values():
            for reader in topic.readers:
                self._scale[reader.key], self._offset[reader.key] = reader.scale, reader.offset
        self._receive_times = ReceiveTimes()

    def decode(self, messages: Sequence[Message], received_us: int, *, only_if_newer: bool = False) -> Decoded:
        """Return the readings, texts and rejects of `messages`; those of one sensor in their order."""
        rows, topics, loads = Rows(), self._topics, orjson.loads
        for message in messages:
            topic = topics.get(message[0])
            if topic is None:
                self._reject_unknown(rows, message, received_us)
            elif (layout := topic.layout) is None:
                self._carefully(rows, topic, message, received_us)
            else:
                try:
                    layout.documents.append(loads(message[1]))
                except orjson.JSONDecodeError:
                    layout.odd = True  # all of them the careful way: messages of a topic keep their order
                layout.messages.append(message)
                layout.topics.append(topic)
        for layout in self._layouts:
            if layout.messages:
                self._together(rows, layout, received_us)
        return rows.decoded(received_us, only_if_newer=only_if_newer)

    def _together(self, rows: Rows, layout: _Layout, received_us: int) -> None:
        messages, documents, topics = layout.messages, layout.documents, layout.topics
        odd, layout.odd = layout.odd, False
        layout.messages, layout.documents, layout.topics = [], [], []
        blocks = None if odd else self._blocks(layout, documents, topics, received_us)
        if blocks is not None:
            rows.blocks += blocks
            return
        for message, topic in zip(messages, topics, strict=True):
            self._carefully(rows, topic, message, received_us)

    def _blocks(
        self, layout: _Layout, documents: list[Any], topics: list[_Topic], received_us: int
    ) -> list[pa.RecordBatch] | None:
        """Return the readings of documents that are read alike, one block for each tag; None if one is odd."""
        # messages taken in one turn share a receive time; a sensor's readings must not
        blocks, given = [], self._receive_times.copy()
        all_keys = np.array([topic.keys for topic in topics], dtype=np.int32)
        times: dict[tuple[str, ...], npt.NDArray[np.int64] | None] = {}
        for number, reader in enumerate(layout.readers):
            keys = all_keys[:, number]
            found = columns.picked(documents, reader.value_path)
            values = None if found is None else columns.numbers(found)
            status = 0 if reader.status_path is None else columns.statuses(documents, reader.status_path)
            if values is None or status is None or not _in_own_units(documents, topics, number, reader.unit_path):
                return None
            if reader.time_path is None:
                first = given.take(received_us, len(values))
                at: npt.NDArray[np.int64] | None = np.arange(first, first + len(values), dtype=np.int64)
            else:
                if reader.time_path not in times:
                    stated = columns.picked(documents, reader.time_path)
                    times[reader.time_path] = None if stated is None else columns.times_us(stated)
                at = times[reader.time_path]
            if at is None:
                return None
            values = values * self._scale[keys] + self._offset[keys]
            blocks.append(readings_batch(at, keys, values, status, received_us))
        self._receive_times = given
        return blocks

    def _carefully(self, rows: Rows, topic: _Topic, message: Message, received_us: int) -> None:
        try:
            payload: Any = parsed(message.payload, topic.form, self._delimiter)
        except RefusedError as refused:
            payload = refused
        for reader in topic.readers:
            if not isinstance(payload, RefusedError):
                found = reader.values(payload, message.payload)
            elif reader.takes_any_text and message.payload and not isinstance(message.payload, CutPayload):
                found = reader.values(message.payload.decode("utf-8", "replace"), message.payload)
            else:
                found = iter((payload,))
            for value in found:
                self._add(rows, reader, value, message, received_us)

    def _add(
        self, rows: Rows, reader: TagReader, found: Value | RefusedError, message: Message, received_us: int
    ) -> None:
        if isinstance(found, RefusedError):
            self._reject(rows, message, received_us, str(found), sensor_id=reader.sensor_id, time_us=found.time_us)
            return
        time_us = self._receive_times.take(received_us) if found.time_us is None else found.time_us
        if reader.is_text:
            assert not isinstance(found.value, float)
            rows.texts.append((time_us, reader.key, found.value, found.status))
            return
        if found.value is None:
            rows.missing.append(len(rows.times))
        rows.times.append(time_us)
        rows.keys.append(reader.key)
        rows.values.append(found.value if isinstance(found.value, float) else 0.0)
        rows.statuses.append(found.status)

    def _reject_unknown(self, rows: Rows, message: Message, received_us: int) -> None:
        topic = message.topic.decode("utf-8", "replace").replace("\x00", "")
        self._reject(rows, message, received_us, f"unknown sensor: no tag of this source names the topic {topic}")

    def _reject(
        self, rows: Rows, message: Message, received_us: int, reason: str, *,
        sensor_id: str | None = None, time_us: int | None = None,
    ) -> None:  # fmt: skip
        raw = raw_payload(message.payload)
        rows.rejects.append(Reject(self._source, raw, (reason,), received_us, time_us=time_us, sensor_id=sensor_id))


def _in_own_units(
    documents: Sequence[Any], topics: Sequence[_Topic], number: int, unit_path: tuple[str, ...] | None
) -> bool:
    if unit_path is None:
        return True
    return columns.picked(documents, unit_path) == [topic.readers[number].unit for topic in topics]
