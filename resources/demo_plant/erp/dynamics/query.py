"""The dialect of OData V4 that Finance & Operations speaks, as far as the Dynamics-like service answers it.

Filters with comparisons, `and`, `or`, `not` and parentheses; enumerations by their full type name and by `eq` and `ne`
alone; text compared without regard to case, with `*` as wildcard of an equality. No `in`, no `has`, no functions, no
lambdas, no paths through navigation properties: what a real one refuses is refused.
Source: learn.microsoft.com, fin-ops-core, data-entities/odata.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from resources.demo_plant.erp.dynamics.entities import DATE_TIME, DECIMAL, ENUMS, INT32, INT64, NAMESPACE, STRING

Row = Mapping[str, Any]

_TOKEN = re.compile(
    r"\s*(?:(?P<symbol>[()])"
    r"|(?P<literal>(?:[A-Za-z_][\w.]*)?'(?:[^']|'')*')"
    r"|(?P<time>\d{4}-\d{2}-\d{2}(?:T[\d:.]+(?:Z|[+-]\d{2}:\d{2}))?)"
    r"|(?P<number>-?\d+(?:\.\d+)?)"
    r"|(?P<word>[A-Za-z_][\w./]*))\s*"
)
_COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}
_NUMBERS = (DECIMAL, INT32, INT64)
_ONE_DAY = timedelta(days=1)


class BadQueryError(Exception):
    """The service does not understand the request; `status` is what it answers."""

    def __init__(self, message: str, status: int = 400) -> None:
        """Keep the HTTP status beside the message."""
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison; text is held in lower case, times as aware datetimes."""

    name: str
    kind: str
    comparison: str
    value: Any

    def holds(self, row: Row) -> bool:
        """Return whether the row fulfils it; what is missing fulfils nothing."""
        held = row.get(self.name)
        if held is None:
            return (self.comparison == "eq") == (self.value is None)
        if isinstance(self.value, re.Pattern):
            return bool(self.value.fullmatch(str(held))) == (self.comparison == "eq")
        if self.kind == DATE_TIME:
            held = moment(str(held))
        elif self.kind == STRING:
            held = str(held).lower()
        try:
            return _COMPARISONS[self.comparison](held, self.value)
        except TypeError:
            return False


@dataclass(frozen=True, slots=True)
class Combined:
    """Terms joined by `and` or `or`; `not` is one term negated."""

    word: str
    terms: tuple[Comparison | Combined, ...]

    def holds(self, row: Row) -> bool:
        """Return whether the row fulfils it."""
        if self.word == "not":
            return not self.terms[0].holds(row)
        return (all if self.word == "and" else any)(term.holds(row) for term in self.terms)


Filter = Comparison | Combined


def parse_filter(text: str, properties: Mapping[str, str]) -> Filter:
    """Return the filter of an entity with `properties` (name -> type).

    Raises:
        BadQueryError: No filter of this dialect, or of other properties.
    """
    return _Parser(text, properties).parse()


def moment(text: str) -> datetime:
    """Return a DateTimeOffset, or a date's midnight, as aware UTC; the beginning of time if it is neither."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def days_asked(found: Filter | None, name: str, first: date, last: date) -> tuple[date, date]:
    """Return the first and last day that rows can have by the comparisons of `name` that must hold."""
    terms = found.terms if isinstance(found, Combined) and found.word == "and" else (found,)
    for term in terms:
        if isinstance(term, Combined) and term.word == "and":
            first, last = days_asked(term, name, first, last)
        if not isinstance(term, Comparison) or term.name != name or not isinstance(term.value, datetime):
            continue
        day = term.value.date()
        if term.comparison in ("eq", "ge", "gt"):
            first = max(first, day)
        if term.comparison in ("eq", "le", "lt"):
            last = min(last, day if term.value > moment(day.isoformat()) or term.comparison != "lt" else day - _ONE_DAY)
    return first, last


class _Parser:
    """Recursive descent: or < and < not < comparison."""

    def __init__(self, text: str, properties: Mapping[str, str]) -> None:
        self._text, self._properties, self._position = text, properties, 0
        self._tokens: list[tuple[str, str]] = []
        while self._position < len(text):
            match = _TOKEN.match(text, self._position)
            if match is None or match.end() == self._position:
                raise BadQueryError(f"Syntax error at position {self._position} in '{text[:200]}'.")
            self._tokens.append((str(match.lastgroup), match.group(str(match.lastgroup))))
            self._position = match.end()
        self._next = 0

    def parse(self) -> Filter:
        found = self._either()
        if self._next < len(self._tokens):
            raise self._broken()
        return found

    def _broken(self) -> BadQueryError:
        word = self._tokens[self._next][1] if self._next < len(self._tokens) else "the end"
        if word in ("in", "has"):
            return BadQueryError(f"The operator '{word}' is not supported.")
        return BadQueryError(f"Syntax error at {word!r} in '{self._text[:200]}'.")

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self, *kinds: str) -> tuple[str, str]:
        if self._next >= len(self._tokens) or self._tokens[self._next][0] not in kinds:
            raise self._broken()
        self._next += 1
        return self._tokens[self._next - 1]

    def _joined(self, word: str, part: Callable[[], Filter]) -> Filter:
        terms = [part()]
        while self._peek() == word:
            self._next += 1
            terms.append(part())
        return terms[0] if len(terms) == 1 else Combined(word, tuple(terms))

    def _either(self) -> Filter:
        return self._joined("or", lambda: self._joined("and", self._term))

    def _term(self) -> Filter:
        if self._peek() == "not":
            self._next += 1
            return Combined("not", (self._term(),))
        if self._peek() == "(":
            self._next += 1
            found = self._either()
            if self._take("symbol")[1] != ")":
                raise self._broken()
            return found
        return self._comparison()

    def _comparison(self) -> Comparison:
        name = self._take("word")[1]
        kind = self._properties.get(name)
        if kind is None:
            raise BadQueryError(f"Could not find a property named '{name}' on type '{NAMESPACE}'.")
        word = self._peek()
        if word not in _COMPARISONS:
            raise self._broken()
        self._next += 1
        return Comparison(name, kind, word, _value(kind, word, *self._take("literal", "time", "number", "word")))


def _value(kind: str, comparison: str, form: str, written: str) -> Any:
    """Return a literal that fits a property's type; only text may be null."""
    if written == "null":
        return None
    if kind.startswith(NAMESPACE):
        return _member(kind, comparison, written)
    if kind == STRING and form == "literal" and written.startswith("'"):
        text = written[1:-1].replace("''", "'")
        if "*" in text and comparison in ("eq", "ne"):
            return re.compile(".*".join(re.escape(part) for part in text.split("*")), re.IGNORECASE | re.DOTALL)
        return text.lower()
    if kind == DATE_TIME and form == "time":
        return moment(written)
    if kind in _NUMBERS and form == "number":
        return float(written)
    raise BadQueryError(f"A binary operator with incompatible types was detected: '{kind}' and {written[:60]}.")


def _member(kind: str, comparison: str, written: str) -> str:
    named, _, quoted = written.partition("'")
    if named != kind:
        raise BadQueryError(f"A binary operator with incompatible types was detected: '{kind}' and {written[:60]}.")
    if comparison not in ("eq", "ne"):
        raise BadQueryError(f"The operator '{comparison}' is not supported for enumerations.")
    member = quoted.removesuffix("'")
    if member not in ENUMS[kind.removeprefix(f"{NAMESPACE}.")]:
        raise BadQueryError(f"The string '{written[:80]}' is not a valid enumeration type constant.")
    return member
