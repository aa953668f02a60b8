"""JSON of foreign systems, read without losing a digit and written back as it was.

Numbers with a fraction or an exponent, and integers beyond 64 bits, are `Decimal`.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import orjson

from resources.core.errors import DataError


def parse_json(body: bytes) -> Any:
    """Return the value in `body`, UTF-8 (a byte order mark is passed over).

    Raises:
        DataError: Not UTF-8, not JSON, cut off, nested too deep, or NaN and Infinity, which JSON does not have.
    """
    try:
        return json.loads(body.decode("utf-8-sig"), parse_float=Decimal, parse_int=_integer, parse_constant=_refused)
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8 at byte {error.start} of {len(body)}") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"not JSON at character {error.pos} of {len(body)} bytes ({error.msg}); it may be cut off"
        ) from error
    except RecursionError as error:
        raise DataError("JSON nested too deep") from error


def dump_json(value: Any, *, sort_keys: bool = False) -> bytes:
    """Return `value` as compact JSON; a `Decimal` is written with the digits it has.

    Raises:
        DataError: Text that is not Unicode (a lone surrogate), or a type JSON does not have.
    """
    try:
        return orjson.dumps(value, default=_decimal, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except (orjson.JSONEncodeError, RecursionError) as error:
        raise DataError(f"cannot be written as JSON: {error}") from error


def _integer(text: str) -> int | Decimal:
    # orjson writes 64 bits at most, and int() refuses thousands of digits
    return int(text) if len(text) < 19 else Decimal(text)


def _refused(name: str) -> Any:
    raise DataError(f"not JSON: {name} is no number of JSON")


def _decimal(value: object) -> orjson.Fragment:
    if isinstance(value, Decimal):
        return orjson.Fragment(str(value))
    raise TypeError(f"{type(value).__name__} is not JSON")
