"""Filters of OData, built as a tree and written in the dialect of V4 or V2: every value is quoted, every name checked.

Source: OASIS OData 4.01 part 2, 5.1.1 (V4); OData 2.0 URI conventions, 4.5 (V2: `substringof`, no `in`, no lambda).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from resources.transport.text.quoting import Value, quote_name, quote_value

ODataDialect = Literal["odata_v4", "odata_v2"]

FunctionName = Literal[
    "tolower", "toupper", "trim", "length", "year", "month", "day", "hour", "minute", "second", "date", "time"
]
"""Functions of one property; V2 lacks `date` and `time`."""

_OPERATORS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
_FUNCTIONS = frozenset({"tolower", "toupper", "trim", "length", "year", "month", "day", "hour", "minute", "second"})
_FUNCTIONS_V4 = frozenset({"date", "time"})
_VARIABLE = re.compile(r"[a-z][a-z0-9]{0,15}")


@dataclass(frozen=True, slots=True)
class Applied:
    """A function of a property, to be compared in its place: `tolower(Material)`, `year(CreationDate)`."""

    function: FunctionName
    name: str


Operand = str | Applied
"""What stands on the left of a comparison: a property's name, or a function of one."""


@dataclass(frozen=True, slots=True)
class Compare:
    """`name operator value`, with eq, ne, lt, le, gt or ge."""

    name: Operand
    operator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Matches:
    """Text that contains, starts with or ends with another."""

    function: Literal["contains", "startswith", "endswith"]
    name: Operand
    value: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """A property that has one of some values: written as `or`, since few servers know `in`; V4 alone has that."""

    name: Operand
    values: Sequence[Value]
    by_in: bool = False
    """True writes `in`, for a server that is known to have it."""


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


@dataclass(frozen=True, slots=True)
class Related:
    """A term about the entities behind a navigation, of which one (`any`) or each (`all`) fulfils it; V4 alone."""

    navigation: str
    quantifier: Literal["any", "all"]
    term: Filter
    variable: str = "x"
    """Name of the variable; one within another needs a name of its own."""


Filter = Compare | Matches | OneOf | AllOf | AnyOf | Not | Related


def written(term: Filter, dialect: ODataDialect = "odata_v4") -> str:
    """Return the filter as OData writes it; `and`, `or` and `not` are bracketed wherever they are within another.

    Raises:
        ValueError: A name that is none, an operator that is none, a value without literal, a choice of nothing,
            something that the dialect does not have.
    """
    return _Writer(dialect).written(term)


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes terms; within a lambda, properties are those of its variable."""

    dialect: ODataDialect
    variable: str = ""

    def written(self, term: Filter) -> str:
        match term:
            case Compare(name, operator, value):
                if operator not in _OPERATORS:
                    raise ValueError(f"{operator!r} is no comparison")
                return f"{self._operand(name)} {operator} {quote_value(self.dialect, value)}"
            case Matches():
                return self._matches(term)
            case OneOf():
                return self._one_of(term)
            case Not(inner):
                return f"not ({self.written(inner)})"
            case AllOf(terms) | AnyOf(terms):
                return self._joined(" and " if isinstance(term, AllOf) else " or ", terms)
            case Related():
                return self._related(term)

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, Applied):
            known = _FUNCTIONS | _FUNCTIONS_V4 if self.dialect == "odata_v4" else _FUNCTIONS
            if operand.function not in known:
                raise ValueError(f"{operand.function!r} is no function of a property in {self.dialect}")
            return f"{operand.function}({self._operand(operand.name)})"
        name = quote_name(self.dialect, operand)
        return f"{self.variable}/{name}" if self.variable else name

    def _matches(self, term: Matches) -> str:
        name, value = self._operand(term.name), quote_value(self.dialect, term.value)
        if term.function not in ("contains", "startswith", "endswith"):
            raise ValueError(f"{term.function!r} is no function of a filter")
        if self.dialect == "odata_v2" and term.function == "contains":
            return f"substringof({value},{name})"
        return f"{term.function}({name},{value})"

    def _one_of(self, term: OneOf) -> str:
        if not term.by_in:
            return self.written(AnyOf([Compare(term.name, "eq", value) for value in term.values]))
        if self.dialect != "odata_v4" or not term.values:
            raise ValueError("`in` needs OData V4 and at least one value")
        return f"{self._operand(term.name)} in ({','.join(quote_value(self.dialect, v) for v in term.values)})"

    def _related(self, term: Related) -> str:
        if self.dialect != "odata_v4" or term.quantifier not in ("any", "all"):
            raise ValueError("a term about related entities is `any` or `all`, and needs OData V4")
        if not _VARIABLE.fullmatch(term.variable) or term.variable == self.variable:
            raise ValueError(f"{term.variable!r} is no name of a variable here")
        inner = _Writer(self.dialect, term.variable).written(term.term)
        return f"{self._operand(term.navigation)}/{term.quantifier}({term.variable}:{inner})"

    def _joined(self, word: str, terms: Sequence[Filter]) -> str:
        if not terms:
            raise ValueError("a filter of no terms")
        if len(terms) == 1:
            return self.written(terms[0])
        return word.join(
            f"({text})" if isinstance(term, AllOf | AnyOf) or (isinstance(term, OneOf) and not term.by_in) else text
            for term, text in ((term, self.written(term)) for term in terms)
        )
