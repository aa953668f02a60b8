"""The one place where a value becomes part of a query, a statement or a document in a foreign language.

What comes out can never end the literal it stands in: an escape is used only where the language's own document states
it; where none is known for sure, text that would need one is refused instead of guessed.
Source: OASIS OData 4.01 part 2, 5.1.1; OData 2.0 overview, 6 (primitive types); Oracle Fusion REST, `q` of framework 1
and 2 (literals in single or double quotes); Workday WQL (literals in single quotes); SQL:2016, 5.3; XML 1.0, 2.2.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Literal
from uuid import UUID
from xml.sax.saxutils import escape

Dialect = Literal["odata_v4", "odata_v2", "oracle_q1", "oracle_q2", "wql", "sql", "xml"]
"""A language that values are written into; oracle_q1 and oracle_q2 are Oracle's `q` of REST framework 1 and of 2 on."""


@dataclass(frozen=True, slots=True)
class EnumMember:
    """A member of an OData V4 enumeration: `Microsoft.Dynamics.DataEntities.NoYes`, `Yes`."""

    type_name: str
    member: str


Value = str | bool | int | float | Decimal | date | datetime | time | UUID | EnumMember | None
"""What may be written into a query."""

_PATH = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_NAMES: dict[str, re.Pattern[str]] = {
    "odata_v4": re.compile(rf"{_PATH}(?:/{_PATH})*"),
    "odata_v2": re.compile(rf"{_PATH}(?:/{_PATH})*"),
    "oracle_q1": re.compile(rf"{_PATH}(?:\.{_PATH})*"),
    "oracle_q2": re.compile(rf"{_PATH}(?:\.{_PATH})*"),
    "wql": re.compile(rf"{_PATH}(?:\.{_PATH})*"),
    "sql": re.compile(rf"{_PATH}(?:\.{_PATH})*"),
    "xml": re.compile(r"(?:[A-Za-z_][A-Za-z0-9_.\-]{0,127}:)?[A-Za-z_][A-Za-z0-9_.\-]{0,127}"),
}
_DOTTED = re.compile(rf"{_PATH}(?:\.{_PATH})*")

_CONTROLS = re.compile("[\x00-\x1f\x7f]")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def quote_value(dialect: Dialect, value: Value) -> str:
    """Return `value` as a literal of `dialect` (`xml`: as the text of an element or of a quoted attribute).

    Raises:
        ValueError: The language has no literal for it, or none that is safe: text that is not Unicode, a number that is
            not finite, a time without zone where one is needed, quotes that the language has no known escape for.
    """
    if isinstance(value, str):
        return _TEXT[dialect](_unicode(value))
    if value is None:
        return _NULL[dialect]
    if isinstance(value, bool):
        return _boolean(dialect, value)
    if isinstance(value, int | float | Decimal):
        return _number(dialect, value)
    if isinstance(value, EnumMember):
        return _enum(dialect, value)
    return _MOMENTS[dialect](value)


def quote_name(dialect: Dialect, name: str) -> str:
    """Return `name`, the name of a property, column or element (a path of them), if it is one in `dialect`.

    Raises:
        ValueError: It is none.
    """
    if not _NAMES[dialect].fullmatch(name):
        raise ValueError(f"{name!r} is no name of {dialect}")
    return name


_NULL: dict[str, str] = {
    "odata_v4": "null",
    "odata_v2": "null",
    "oracle_q1": "null",
    "oracle_q2": "null",
    "wql": "null",
    "sql": "NULL",
    "xml": "",
}


def _unicode(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"text with a lone surrogate at {error.start} cannot be sent") from None
    return text


def _doubled(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _sql(text: str) -> str:
    if "\0" in text:
        raise ValueError("text with U+0000 cannot stand in SQL")
    return _doubled(text)


def _either_quote(text: str) -> str:
    """Write Oracle's `q`, which takes both quotes: the one that does not occur, since no escape is documented."""
    if _CONTROLS.search(text) or "\\" in text or ("'" in text and '"' in text):
        raise ValueError(f"{text[:40]!r} has both quotes, a backslash or a control character, which q cannot hold")
    return f'"{text}"' if "'" in text else f"'{text}'"


def _by_example(text: str) -> str:
    if ";" in text:
        raise ValueError(f"{text[:40]!r} has a semicolon, which separates conditions in q of framework 1")
    return _either_quote(text)


def _single_quote(text: str) -> str:
    if _CONTROLS.search(text) or "\\" in text or "'" in text:
        raise ValueError(f"{text[:40]!r} has a quote, a backslash or a control character; WQL documents no escape")
    return f"'{text}'"


def _xml(text: str) -> str:
    if _NOT_XML.search(text):
        raise ValueError("text with a control character cannot stand in XML")
    # a carriage return would be read back as a line feed, and both as a blank in an attribute
    return escape(text, {'"': "&quot;", "'": "&apos;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"})


_TEXT: dict[str, Callable[[str], str]] = {
    "odata_v4": _doubled,
    "odata_v2": _doubled,
    "oracle_q1": _by_example,
    "oracle_q2": _either_quote,
    "wql": _single_quote,
    "sql": _sql,
    "xml": _xml,
}


def _boolean(dialect: Dialect, value: bool) -> str:
    if dialect == "sql":
        return "TRUE" if value else "FALSE"
    return "true" if value else "false"


def _number(dialect: Dialect, value: float | Decimal) -> str:
    if isinstance(value, int):
        return str(value)
    if not Decimal(value).is_finite():
        raise ValueError(f"{value} is no number that can be written")
    # plain digits: not every one of the languages has exponents
    text = format(Decimal(str(value)), "f")
    if dialect == "odata_v2":
        return text + ("M" if isinstance(value, Decimal) else "d")
    return text


def _enum(dialect: Dialect, value: EnumMember) -> str:
    if dialect != "odata_v4" or not _DOTTED.fullmatch(value.type_name):
        raise ValueError(f"{value.type_name!r} is no enumeration of {dialect}")
    return f"{value.type_name}{_doubled(_unicode(value.member))}"


Moment = date | datetime | time | UUID


def _moment_v4(value: Moment) -> str:
    if isinstance(value, datetime):
        return _instant(value)
    return str(value) if isinstance(value, UUID) else value.isoformat()


def _moment_v2(value: Moment) -> str:
    if isinstance(value, datetime):
        # Edm.DateTime is a wall time without zone, Edm.DateTimeOffset an instant
        return f"datetimeoffset'{_instant(value)}'" if value.tzinfo else f"datetime'{value.isoformat()}'"
    if isinstance(value, date):
        return f"datetime'{value.isoformat()}T00:00:00'"
    if isinstance(value, time):
        return f"time'PT{value.hour:02d}H{value.minute:02d}M{value.second:02d}S'"
    return f"guid'{value}'"


def _moment_text(value: Moment) -> str:
    return f"'{_moment_v4(value)}'"


def _moment_sql(value: Moment) -> str:
    if isinstance(value, datetime):
        return f"TIMESTAMP '{_instant(value).replace('T', ' ').replace('Z', '+00:00')}'"
    return f"DATE '{value.isoformat()}'" if isinstance(value, date) else f"'{_moment_v4(value)}'"


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError("a time in a filter needs its zone")
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


_MOMENTS: dict[str, Callable[[Moment], str]] = {
    "odata_v4": _moment_v4,
    "odata_v2": _moment_v2,
    "oracle_q1": _moment_text,
    "oracle_q2": _moment_text,
    "wql": _moment_text,
    "sql": _moment_sql,
    "xml": _moment_v4,
}
