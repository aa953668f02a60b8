"""Workday's answers as records: XML as JSON, lists of children one record each, and only what may be kept.

Values stay the text that Workday sent. References become mappings of their kinds of ID, so that a path can name one:
`<Currency_Reference><ID type="Currency_ID">EUR</ID></Currency_Reference>` is `{"Currency_Reference": {"Currency_ID":
"EUR"}}`; several references in one list (worktags) are laid together, and a kind that occurs twice is a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
from lxml import etree

from resources.core.errors import DataError
from resources.erp.declared import split_path
from resources.erp.workday.shapes import Shape

PARENT = "parent"
"""Member of an exploded record with the fields around it."""

_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
_NIL = f"{_XSI}nil"

_OBJECT: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: msgspec.json.Decoder[list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw])


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


def exploded(record: dict[str, Any], path: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield one record for each child in the list at `path`; lists on the way are gone through as well.

    A child carries what the list stood in under `parent`, without the list; of lists in lists, each is a level of its
    own: `parent.parent` is what the outer one stood in. A record without such a list yields nothing.
    """
    return _exploded(record, path, None)


def _exploded(record: dict[str, Any], path: tuple[str, ...], outer: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    around = dict(record) if outer is None else {**record, PARENT: outer}
    holder = around
    for depth, name in enumerate(path):
        held = holder.pop(name, None)
        rest = path[depth + 1 :]
        if isinstance(held, dict) and rest:
            # no list: it stays a part of what is around
            holder[name] = held = dict(held)
            holder = held
            continue
        for item in held if isinstance(held, list) else [held]:
            if isinstance(item, dict):
                yield from _exploded(item, rest, around) if rest else ({**item, PARENT: around},)
        return


def picker(paths: Sequence[str]) -> Callable[[bytes], bytes]:
    """Return what reduces a record, JSON text, to the given paths; text and numbers stay as they were written."""
    tree: dict[str, Any] = {}
    for path in paths:
        branch = tree
        names = split_path(path)
        for name in names[:-1]:
            branch = branch.setdefault(name, {})
            if branch is None:
                break
        else:
            branch[names[-1]] = None
    return lambda record: _picked(record, tree)


def _picked(raw: bytes | msgspec.Raw, tree: Mapping[str, Any]) -> bytes:
    text = bytes(raw)
    opening = text.lstrip()[:1]
    try:
        if opening == b"[":
            return b"[" + b",".join(_picked(item, tree) for item in _LIST.decode(text)) + b"]"
        if opening != b"{":
            return b"null"
        members = [
            msgspec.json.encode(name) + b":" + (bytes(held) if tree[name] is None else _picked(held, tree[name]))
            for name, held in _OBJECT.decode(text).items()
            if name in tree
        ]
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(f"a record that is not JSON ({error})") from error
    return b"{" + b",".join(members) + b"}"


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value
