"""The parameter `q` as the fake understands it: query by example (framework 1) and row match expressions (2 on).

Framework 1: conditions `attribute operator literal` separated by `;`, all of which hold. From framework 2: `and`, `or`,
`not`, parentheses, LIKE, IN, BETWEEN, IS NULL, and attributes of children with dots; a record matches if one of its
children does. What it does not understand it refuses, as a real service does.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from resources.demo_plant.erp.oracle.records import Record
from resources.demo_plant.erp.oracle.resources import AttributeType, Resource

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'[^']*'|\"[^\"]*\")|(?P<number>-?\d+(?:\.\d+)?)|(?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,)"
    r"|(?P<word>[A-Za-z_][\w.]*))"
)
_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

Holds = Callable[[Record], bool]


class BadQueryError(Exception):
    """The fake does not understand the request."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A comparison that every match fulfils: what is generated can be limited by it."""

    attribute: str
    sign: str
    value: Any


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed `q`: whether a record matches, and the comparisons that all matches fulfil."""

    holds: Holds
    bounds: tuple[Bound, ...] = ()


EVERYTHING = Expression(lambda record: True)
"""No `q` at all."""


def parse(resource: Resource, text: str, framework: int) -> Expression:
    """Return the expression in `text` by the grammar of a framework version.

    Raises:
        BadQueryError: It is none, or names an attribute that the resource does not have.
    """
    if framework == 1:
        return _all_of([_Parser(resource, part, framework).condition() for part in _conditions(text)])
    parser = _Parser(resource, text, framework)
    expression = parser.disjunction()
    parser.end()
    return expression


def _conditions(text: str) -> Iterator[str]:
    part, quote = "", ""
    for character in text:
        if character == ";" and not quote:
            yield part
            part = ""
            continue
        if character in "'\"" and quote in ("", character):
            quote = "" if quote else character
        part += character
    yield part


def _all_of(parts: list[Expression]) -> Expression:
    bounds = tuple(bound for part in parts for bound in part.bounds)
    return Expression(lambda record: all(part.holds(record) for part in parts), bounds)


class _Parser:
    """Reads one expression from left to right."""

    def __init__(self, resource: Resource, text: str, framework: int) -> None:
        self._resource = resource
        self._framework = framework
        self._tokens = list(_tokens(text))
        self._at = 0

    def disjunction(self) -> Expression:
        """Read conditions joined by `or`."""
        parts = [self._conjunction()]
        while self._word("or"):
            parts.append(self._conjunction())
        if len(parts) == 1:
            return parts[0]
        return Expression(lambda record: any(part.holds(record) for part in parts))

    def _conjunction(self) -> Expression:
        parts = [self._factor()]
        while self._word("and"):
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else _all_of(parts)

    def _factor(self) -> Expression:
        if self._word("not"):
            negated = self._factor()
            return Expression(lambda record: not negated.holds(record))
        if self._sign("("):
            inner = self.disjunction()
            self._expect(")")
            return inner
        return self._comparison()

    def condition(self) -> Expression:
        """Read the one condition that there is, of framework 1."""
        found = self._comparison()
        self.end()
        return found

    def end(self) -> None:
        """Refuse what stands behind the expression."""
        if self._at < len(self._tokens):
            raise BadQueryError(f"the expression is not understood at {self._tokens[self._at][1]!r}")

    def _comparison(self) -> Expression:
        kind, name = self._next()
        attribute_type = self._resource.type_of(name) if kind == "word" else None
        if attribute_type is None or ("." in name and self._framework == 1):
            raise BadQueryError(f"URL request parameter q cannot be used: {name} is no queryable attribute")
        kind, sign = self._next()
        if kind == "sign" and sign in _SIGNS:
            value = self._value(attribute_type)
            test = _SIGNS[sign]
            return Expression(_on(name, attribute_type, lambda held: test(held, value)), (Bound(name, sign, value),))
        if kind == "word" and sign.lower() == "like":
            pattern = _like(str(self._value("string")))
            return Expression(_on(name, "string", lambda held: pattern.fullmatch(str(held)) is not None))
        if self._framework == 1 or kind != "word":
            raise BadQueryError(f"{sign!r} is no operator")
        return self._wordy(name, attribute_type, sign.lower())

    def _wordy(self, name: str, attribute_type: AttributeType, word: str) -> Expression:
        if word == "is":
            wanted = not self._word("not")
            if not self._word("null"):
                raise BadQueryError("IS is followed by NULL or NOT NULL")
            return Expression(lambda record: any(held is None for held in _values(record, name)) == wanted)
        if word == "between":
            low = self._value(attribute_type)
            if not self._word("and"):
                raise BadQueryError("BETWEEN needs AND")
            high = self._value(attribute_type)
            return Expression(
                _on(name, attribute_type, lambda held: bool(low <= held <= high)),
                (Bound(name, ">=", low), Bound(name, "<=", high)),
            )
        if word == "in":
            self._expect("(")
            members = [self._value(attribute_type)]
            while self._sign(","):
                members.append(self._value(attribute_type))
            self._expect(")")
            return Expression(_on(name, attribute_type, lambda held: held in members))
        raise BadQueryError(f"{word!r} is no operator")

    def _value(self, attribute_type: AttributeType) -> Any:
        kind, text = self._next()
        bare = text[1:-1] if kind == "text" else text
        if kind == "sign" or (kind == "word" and bare.lower() not in ("true", "false") and self._framework > 1):
            raise BadQueryError(f"{text!r} is no literal")
        return convert(attribute_type, bare)

    def _next(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise BadQueryError("the expression ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _word(self, word: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at][0] == "word"
        found = found and self._tokens[self._at][1].lower() == word
        self._at += found
        return found

    def _sign(self, sign: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at] == ("sign", sign)
        self._at += found
        return found

    def _expect(self, sign: str) -> None:
        if not self._sign(sign):
            raise BadQueryError(f"{sign!r} is missing")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadQueryError(f"the expression is not understood at character {position}")
        kind = str(match.lastgroup)
        yield kind, match.group(kind)
        position = match.end()


def convert(attribute_type: AttributeType, text: str) -> Any:
    """Return a literal as the value an attribute of that type has.

    Raises:
        BadQueryError: It is none.
    """
    try:
        if attribute_type in ("integer", "number"):
            return float(text) if attribute_type == "number" else int(text)
        if attribute_type == "date":
            return date.fromisoformat(text[:10])
        if attribute_type == "datetime":
            found = datetime.fromisoformat(text)
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    except ValueError as error:
        raise BadQueryError(f"{text!r} is no {attribute_type}") from error
    return text.lower() == "true" if attribute_type == "boolean" else text


def _like(pattern: str) -> re.Pattern[str]:
    # % and * both stand for any characters: framework 1 has the one, row match the other
    return re.compile("".join(".*" if c in "%*" else re.escape(c) for c in pattern), re.IGNORECASE | re.DOTALL)


def _on(name: str, attribute_type: AttributeType, test: Callable[[Any], bool]) -> Holds:
    def holds(record: Record) -> bool:
        return any(held is not None and test(_held(attribute_type, held)) for held in _values(record, name))

    return holds


def _held(attribute_type: AttributeType, value: Any) -> Any:
    return convert(attribute_type, value) if attribute_type in ("date", "datetime") else value


def _values(record: Record, name: str) -> Iterator[Any]:
    child, dot, rest = name.partition(".")
    if not dot:
        yield record.get(name)
        return
    for below in record.get(child) or ():
        yield from _values(below, rest)
