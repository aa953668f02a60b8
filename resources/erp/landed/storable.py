"""Records in the form PostgreSQL's jsonb can hold: what it cannot is replaced, and the record says so."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from resources.erp.records import ALTERED, Record
from resources.transport.text.json_text import dump_json

_MOST_DIGITS = 1000
"""jsonb keeps numbers as numeric, which ends at 131,072 digits, 16,383 after the point; no amount has 1,000."""


def storable_record(record: Record) -> tuple[dict[str, Any], bytes]:
    """Return a record as it is kept, and its JSON.

    Text loses U+0000 and lone surrogates (each becomes U+FFFD), a number of more than 1,000 digits becomes text; such a
    record gains the member `ALTERED`, so that it is rejected later with that reason.
    """
    plain = _plain(record)
    if plain != record:
        plain = {**plain, ALTERED: True}
    return plain, dump_json(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() and "\0" not in value else _clean(value)
    if isinstance(value, dict):
        return {_plain(name): _plain(held) for name, held in value.items()}
    if isinstance(value, list):
        return [_plain(held) for held in value]
    if isinstance(value, Decimal) and _is_too_long(value):
        return str(value)
    return value


def _is_too_long(number: Decimal) -> bool:
    _, digits, exponent = number.as_tuple()
    return abs(number.adjusted()) > _MOST_DIGITS or len(digits) > _MOST_DIGITS or not isinstance(exponent, int)


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")
