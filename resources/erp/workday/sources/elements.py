"""Elements of XML as JSON.

Values stay the text that Workday sent. References become mappings of their kinds of ID, so that a path can name one:
`<Currency_Reference><ID type="Currency_ID">EUR</ID></Currency_Reference>` is `{"Currency_Reference": {"Currency_ID":
"EUR"}}`; several references in one list (worktags) are laid together, and a kind that occurs twice is a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lxml import etree

from resources.erp.workday.sources.shapes import Shape

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_NIL = f"{_XSI}nil"


def content_of(element: etree._Element, shape: Shape, keyed: Mapping[str, tuple[str, ...]]) -> Any:
    """Return an element as text, mapping or None (`xsi:nil`).

    Args:
        element: What is read.
        shape: Which children repeat, by the WSDL; one that it does not know is a list where it comes twice.
        keyed: Name of a repeated element -> path in it; such a list becomes a mapping by the value there.
    """
    content: dict[str, Any] = {}
    for attribute, value in element.items():
        if attribute.startswith(_XSI):
            if attribute == _NIL and value in ("true", "1"):
                return None
            continue
        content[_local(attribute)] = value
    if not len(element):
        text = element.text or ""
        return {**content, "value": text} if content else text
    kinds = _kinds(element)
    if kinds is not None:
        return {**content, **_laid_together(kinds)}
    for name, children in _by_name(element).items():
        content[name] = _children(name, children, shape, keyed)
    return content


def _children(name: str, children: Sequence[etree._Element], shape: Shape, keyed: Mapping[str, tuple[str, ...]]) -> Any:
    repeats = len(children) > 1 or shape.repeats(name)
    if repeats:
        kinds = [_kinds(child) for child in children]
        if all(one is not None for one in kinds):
            return _laid_together([pair for one in kinds if one is not None for pair in one])
    within = shape.within(name)
    items = [content_of(child, within, keyed) for child in children]
    if name in keyed:
        return {str(_at(item, keyed[name]) or number): item for number, item in enumerate(items, 1)}
    return items if repeats else items[0]


def _by_name(element: etree._Element) -> dict[str, list[etree._Element]]:
    found: dict[str, list[etree._Element]] = {}
    for child in element:
        found.setdefault(_local(child.tag), []).append(child)
    return found


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _kinds(element: etree._Element) -> list[tuple[str, str]] | None:
    """Return the IDs of a reference as (kind, ID); None if the element is none."""
    found = []
    for child in element:
        kind = next((value for name, value in child.items() if _local(name) == "type"), None)
        if kind is None or _local(child.tag) != "ID":
            return None
        found.append((kind, child.text or ""))
    return found or None


def _laid_together(identities: Sequence[tuple[str, str]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, text in identities:
        held = found.get(kind)
        if held is None:
            found[kind] = text
        elif isinstance(held, list):
            if text not in held:
                held.append(text)
        elif held != text:
            found[kind] = [held, text]
    return found


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
