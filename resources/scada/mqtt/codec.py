"""MQTT payloads to readings: one message in, one reading for each tag of its topic out. Pure.

The wire is one message per reading, so this is a loop over messages; it fills plain lists and builds one Arrow batch.
Times: RFC 3339 text with a zone, or epoch milliseconds. Values: JSON numbers and booleans (1, 0).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from resources.core.clock import to_micros
from resources.core.errors import ConfigError
from resources.core.readings import Reject, Status, readings_batch, rejects_batch
from resources.core.tags import SensorCatalog
from resources.core.units import conversion
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.wire import Message
from resources.scada.rejects import raw_payload

_STATUSES = {status.name.lower(): int(status) for status in Status}
_BAD = int(Status.BAD)
_EARLIEST_US, _LATEST_US = (to_micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))
_ABSENT = object()


class _RefusedError(Exception):
    """Why a value cannot become a reading, in words."""


@dataclass(slots=True)
class _Rows:
    times: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    """Positions of rows that have no value."""
    rejects: list[Reject] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of some messages: one batch of readings, one of rejects, either may be absent."""

    readings: pa.RecordBatch | None
    rejects: pa.RecordBatch | None


class MessageDecoder:
    """Turns the messages of one source into readings; keeps the last receive time it gave out."""

    def __init__(self, source: str, tags: Sequence[MqttTag], catalog: SensorCatalog) -> None:
        """Sort the tags by topic."""
        self._source = source
        self._topics: dict[bytes, list[_TagReader]] = {}
        for tag in tags:
            self._topics.setdefault(tag.topic.encode(), []).append(_TagReader(tag, catalog.key(tag.sensor_id)))
        self._last_receive_us = 0

    def decode(self, messages: Sequence[Message], received_us: int) -> Decoded:
        """Return the readings and rejects of `messages`, in their order."""
        rows = _Rows()
        for message in messages:
            readers = self._topics.get(message.topic)
            if readers is None:
                topic = message.topic.decode("utf-8", "replace").replace("\x00", "")
                self._reject(
                    rows, message, received_us, f"unknown sensor: no tag of this source names the topic {topic}"
                )
                continue
            try:
                payload = orjson.loads(message.payload)
            except orjson.JSONDecodeError:
                payload = _lenient(message.payload)
            if payload is _ABSENT:
                reason = "garbage payload: it is not JSON" if message.payload else "the payload is empty"
                for reader in readers:
                    self._reject(rows, message, received_us, reason, sensor_id=reader.sensor_id)
                continue
            for reader in readers:
                self._read(rows, reader, payload, message, received_us)
        return _batches(rows, received_us)

    def _read(self, rows: _Rows, reader: _TagReader, payload: Any, message: Message, received_us: int) -> None:
        time_us: int | None = None
        try:
            time_us = self._receive_time(received_us) if reader.time_path is None else reader.time_us(payload)
            status = 0 if reader.status_path is None else reader.status(payload)
            value = reader.value(payload)
        except _RefusedError as refused:
            self._reject(rows, message, received_us, str(refused), sensor_id=reader.sensor_id, time_us=time_us)
            return
        if value is None:
            if status != _BAD:
                reason = "the value is missing although the status is not bad"
                self._reject(rows, message, received_us, reason, sensor_id=reader.sensor_id, time_us=time_us)
                return
            rows.missing.append(len(rows.times))
            value = 0.0
        rows.times.append(time_us)
        rows.keys.append(reader.key)
        rows.values.append(value)
        rows.statuses.append(status)

    def _receive_time(self, received_us: int) -> int:
        # messages taken in one turn share a receive time; a sensor's readings must not
        self._last_receive_us = max(received_us, self._last_receive_us + 1)
        return self._last_receive_us

    def _reject(
        self, rows: _Rows, message: Message, received_us: int, reason: str, *,
        sensor_id: str | None = None, time_us: int | None = None,
    ) -> None:  # fmt: skip
        raw = raw_payload(message.payload)
        rows.rejects.append(Reject(self._source, raw, (reason,), received_us, time_us=time_us, sensor_id=sensor_id))


class _TagReader:
    """Where one tag's value, time, status and unit are in a payload."""

    __slots__ = (
        "_convert",
        "_units",
        "key",
        "offset",
        "scale",
        "sensor_id",
        "status_path",
        "time_path",
        "unit",
        "unit_path",
        "value_path",
    )

    def __init__(self, tag: MqttTag, key: int) -> None:
        self.sensor_id, self.key, self.unit = tag.sensor_id, key, tag.unit
        self.scale, self.offset = tag.scale, tag.offset
        whole = not tag.value_path
        self.value_path = _parts(tag.value_path)
        self.time_path = None if whole or tag.time_path is None else _parts(tag.time_path)
        self.status_path = None if whole or tag.status_path is None else _parts(tag.status_path)
        self.unit_path = None if whole or tag.unit_path is None else _parts(tag.unit_path)
        self._convert = (tag.scale, tag.offset) != (1.0, 0.0)
        self._units: dict[str, tuple[float, float] | str] = {}

    def time_us(self, payload: Any) -> int:
        assert self.time_path is not None
        found = _pick(payload, self.time_path)
        if type(found) is str:
            return _text_time(found)
        if type(found) is int or type(found) is float:
            # the first comparison also keeps NaN and infinity away from round()
            if not _EARLIEST_US / 1000 <= found < _LATEST_US / 1000:
                raise _RefusedError(f"the time {str(found)[:40]} is not in epoch milliseconds")
            return found * 1000 if type(found) is int else round(found * 1000)
        path = ".".join(self.time_path)
        if found is _ABSENT or found is None:
            raise _RefusedError(f"no time at {path}: the payload has none (time_path: null takes the receive time)")
        raise _RefusedError(f"the time at {path} is neither RFC 3339 text nor epoch milliseconds")

    def status(self, payload: Any) -> int:
        assert self.status_path is not None
        found = _pick(payload, self.status_path)
        if found is _ABSENT:
            return 0
        status = _STATUSES.get(found) if type(found) is str else None
        if status is None:
            raise _RefusedError(f"the status {str(found)[:40]!r} is none of good, uncertain, bad")
        return status

    def value(self, payload: Any) -> float | None:
        found = _pick(payload, self.value_path) if self.value_path else payload
        kind = type(found)
        if kind is float:
            value = found
        elif kind is int or kind is bool:
            try:
                value = float(found)
            except OverflowError as error:
                raise _RefusedError("the value is too large") from error
        elif found is None:
            return None
        elif found is _ABSENT:
            raise _RefusedError(f"no value at {'.'.join(self.value_path)} in the payload")
        else:
            raise _RefusedError(
                f"wrong type: the value is {_TYPE_WORDS.get(kind, kind.__name__)} where a number is due"
            )
        if self._convert:
            value = value * self.scale + self.offset
        return value if self.unit_path is None else self._in_unit(value, _pick(payload, self.unit_path))

    def _in_unit(self, value: float, stated: Any) -> float:
        if stated is _ABSENT or stated is None or stated == self.unit:
            return value
        code = str(stated)[:40]
        known = self._units.get(code)
        if known is None:
            try:
                known = conversion(code, self.unit)
            except (ConfigError, ArithmeticError) as error:
                known = f"the unit {code!r} does not fit: {error}"
            if len(self._units) < 100:  # a peer must not fill our memory with invented units
                self._units[code] = known
        if isinstance(known, str):
            raise _RefusedError(known)
        return value * known[0] + known[1]


_TYPE_WORDS: dict[type, str] = {str: "text", list: "a list", dict: "an object"}


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split(".")) if path else ()


def _pick(payload: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if type(payload) is dict:
            payload = payload.get(name, _ABSENT)
        elif type(payload) is list and name.isdecimal() and int(name) < len(payload):
            payload = payload[int(name)]
        else:
            return _ABSENT
    return payload


def _text_time(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        try:
            instant = datetime.fromisoformat(text.upper())  # RFC 3339 allows t and z
        except ValueError as error:
            raise _RefusedError(f"the time {text[:40]!r} is not RFC 3339") from error
    if instant.tzinfo is None:
        raise _RefusedError(f"the time {text[:40]!r} has no zone: send Z or an offset such as +01:00")
    return to_micros(instant)


def _lenient(payload: bytes) -> Any:
    """Return what Python's parser makes of it, which knows NaN and Infinity, or _ABSENT."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return _ABSENT


def _batches(rows: _Rows, received_us: int) -> Decoded:
    readings = None
    if rows.times:
        missing = None
        if rows.missing:
            missing = np.zeros(len(rows.times), dtype=np.bool_)
            missing[rows.missing] = True
        readings = readings_batch(rows.times, rows.keys, rows.values, rows.statuses, received_us, missing=missing)
    return Decoded(readings, rejects_batch(rows.rejects) if rows.rejects else None)
