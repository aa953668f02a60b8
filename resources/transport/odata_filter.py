"""Filters of OData, built as a tree and written in the dialect of V4 or V2: every value is quoted, every name checked.

Source: OASIS OData 4.01 part 2, 5.1.1 (V4); OData 2.0 URI conventions, 4.5 (V2: `substringof`, no `in`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resources.transport.quoting import Value, quote_name, quote_value

ODataDialect = Literal["odata_v4", "odata_v2"]

_OPERATORS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})


@dataclass(frozen=True, slots=True)
class Compare:
    """`name operator value`, with eq, ne, lt, le, gt or ge."""

    name: str
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Matches:
    """Text that contains, starts with or ends with another."""

    function: Literal["contains", "startswith", "endswith"]
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """A property that has one of some values: `in` is written as `or`, since few servers know it."""

    name: str
    values: Sequence[Value]


@dataclass(frozen=True, slots=True)
class AllOf:
    """All terms hold."""

    terms: Sequence[Filter]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the terms holds."""

    terms: Sequence[Filter]


@dataclass(frozen=True, slots=True)
class Not:
    """The term does not hold."""

    term: Filter


Filter = Compare | Matches | OneOf | AllOf | AnyOf | Not


def written(term: Filter, dialect: ODataDialect = "odata_v4") -> str:
    """Return the filter as OData writes it; `and`, `or` and `not` are bracketed wherever they are within another.

    Raises:
        ValueError: A name that is none, an operator that is none, a value without literal, a choice of nothing.
    """
    match term:
        case Compare(name, operator, value):
            if operator not in _OPERATORS:
                raise ValueError(f"{operator!r} is no comparison")
            return f"{quote_name(dialect, name)} {operator} {quote_value(dialect, value)}"
        case Matches():
            return _matches(term, dialect)
        case OneOf(name, values):
            return written(AnyOf([Compare(name, "eq", value) for value in values]), dialect)
        case Not(inner):
            return f"not ({written(inner, dialect)})"
        case AllOf(terms):
            return _joined(" and ", terms, dialect)
        case AnyOf(terms):
            return _joined(" or ", terms, dialect)


def _matches(term: Matches, dialect: ODataDialect) -> str:
    name, value = quote_name(dialect, term.name), quote_value(dialect, term.value)
    if term.function not in ("contains", "startswith", "endswith"):
        raise ValueError(f"{term.function!r} is no function of a filter")
    if dialect == "odata_v2" and term.function == "contains":
        return f"substringof({value},{name})"
    return f"{term.function}({name},{value})"


def _joined(word: str, terms: Sequence[Filter], dialect: ODataDialect) -> str:
    if not terms:
        raise ValueError("a filter of no terms")
    if len(terms) == 1:
        return written(terms[0], dialect)
    return word.join(
        f"({text})" if isinstance(term, AllOf | AnyOf | OneOf) else text
        for term, text in ((term, written(term, dialect)) for term in terms)
    )
