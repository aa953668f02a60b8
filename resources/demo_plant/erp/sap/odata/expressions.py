"""What a filter says, as objects that hold for a document or not; and which days it leaves open."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Protocol

from resources.demo_plant.erp.sap.books.book import Document
from resources.demo_plant.erp.sap.odata.schema import Kind

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")
}
TEXT_TESTS: dict[int, dict[str, Callable[[str, str], bool]]] = {
    4: {"contains": lambda a, b: b in a, "startswith": str.startswith, "endswith": str.endswith},
    2: {"substringof": lambda a, b: a in b, "startswith": str.startswith, "endswith": str.endswith},
}
TEXT_FUNCTIONS: dict[str, Callable[[str], Any]] = {
    "tolower": str.lower,
    "toupper": str.upper,
    "length": len,
    "trim": str.strip,
}
Scope = Mapping[str, Document]
"""Variable of a lambda -> the document it stands for; "" is the record that is filtered."""


class Expression(Protocol):
    """Something that holds for a document or not."""

    def holds(self, scope: Scope) -> bool:
        """Return whether it is true."""


@dataclass(frozen=True, slots=True)
class Path:
    """A property: of the record itself, or of a lambda's variable."""

    name: str
    kind: Kind
    variable: str = ""

    def value(self, scope: Scope) -> Any:
        """Return the property's value in its comparable form, None if it has none or one that cannot be compared."""
        return comparable(scope[self.variable].get(self.name), self.kind)


@dataclass(frozen=True, slots=True)
class Function:
    """A text function of an operand."""

    name: str
    of: Path | Function

    @property
    def kind(self) -> Kind:
        """The type of what it gives."""
        return "Int32" if self.name == "length" else "String"

    def value(self, scope: Scope) -> Any:
        """Return what it gives for the document."""
        held = self.of.value(scope)
        return TEXT_FUNCTIONS[self.name](held) if isinstance(held, str) else None


Operand = Path | Function


@dataclass(frozen=True, slots=True)
class Comparison:
    """An operand compared with a literal; a missing value fulfils `eq null` and `ne` of anything else only."""

    operand: Operand
    operator: str
    literal: Any

    def holds(self, scope: Scope) -> bool:
        """Return whether it is true."""
        held = self.operand.value(scope)
        if held is None or self.literal is None:
            equal = held is None and self.literal is None
            return equal if self.operator == "eq" else not equal if self.operator == "ne" else False
        try:
            return COMPARISONS[self.operator](held, self.literal)
        except TypeError:
            return False


@dataclass(frozen=True, slots=True)
class OneOf:
    """`operand in (literal, ...)`."""

    operand: Operand
    literals: tuple[Any, ...]

    def holds(self, scope: Scope) -> bool:
        """Return whether it is true."""
        return self.operand.value(scope) in self.literals


@dataclass(frozen=True, slots=True)
class TextTest:
    """`contains`, `startswith`, `endswith`, and `substringof` of V2 with its arguments the other way round."""

    name: str
    version: int
    arguments: tuple[Operand | str, Operand | str]

    def holds(self, scope: Scope) -> bool:
        """Return whether it is true."""
        one, other = (a if isinstance(a, str) else a.value(scope) for a in self.arguments)
        return isinstance(one, str) and isinstance(other, str) and TEXT_TESTS[self.version][self.name](one, other)


@dataclass(frozen=True, slots=True)
class Every:
    """Joined by `and`."""

    parts: tuple[Expression, ...]

    def holds(self, scope: Scope) -> bool:
        """Return whether it is true."""
        return all(part.holds(scope) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Some:
    """Joined by `or`."""

    parts: tuple[Expression, ...]

    def holds(self, scope: Scope) -> bool:
        """Return whether it is true."""
        return any(part.holds(scope) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Not:
    """Turned round by `not`."""

    part: Expression

    def holds(self, scope: Scope) -> bool:
        """Return whether it is true."""
        return not self.part.holds(scope)


@dataclass(frozen=True, slots=True)
class Lambda:
    """`navigation/any(v: ...)` or `all`."""

    quantifier: str
    member: str
    owner: str
    variable: str
    part: Expression

    def holds(self, scope: Scope) -> bool:
        """Return whether it is true."""
        each = (self.part.holds({**scope, self.variable: child}) for child in scope[self.owner][self.member])
        return any(each) if self.quantifier == "any" else all(each)


def comparable(value: Any, kind: Kind) -> Any:
    """Return a stored value as what literals of its type are read as; None if it cannot be."""
    try:
        if value is None:
            return None
        if kind in ("Decimal", "Double", "Int32"):
            return None if isinstance(value, bool) else Decimal(str(value))
        if kind == "DateTimeOffset":
            return datetime.fromisoformat(str(value))
    except (ValueError, ArithmeticError):
        return None
    return value


def days_of(expression: Expression, day_property: str) -> tuple[date | None, date | None]:
    """Return the first and last day that a record can have for the expression to hold, None where it says nothing."""
    if isinstance(expression, Every):
        bounds = [days_of(part, day_property) for part in expression.parts]
        firsts, lasts = [f for f, _ in bounds if f is not None], [t for _, t in bounds if t is not None]
        return max(firsts, default=None), min(lasts, default=None)
    if not isinstance(expression, Comparison) or expression.operand != Path(day_property, "Date"):
        return None, None
    if not isinstance(expression.literal, str):
        return None, None
    day, one = date.fromisoformat(expression.literal), timedelta(days=1)
    return {
        "eq": (day, day),
        "ge": (day, None),
        "gt": (day + one, None),
        "le": (None, day),
        "lt": (None, day - one),
    }.get(expression.operator, (None, None))
