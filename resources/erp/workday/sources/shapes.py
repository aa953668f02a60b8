"""The shape of SOAP answers by their WSDL: which elements repeat, and which paths there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resources.erp.connector import FoundProperty
from resources.transport.text.soap_fault import parse_xml

_DEEPEST = 12
"""Types that hold themselves are followed this deep."""


class Shape:
    """The children of an element by the XML schema; read as far as it is asked for, since types may hold themselves."""

    def __init__(self, kind: Any = None) -> None:
        """Take a type of zeep; None has no children."""
        self._kind = kind
        self._children: dict[str, tuple[bool, Any]] | None = None
        self._within: dict[str, Shape] = {}

    def _known(self) -> dict[str, tuple[bool, Any]]:
        if self._children is None:
            self._children = {
                name: (bool(element.accepts_multiple), getattr(element, "type", None))
                for name, element in getattr(self._kind, "elements", ())
                if name != "_value_1"
            }
        return self._children

    def repeats(self, name: str) -> bool:
        """Return whether a child may come more than once; False where the schema does not know it."""
        return self._known().get(name, (False, None))[0]

    def has(self, name: str) -> bool:
        """Return whether there is such a child."""
        return name in self._known()

    def within(self, name: str) -> Shape:
        """Return the shape of a child."""
        found = self._within.get(name)
        if found is None:
            kind = self._known().get(name, (False, None))[1]
            found = self._within[name] = Shape(kind) if kind is not None else NO_SHAPE
        return found

    def _reference(self) -> str | None:
        """Return the name of the type that lists the kinds of ID, None if this is no reference."""
        if list(self._known()) != ["ID"] or not self.repeats("ID"):
            return None
        identity = self._known()["ID"][1]
        named = dict(getattr(identity, "attributes", ()))
        return str(getattr(getattr(named.get("type"), "type", None), "name", ""))

    def properties(
        self, kinds: Mapping[str, Sequence[str]] | None = None, before: str = "", depth: int = 0
    ) -> Iterator[FoundProperty]:
        """Yield what can be read below, outermost first; of a reference itself and each of its kinds of ID.

        Args:
            kinds: Type that lists the kinds of ID of a reference -> those kinds (`reference_kinds`).
            before: Put before each path.
            depth: How deep this is; types may hold themselves.
        """
        for name, (_, kind) in self._known().items():
            within, path = Shape(kind), f"{before}{name}"
            reference = within._reference()
            if reference is not None:
                yield FoundProperty(path, "reference")
                yield from (FoundProperty(f"{path}.{one}", "ID") for one in (kinds or {}).get(reference, ()))
            elif not within._known() or depth >= _DEEPEST:
                yield FoundProperty(path, str(getattr(kind, "name", None) or "any"))
            else:
                yield from within.properties(kinds, f"{path}.", depth + 1)


NO_SHAPE = Shape()
"""Of what the schema does not know."""


def reference_kinds(wsdl: bytes) -> dict[str, tuple[str, ...]]:
    """Return the values of each enumeration in a WSDL: the kinds of ID that references may have."""
    schema = "{http://www.w3.org/2001/XMLSchema}"
    return {
        str(kind.get("name")): tuple(str(one.get("value")) for one in kind.iter(f"{schema}enumeration"))
        for kind in parse_xml(wsdl).iter(f"{schema}simpleType")
        if kind.get("name")
    }


def levels_of(shape: Shape, path: tuple[str, ...]) -> list[str]:
    """Return a path cut behind each list that it goes through."""
    levels, names = [], []
    for position, name in enumerate(path, 1):
        names.append(name)
        if shape.repeats(name) or position == len(path):
            levels.append(".".join(names))
            names = []
        shape = shape.within(name)
    return levels
