"""How the fake writes records: the attributes asked for, children by framework version, links, and pages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from resources.demo_plant.erp.oracle.expressions import BadQueryError
from resources.demo_plant.erp.oracle.records import Record
from resources.demo_plant.erp.oracle.resources import Resource


@dataclass(slots=True)
class Wanted:
    """What of a record is asked for: attributes (None: all), and the children with what is asked of them."""

    attributes: frozenset[str] | None = None
    children: dict[str, Wanted] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Form:
    """How records are written."""

    framework: int
    only_data: bool
    nested_limit: int
    children_base: str | None = None
    """Origin in the links of children, where they are to lead elsewhere."""


def wanted(resource: Resource, fields: str | None, expand: str | None) -> Wanted:
    """Return what `fields` and `expand` ask for; fields goes before expand where both are given.

    Raises:
        BadQueryError: An attribute or a child does not exist.
    """
    if fields is not None:
        return _by_fields(resource, fields)
    asked = Wanted()
    for path in (part.strip() for part in (expand or "").split(",") if part.strip()):
        if path == "all":
            asked = _everything(resource)
            continue
        _child(resource, asked, path.split("."), None)
    return asked


def _by_fields(resource: Resource, fields: str) -> Wanted:
    asked = Wanted(frozenset())
    for group in fields.split(";"):
        path, colon, names = group.rpartition(":")
        attributes = frozenset(name.strip() for name in names.split(",") if name.strip())
        _known(resource, path, attributes)
        if colon and path:
            _child(resource, asked, path.split("."), attributes)
        else:
            asked.attributes = (asked.attributes or frozenset()) | attributes
    return asked


def _known(resource: Resource, path: str, attributes: frozenset[str]) -> None:
    for name in sorted(attributes):
        if resource.type_of(f"{path}.{name}" if path else name) is None:
            raise BadQueryError(f"URL request parameter fields cannot be used: {name} is no attribute")


def _everything(resource: Resource) -> Wanted:
    return Wanted(children={name: _everything(child) for name, child in resource.children.items()})


def _child(resource: Resource, asked: Wanted, path: Sequence[str], attributes: frozenset[str] | None) -> None:
    if path[0] not in resource.children:
        raise BadQueryError(f"URL request parameter expand cannot be used: {path[0]} is no child of {resource.name}")
    below = asked.children.setdefault(path[0], Wanted(frozenset() if attributes is not None else None))
    if len(path) > 1:
        _child(resource.children[path[0]], below, path[1:], attributes)
    elif attributes is not None:
        below.attributes = (below.attributes or frozenset()) | attributes


def written(resource: Resource, record: Record, asked: Wanted, form: Form, address: str) -> dict[str, Any]:
    """Return a record as it goes into an answer; `address` is that of its collection."""
    own = f"{address}/{identity(resource, record)}"
    shown: dict[str, Any] = {
        name: record.get(name)
        for name in resource.attributes
        if (asked.attributes is None or name in asked.attributes) and name in record
    }
    for name, below in asked.children.items():
        child = resource.children[name]
        at = f"{own}/child/{name}"
        shown[name] = _children(child, record.get(name) or [], below, form, at)
    if not form.only_data:
        shown["links"] = [{"rel": "self", "href": own, "name": resource.name, "kind": "item"}]
        shown["links"] += [
            {"rel": "child", "href": f"{own}/child/{name}", "name": name, "kind": "collection"}
            for name in resource.children
        ]
    return shown


def _children(child: Resource, records: list[Record], asked: Wanted, form: Form, address: str) -> Any:
    first = [written(child, record, asked, form, address) for record in records[: form.nested_limit]]
    if form.framework < 3:
        return first
    origin = address.split("/fscmRestApi", 1)[0]
    link = address if form.children_base is None else address.replace(origin, form.children_base, 1)
    return {
        "items": first,
        "count": len(first),
        "hasMore": len(records) > form.nested_limit,
        "limit": form.nested_limit,
        "offset": 0,
        "links": [{"rel": "self", "href": link, "name": child.name, "kind": "collection"}],
    }


def identity(resource: Resource, record: Record) -> str:
    """Return what stands for a record in an address: its key, or a hash that clients must not build."""
    key = str(record.get(resource.key))
    return hashlib.blake2b(key.encode(), digest_size=32).hexdigest().upper() if resource.opaque else key


def ordered(resource: Resource, records: list[Record], order_by: str) -> list[Record]:
    """Return records in the order asked for.

    Raises:
        BadQueryError: An attribute does not exist.
    """
    for part in reversed([part for part in order_by.split(",") if part.strip()]):
        name, _, direction = part.strip().partition(":")
        if name not in resource.attributes or direction not in ("", "asc", "desc"):
            raise BadQueryError(f"URL request parameter orderBy cannot be used: {part} is no attribute to order by")
        present = [record for record in records if record.get(name) is not None]
        absent = [record for record in records if record.get(name) is None]
        present.sort(key=lambda record: record[name], reverse=direction == "desc")
        records = [*present, *absent]
    return records


def described(resource: Resource, address: str, renamed: Mapping[str, str]) -> dict[str, Any]:
    """Return a resource as `/describe` shows it; `renamed` gives attributes other names."""
    return {
        "title": resource.name,
        "attributes": [
            {
                "name": renamed.get(name, name),
                "type": kind,
                "updatable": False,
                "mandatory": name == resource.key,
                "queryable": True,
            }
            for name, kind in resource.attributes.items()
        ],
        "collection": {
            "rangeSize": 25,
            "finders": [
                {"name": finder.name, "attributes": [{"name": bind, "type": "string"} for bind in finder.binds]}
                for finder in resource.finders
            ],
            "links": [{"rel": "self", "href": address, "name": "self", "kind": "collection"}],
        },
        "children": {
            name: described(child, f"{address}/{{id}}/child/{name}", renamed)
            for name, child in resource.children.items()
        },
    }
