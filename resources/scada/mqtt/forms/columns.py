"""Many payloads of one make to columns, without a look at each: None as soon as anything is out of the ordinary. Pure.

Measured on 5,000 JSON payloads of 200 bytes (us each, best of 20): orjson one by one 0.58, joined into one document
0.57; the three fields by list comprehension 0.07; RFC 3339 texts by Arrow 0.08, by `datetime.fromisoformat` 0.5.
So payloads are parsed one by one, and everything behind that is done by column.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.clock import to_micros
from resources.scada.mqtt.forms.reader import EARLIEST_US, LATEST_US, STATUSES

_NUMBERS = {float, int, bool}
_TIMESTAMP = pa.timestamp("us", tz="UTC")
_MANY = 64
"""Texts from which on Arrow, which takes 50 us to begin with, is quicker than Python's own parser."""
_TROUBLE = (KeyError, IndexError, TypeError, AttributeError, OverflowError, ValueError)
"""What the shortcuts below meet in a payload that is not like the others (pa.ArrowInvalid is a ValueError)."""

Documents = Sequence[Any]


def picked(documents: Documents, path: tuple[str, ...]) -> Sequence[Any] | None:
    """Return what is at `path` in each document; None if one of them has it not."""
    found: Sequence[Any] = documents
    try:
        for name in path:
            step: str | int = int(name) if name.isdecimal() and type(found[0]) is list else name
            found = [item[step] for item in found]
    except _TROUBLE:
        return None
    return found


def numbers(found: Sequence[Any]) -> npt.NDArray[np.float64] | None:
    """Return values as floats; None if one is no number."""
    if not _NUMBERS.issuperset(map(type, found)):
        return None
    try:
        return np.array(found, dtype=np.float64)
    except OverflowError:
        return None


def times_us(found: Sequence[Any]) -> npt.NDArray[np.int64] | None:
    """Return times, all RFC 3339 texts or all whole epoch milliseconds, as microseconds; None if one is neither."""
    kinds = set(map(type, found))
    try:
        if kinds == {str}:
            times = _many_texts(found) if len(found) >= _MANY else _few_texts(found)
        elif kinds == {int}:
            millis = np.array(found, dtype=np.int64)
            if not ((millis >= EARLIEST_US // 1000) & (millis < LATEST_US // 1000)).all():
                return None
            times = millis * 1000
        else:
            return None
    except _TROUBLE:
        return None
    return times if ((times >= EARLIEST_US) & (times < LATEST_US)).all() else None


def _few_texts(found: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.array([to_micros(datetime.fromisoformat(text)) for text in found], dtype=np.int64)


def _many_texts(found: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.asarray(pa.array(found, pa.string()).cast(_TIMESTAMP).view(pa.int64()))


def statuses(documents: Documents, path: tuple[str, ...]) -> Sequence[int] | int | None:
    """Return the status codes at `path`, one number if all are alike, good where there is none; None if one is odd."""
    holders = picked(documents, path[:-1])
    if holders is None:
        return None
    try:
        found = [holder.get(path[-1], "good") for holder in holders]
        kinds = set(found)
        if len(kinds) == 1:
            return STATUSES[found[0]]
        return [STATUSES[name] for name in found]
    except _TROUBLE:
        return None
