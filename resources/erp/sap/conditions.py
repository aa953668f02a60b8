"""Conditions of a dataset as complex as OData has them, written in YAML and turned into a filter.

A condition is one of `all`, `any` (lists of conditions), `not` (a condition), `property` with what it is compared with,
and `some` or `every` (a navigation and a condition on what is behind it; OData V4 alone)::

    filter:
      all:
        - any:
            - {property: ProductionPlant, in: [P100, P200]}
            - {property: Material, function: toupper, starts_with: STEAM}
        - not: {property: OrderIsMarkedForDeletion, value: X}
        - {some: _PurchaseOrderItem, where: {property: Plant, value: P100}}
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import StrictModel
from resources.erp.declared import Comparison, Literals, PropertyPath
from resources.transport.odata.filters import (
    AllOf,
    AnyOf,
    Applied,
    Compare,
    Filter,
    FunctionName,
    Matches,
    Not,
    OneOf,
    Operand,
    Related,
)

_DEEPEST = 8
"""Lambdas within lambdas beyond this are no condition that anybody reads."""


class Condition(StrictModel):
    """One condition; exactly one of its forms."""

    all: tuple[Condition, ...] = ()
    """All of these hold."""
    any: tuple[Condition, ...] = ()
    """One of these holds."""
    not_: Condition | None = Field(None, alias="not")
    """This does not hold."""
    property: PropertyPath | None = None
    """The property that is compared; a path by dots goes through navigations to one entity."""
    function: FunctionName | None = None
    """Function applied to the property first: tolower, toupper, trim, length, year, month, day, ..."""
    operator: str = Field("eq", pattern=r"^(eq|ne|lt|le|gt|ge)$")
    """Of `value`: how it is compared."""
    value: Literals | None = None
    """What the property is compared with."""
    type: str = Field("auto", pattern=r"^(auto|date|instant)$")
    """Of `value`: what a text stands for; YAML's own dates need no type."""
    is_null: bool | None = None
    """True: the property has no value; false: it has one."""
    contains: str | None = None
    """The property contains this text."""
    starts_with: str | None = None
    """The property starts with this text."""
    ends_with: str | None = None
    """The property ends with this text."""
    one_of: tuple[Literals, ...] = Field((), alias="in")
    """The property has one of these values."""
    some: PropertyPath | None = None
    """Navigation of which one entity fulfils `where`."""
    every: PropertyPath | None = None
    """Navigation of which each entity fulfils `where`."""
    where: Condition | None = None
    """Of `some` and `every`: the condition."""

    @model_validator(mode="before")
    @classmethod
    def _dates_become_text(cls, values: object) -> object:
        if not isinstance(values, dict) or "value" not in values or "property" not in values:
            return values
        compared = {name: values[name] for name in ("property", "operator", "value", "type") if name in values}
        read = Comparison.model_validate(compared)
        return {**values, "value": read.value, "type": read.type}

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        forms = [self.all, self.any, self.not_, self.property, self.some, self.every]
        if sum(bool(form) for form in forms) != 1:
            raise ValueError("a condition has one of all, any, not, property, some and every")
        if bool(self.some or self.every) != (self.where is not None):
            raise ValueError("some and every need where, and nothing else has it")
        tests = [self.contains, self.starts_with, self.ends_with, self.one_of or None, self.is_null, self.value]
        count = sum(test is not None for test in tests)
        if count != (1 if self.property else 0):
            raise ValueError(
                "property needs one of value, in, contains, starts_with, ends_with, is_null; nothing else has one"
            )
        return self

    def as_filter(self, depth: int = 0) -> Filter:
        """Return the condition as a filter.

        Raises:
            ValueError: Nested too deep.
        """
        if depth > _DEEPEST:
            raise ValueError("a filter nested too deep")
        if self.all or self.any:
            terms = [term.as_filter(depth + 1) for term in self.all or self.any]
            return AllOf(terms) if self.all else AnyOf(terms)
        if self.not_ is not None:
            return Not(self.not_.as_filter(depth + 1))
        navigation = self.some or self.every
        if navigation is not None and self.where is not None:
            term = self.where.as_filter(depth + 1)
            return Related(_written(navigation), "any" if self.some else "all", term, f"x{depth}")
        return self._test()

    def _test(self) -> Filter:
        assert self.property is not None
        name: Operand = _written(self.property)
        if self.function is not None:
            name = Applied(self.function, _written(self.property))
        if self.one_of:
            return OneOf(name, self.one_of)
        if self.is_null is not None:
            return Compare(name, "eq" if self.is_null else "ne", None)
        for function, text in (("contains", self.contains), ("startswith", self.starts_with)):
            if text is not None:
                return Matches(function, name, text)  # type: ignore[arg-type]  # one of its literals
        if self.ends_with is not None:
            return Matches("endswith", name, self.ends_with)
        compared = {"property": self.property, "operator": self.operator, "value": self.value, "type": self.type}
        return Compare(name, self.operator, Comparison.model_validate(compared).literal())


def _written(path: str) -> str:
    """Return a path as OData writes it."""
    return path.replace(".", "/")
