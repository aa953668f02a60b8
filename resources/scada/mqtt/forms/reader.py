"""What one tag reads from one payload, with the reason where it cannot: every form and every fault. Pure.

This is the careful way; `codec` takes a shorter one for whole batches of payloads that have nothing unusual in them.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import orjson

from resources.core.clock import to_micros
from resources.core.errors import ConfigError
from resources.core.physics.units import conversion
from resources.core.readings import Status
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.link.wire import CutPayload

STATUSES = {status.name.lower(): int(status) for status in Status}
EARLIEST_US, LATEST_US = (to_micros(datetime(year, 1, 1, tzinfo=UTC)) for year in (1, 9999))
ABSENT: Any = object()
EACH = "*"
"""The step of a path that goes through all items of a list."""

_BAD = int(Status.BAD)
_BOOLEANS = {"true": 1.0, "false": 0.0}
_TYPE_WORDS: dict[type, str] = {str: "text", list: "a list", dict: "an object", bool: "a boolean"}


class RefusedError(Exception):
    """Why a value cannot become a reading, in words; `time_us` where the time was understood."""

    def __init__(self, reason: str, time_us: int | None = None) -> None:
        """Keep the time beside the reason."""
        super().__init__(reason)
        self.time_us = time_us


class Value(NamedTuple):
    """One value of a payload; `time_us` None: it came without a time, the receive time counts."""

    time_us: int | None
    value: float | str | None
    status: int


def parsed(payload: bytes, form: str, delimiter: str) -> Any:
    """Return a payload as JSON data, or as rows of columns (CSV).

    Raises:
        RefusedError: It is neither.
    """
    if not payload:
        raise RefusedError("the payload is empty")
    if isinstance(payload, CutPayload):
        raise RefusedError(f"the payload is too large: a packet of {payload.size:,} bytes")
    if form == "csv":
        try:
            return list(csv.reader(payload.decode().splitlines(), delimiter=delimiter, strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise RefusedError("garbage payload: it is no line of CSV") from error
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError:
        try:
            return json.loads(payload)  # knows NaN and Infinity
        except (ValueError, RecursionError) as error:
            raise RefusedError("garbage payload: it is not JSON") from error


class TagReader:
    """Where one tag's value, time, status and unit are in a payload."""

    def __init__(self, tag: MqttTag, key: int, form: str) -> None:
        """Take the places from `tag`; `form` is `json` or `csv`."""
        self.sensor_id, self.key, self.unit, self.is_text = tag.sensor_id, key, tag.unit, tag.is_text
        self.scale, self.offset, self.states = tag.scale, tag.offset, tag.states
        self.converts = (tag.scale, tag.offset) != (1.0, 0.0)
        self.csv = form == "csv"
        whole = not tag.value_path
        self.value_path = steps(tag.value_path)
        self.time_path = None if whole else self._place(tag.time_path)
        self.status_path = None if whole else self._place(tag.status_path)
        self.unit_path = None if whole else self._place(tag.unit_path)
        self._units: dict[str, tuple[float, float] | str] = {}

    def _place(self, path: str | None) -> tuple[str, ...] | None:
        # what is no number is the default of JSON, and no column
        return None if path is None or (self.csv and not path.isdecimal()) else steps(path)

    @property
    def is_plain(self) -> bool:
        """Whether it may be read by column: a number at one place in JSON."""
        return not (self.is_text or self.states or self.csv or EACH in self.value_path)

    @property
    def takes_any_text(self) -> bool:
        """Whether a payload that is no JSON is a value all the same: a bare text, or the name of a state."""
        return not self.csv and not self.value_path and (self.is_text or bool(self.states))

    def values(self, payload: Any, raw: bytes) -> Iterator[Value | RefusedError]:
        """Yield the values in a payload that was `parsed`, in order; what cannot be read in its place."""
        if self.csv:
            for row in payload:
                if row:
                    yield self._one(row, row, self.value_path, 0)
        elif EACH in self.value_path:
            yield from self._each(payload)
        elif not self.value_path and self.is_text:
            yield Value(None, payload if isinstance(payload, str) else raw.decode("utf-8", "replace"), 0)
        else:
            yield self._one(payload, payload, self.value_path, 0)

    def _each(self, payload: Any) -> Iterator[Value | RefusedError]:
        depth = self.value_path.index(EACH)
        items = pick(payload, self.value_path[:depth])
        if not isinstance(items, list):
            yield RefusedError(f"no list at {'.'.join(self.value_path[:depth]) or 'the top'} in the payload")
            return
        for item in items:
            yield self._one(payload, item, self.value_path[depth + 1 :], depth + 1)

    def _one(self, payload: Any, item: Any, path: tuple[str, ...], depth: int) -> Value | RefusedError:
        """Return the value at `path` of `item`; what else is at places that share its first `depth` steps is there."""

        def at(place: tuple[str, ...]) -> Any:
            if depth and place[:depth] == self.value_path[:depth]:
                return pick(item, place[depth:])
            return pick(payload, place)

        time_us: int | None = None
        try:
            if self.time_path is not None:
                time_us = _time_us(at(self.time_path), self.time_path, columns=self.csv)
            status = 0 if self.status_path is None else _status(at(self.status_path))
            value = self._value(pick(item, path))
            if value is None and status != _BAD:
                raise RefusedError("the value is missing although the status is not bad")
            if isinstance(value, float):
                value = value * self.scale + self.offset if self.converts else value
                value = value if self.unit_path is None else self._in_unit(value, at(self.unit_path))
        except RefusedError as refused:
            return RefusedError(str(refused), time_us)
        return Value(time_us, value, status)

    def _value(self, found: Any) -> float | str | None:
        if found is None or (self.csv and found == ""):
            return None
        if found is ABSENT:
            raise RefusedError(f"no value at {'.'.join(self.value_path)} in the payload")
        if self.states:
            return self._state(found)
        if self.is_text:
            if not isinstance(found, str):
                raise RefusedError(f"wrong type: the value is {_word(found)} where a text is due")
            return found
        return _number(found, columns=self.csv)

    def _state(self, found: Any) -> float:
        name = found if isinstance(found, str) else orjson.dumps(found).decode()
        number = self.states.get(name)
        if number is None:
            raise RefusedError(f"the state {name[:40]!r} is none of {', '.join(self.states)[:200]}")
        return float(number)

    def _in_unit(self, value: float, stated: Any) -> float:
        if stated is ABSENT or stated is None or stated in (self.unit, ""):
            return value
        code = str(stated)[:40]
        known = self._units.get(code)
        if known is None:
            try:
                known = conversion(code, self.unit, None)
            except (ConfigError, ArithmeticError) as error:
                known = f"the unit {code!r} does not fit: {error}"
            if len(self._units) < 100:  # a peer must not fill our memory with invented units
                self._units[code] = known
        if isinstance(known, str):
            raise RefusedError(known)
        return value * known[0] + known[1]


def steps(path: str) -> tuple[str, ...]:
    """Return the steps of a dotted path."""
    return tuple(path.split(".")) if path else ()


def pick(payload: Any, path: tuple[str, ...]) -> Any:
    """Return what is at `path`, or ABSENT."""
    for name in path:
        if type(payload) is dict:
            payload = payload.get(name, ABSENT)
        elif type(payload) is list and name.isdecimal() and int(name) < len(payload):
            payload = payload[int(name)]
        else:
            return ABSENT
    return payload


def _word(found: Any) -> str:
    return _TYPE_WORDS.get(type(found), "a number" if isinstance(found, int | float) else type(found).__name__)


def _number(found: Any, *, columns: bool) -> float:
    if columns:
        text = found.strip()
        try:
            return _BOOLEANS[text.lower()] if text.lower() in _BOOLEANS else float(text)
        except ValueError as error:
            raise RefusedError("wrong type: the value is text where a number is due") from error
    if not isinstance(found, int | float):
        raise RefusedError(f"wrong type: the value is {_word(found)} where a number is due")
    try:
        return float(found)
    except OverflowError as error:
        raise RefusedError("the value is too large") from error


def _status(found: Any) -> int:
    if found is ABSENT or found == "":
        return 0
    status = STATUSES.get(found) if type(found) is str else None
    if status is None:
        raise RefusedError(f"the status {str(found)[:40]!r} is none of good, uncertain, bad")
    return status


def _time_us(found: Any, place: tuple[str, ...], *, columns: bool) -> int:
    path = ".".join(place)
    if columns and isinstance(found, str):
        found = _column_time(found.strip())
    if found is ABSENT or found is None:
        raise RefusedError(f"no time at {path}: the payload has none (time_path: null takes the receive time)")
    if type(found) is str:
        return _text_time(found)
    if type(found) is int or type(found) is float:
        # the first comparison also keeps NaN and infinity away from round()
        if not EARLIEST_US / 1000 <= found < LATEST_US / 1000:
            raise RefusedError(f"the time {str(found)[:40]} is not in epoch milliseconds")
        return found * 1000 if type(found) is int else round(found * 1000)
    raise RefusedError(f"the time at {path} is neither RFC 3339 text nor epoch milliseconds")


def _column_time(text: str) -> Any:
    if not text:
        return ABSENT
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def _text_time(text: str) -> int:
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        try:
            instant = datetime.fromisoformat(text.upper())  # RFC 3339 allows t and z
        except ValueError as error:
            raise RefusedError(f"the time {text[:40]!r} is not RFC 3339") from error
    if instant.tzinfo is None:
        raise RefusedError(f"the time {text[:40]!r} has no zone: send Z or an offset such as +01:00")
    return to_micros(instant)
