"""The query options other than `$filter`: what to expand and select, in which order, which page."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from functools import partial

from resources.demo_plant.erp.sap.books.book import Document
from resources.demo_plant.erp.sap.odata.expressions import Expression, comparable
from resources.demo_plant.erp.sap.odata.filters import parse_filter
from resources.demo_plant.erp.sap.odata.refusal import BadQueryError
from resources.demo_plant.erp.sap.odata.schema import EntityType, Service
from resources.demo_plant.erp.sap.odata.wire import Shape, shape_of

_BOTH = {"$filter", "$select", "$orderby", "$top", "$skip", "$skiptoken", "$expand", "$format"}
KNOWN = {4: frozenset({*_BOTH, "$count"}), 2: frozenset({*_BOTH, "$inlinecount"})}
"""Query options of each version that the service has."""


def refuse_unknown(options: Mapping[str, str], version: int) -> None:
    """Refuse a system option that the version or this service does not have.

    Raises:
        BadQueryError: There is one.
    """
    unknown = {name for name in options if name.startswith("$")} - KNOWN[version]
    if unknown:
        raise BadQueryError(f"query options {', '.join(sorted(unknown))} are not implemented", 501)


def wanted_shape(options: Mapping[str, str], service: Service, entity: EntityType) -> Shape:
    """Return what of an entity is asked for.

    Raises:
        BadQueryError: A property or navigation that does not exist.
    """
    expand, select = options.get("$expand", ""), options.get("$select", "")
    if service.version == 4:
        return shape_of(select, _expanded_v4(expand, service, entity), entity)
    selected = [part.strip() for part in select.split(",") if part.strip()]
    return shape_of(select, _expanded_v2(expand, selected, service, entity), entity)


def _expanded_v4(text: str, service: Service, entity: EntityType) -> dict[str, Shape]:
    shapes = {}
    for part in _split(text, ","):
        name, _, inside = part.strip().partition("(")
        way = entity.navigations.get(name.strip())
        if way is None:
            raise BadQueryError(f"'{name.strip()}' is no navigation of '{entity.name}'")
        target = service.type_of(way.target)
        nested = dict(option.partition("=")[::2] for option in _split(inside.removesuffix(")"), ";"))
        shape = wanted_shape(nested, service, target)
        if "$filter" in nested:
            held = parse_filter(nested["$filter"], service, target)
            shape = Shape(shape.select, shape.expand, partial(_holds, held))
        shapes[name.strip()] = shape
    return shapes


def _holds(held: Expression, child: Document) -> bool:
    return held.holds({"": child})


def _expanded_v2(text: str, select: list[str], service: Service, entity: EntityType) -> dict[str, Shape]:
    """Return what paths expand; where properties are selected, a navigation comes only if it is among them."""
    shapes = {}
    for name, below in _by_first(text.split(",") if text else []).items():
        way = entity.navigations.get(name)
        if way is None:
            raise BadQueryError(f"'{name}' is no navigation of '{entity.name}'")
        selected = _by_first(select).get(name)
        if select and "*" not in select and selected is None:
            continue
        target = service.type_of(way.target)
        own = selected or []
        shapes[name] = shape_of(",".join(own), _expanded_v2(",".join(below), own, service, target), target)
    return shapes


def _by_first(paths: list[str]) -> dict[str, list[str]]:
    """Return the first name of each path -> what is behind it."""
    found: dict[str, list[str]] = {}
    for path in paths:
        first, _, rest = path.strip().partition("/")
        found.setdefault(first, [])
        if rest:
            found[first].append(rest)
    return found


def _split(text: str, mark: str) -> Iterator[str]:
    """Yield the parts between `mark`s that stand in no bracket and no text."""
    depth, start, in_text = 0, 0, False
    for at, character in enumerate(text):
        in_text ^= character == "'"
        depth += 0 if in_text else (character == "(") - (character == ")")
        if character == mark and depth == 0 and not in_text:
            yield text[start:at]
            start = at + 1
    if text[start:].strip():
        yield text[start:]


def ordered(documents: list[Document], orderby: str, entity: EntityType) -> list[Document]:
    """Return the documents in the order asked for; ties stay by key.

    Raises:
        BadQueryError: A property does not exist.
    """
    for part in reversed([p for p in orderby.split(",") if p.strip()]):
        name, _, direction = part.strip().partition(" ")
        if name not in entity.properties or direction not in ("", "asc", "desc"):
            raise BadQueryError(f"'{part}' is no property to order by")
        kind = entity.properties[name]

        def rank(document: Document, name: str = name, kind: str = kind) -> tuple[bool, str | object]:
            value = comparable(document.get(name), kind)  # type: ignore[arg-type]  # a kind of the type's own
            return value is not None, value

        documents = sorted(documents, key=rank, reverse=direction == "desc")
    return documents


def skip_token(offset: int, salt: int | None = None) -> str:
    """Return the opaque token of a page that begins at `offset`; `salt` makes it differ from others of that page."""
    text = f"o{offset}" if salt is None else f"o{offset}x{salt}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def offset_of(token: str) -> int:
    """Return where the page of `token` begins.

    Raises:
        BadQueryError: The token is not one of this service.
    """
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        return int(text.removeprefix("o").partition("x")[0])
    except ValueError as error:
        raise BadQueryError("$skiptoken is not valid") from error


def whole_number(options: Mapping[str, str], name: str) -> int | None:
    """Return a numeric option, None if it is absent.

    Raises:
        BadQueryError: Not a whole number.
    """
    text = options.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise BadQueryError(f"{name} is no whole number")
    return int(text)


def preferred_page_size(header: str, most: int) -> int:
    """Return the page size that a `Prefer` header asks for, at most `most`."""
    wanted = next(
        (p.partition("=")[2].strip() for p in header.split(",") if p.strip().startswith("odata.maxpagesize=")), ""
    )
    return min(int(wanted), most) if wanted.isdecimal() and int(wanted) else most
