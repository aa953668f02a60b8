"""Tokens and literals of `$filter` and of keys, in the two dialects: `2026-01-31` in V4, `datetime'2026-...'` in V2."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from resources.demo_plant.erp.sap.odata.refusal import BadQueryError
from resources.demo_plant.erp.sap.odata.schema import Kind

_TEXT = r"'(?:[^']|'')*'"
_LITERALS = {
    4: (
        _TEXT + r"|\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d)|\d{4}-\d\d-\d\d|\d\d:\d\d(?::\d\d(?:\.\d+)?)?"
        r"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|(?:true|false|null)\b"
    ),
    2: (
        r"(?:datetimeoffset|datetime|time|guid)" + _TEXT + "|" + _TEXT + r"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?[MmLlDdFf]?"
        r"|(?:true|false|null)\b"
    ),
}
_NAME = r"[A-Za-z_]\w*(?:/[A-Za-z_]\w*)*"
_TOKENS = {
    version: re.compile(rf"\s*(?:(?P<literal>{literal})|(?P<name>{_NAME})|(?P<mark>[(),:]))")
    for version, literal in _LITERALS.items()
}
_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?")

LITERAL_KINDS: dict[Kind, tuple[str, ...]] = {
    "String": ("String",),
    "Date": ("Date",),
    "TimeOfDay": ("TimeOfDay",),
    "DateTimeOffset": ("DateTimeOffset",),
    "Decimal": ("Number",),
    "Double": ("Number",),
    "Int32": ("Number",),
    "Boolean": ("Boolean",),
}
"""Type of a property -> kinds of literals it may be compared with."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token and where it stands."""

    kind: str
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal's kind, and its value in comparable form."""

    kind: str
    value: Any


def tokens(text: str, version: int) -> list[Token]:
    """Return the tokens of a filter.

    Raises:
        BadQueryError: Something that is no token of that version.
    """
    found: list[Token] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKENS[version].match(text, position)
        if match is None or match.lastgroup is None:
            raise BadQueryError(f"Invalid expression at position {position} of $filter")
        found.append(Token(match.lastgroup, match.group(match.lastgroup), match.start(match.lastgroup)))
        position = match.end()
    return found


def read_literal(written: str, version: int) -> Literal:
    """Return what a literal says.

    Raises:
        BadQueryError: A date or time that is none.
    """
    if written in ("true", "false"):
        return Literal("Boolean", written == "true")
    if written == "null":
        return Literal("Null", None)
    if written.startswith("'"):
        return Literal("String", written[1:-1].replace("''", "'"))
    try:
        return _typed_v2(written) if version == 2 else _typed_v4(written)
    except (ValueError, ArithmeticError) as error:
        raise BadQueryError(f"Literal {written} is not valid") from error


def _typed_v4(written: str) -> Literal:
    if "T" in written:
        return Literal("DateTimeOffset", datetime.fromisoformat(written))
    if ":" in written:
        return Literal("TimeOfDay", time.fromisoformat(written).isoformat())
    if re.fullmatch(r"\d{4}-\d\d-\d\d", written):
        return Literal("Date", date.fromisoformat(written).isoformat())
    return Literal("Number", Decimal(written))


def _typed_v2(written: str) -> Literal:
    prefix, quote, rest = written.partition("'")
    if not quote:
        return Literal("Number", Decimal(written.rstrip("MmLlDdFf")))
    inner = rest[:-1]
    if prefix == "datetime":
        # dates are instants at midnight without zone in V2
        return Literal("Date", datetime.fromisoformat(inner).date().isoformat())
    if prefix == "datetimeoffset":
        return Literal("DateTimeOffset", datetime.fromisoformat(inner))
    match = _DURATION.fullmatch(inner) if prefix == "time" else None
    if match is None:
        raise ValueError(written)
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return Literal("TimeOfDay", time(hours, minutes, seconds).isoformat())
