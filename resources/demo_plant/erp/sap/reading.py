"""Reads of a fake SAP: an entity set by query, one entity by its key, a count; in the shapes of V4 and V2."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from starlette.responses import PlainTextResponse, Response

from resources.core.errors import DataError
from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.sap.books.book import Document
from resources.demo_plant.erp.sap.control import SapControl
from resources.demo_plant.erp.sap.odata import options as query
from resources.demo_plant.erp.sap.odata.expressions import days_of
from resources.demo_plant.erp.sap.odata.filters import parse_filter
from resources.demo_plant.erp.sap.odata.refusal import BadQueryError
from resources.demo_plant.erp.sap.odata.schema import EntitySet, Service
from resources.demo_plant.erp.sap.odata.wire import Rendering
from resources.transport.text.json_text import dump_json

_RESOURCE = re.compile(r"(?P<set>\w+)(?:\((?P<key>.+)\))?(?P<count>/\$count)?")


@dataclass(frozen=True, slots=True)
class Asked:
    """One read: the resource behind the root, its options, what came with it."""

    resource: str
    options: dict[str, str]
    headers: Mapping[str, str]
    origin: str
    fault: Fault | None
    number: int
    """Which request it is, so that links can be told apart."""

    def is_fault(self, kind: str) -> bool:
        """Return whether the request is to meet this fault."""
        return self.fault is not None and self.fault.kind == kind


@dataclass(frozen=True, slots=True)
class _Window:
    """Which of the documents found are on this page."""

    begin: int
    end: int
    found: int
    """How many there are, `$top` counted in."""


class Reader:
    """Answers reads."""

    def __init__(self, page_size: int, control: SapControl) -> None:
        """Give pages of at most `page_size`."""
        self._page_size = page_size
        self._control = control

    def answer(self, service: Service, asked: Asked) -> Response:
        """Return the answer to a read.

        Raises:
            BadQueryError: It is not understood.
        """
        match = _RESOURCE.fullmatch(asked.resource)
        if match is None or match["set"] not in service.sets:
            raise BadQueryError(f"Resource not found for the segment '{asked.resource.partition('(')[0]}'", 404)
        query.refuse_unknown(asked.options, service.version)
        entity_set = service.sets[match["set"]]
        if match["key"] is not None:
            return self._one(service, entity_set, match["key"], asked)
        found = self._found(service, entity_set, asked)
        if match["count"]:
            return PlainTextResponse(str(len(found)))
        if service.version == 2 and not _wants_json(asked):
            return Response("<feed xmlns='http://www.w3.org/2005/Atom'/>", media_type="application/atom+xml;type=feed")
        return self._page(service, match["set"], found, asked)

    def _found(self, service: Service, entity_set: EntitySet, asked: Asked) -> list[Document]:
        """Return the documents that the filter lets through, in order; only days that it allows are generated."""
        text = asked.options.get("$filter")
        entity = entity_set.type
        if not text:
            found = entity_set.records(None, None)
        else:
            held = parse_filter(text, service, entity)
            first, last = days_of(held, entity_set.day) if entity_set.day is not None else (None, None)
            if asked.is_fault("other_day") and first is not None:
                found = entity_set.records(first - timedelta(days=1), first - timedelta(days=1))
            else:
                found = [document for document in entity_set.records(first, last) if held.holds({"": document})]
        return query.ordered(found, asked.options.get("$orderby", ""), entity)

    def _window(self, service: Service, found: list[Document], asked: Asked) -> _Window:
        options = asked.options
        top, skip = query.whole_number(options, "$top"), query.whole_number(options, "$skip") or 0
        last = len(found) if top is None else min(skip + top, len(found))
        begin = query.offset_of(options["$skiptoken"]) if "$skiptoken" in options else min(skip, last)
        most = query.preferred_page_size(asked.headers.get("prefer", ""), self._page_size)
        end = min(begin + most, last) if service.pages else last
        return _Window(begin, begin if asked.is_fault("empty_page") else end, last)

    def _page(self, service: Service, name: str, found: list[Document], asked: Asked) -> Response:
        entity = service.sets[name].type
        shape = query.wanted_shape(asked.options, service, entity)
        window = self._window(service, found, asked)
        largest = self._control.largest_expand
        if shape.expand and largest is not None and window.end - window.begin > largest:
            raise BadQueryError("Time limit exceeded", 500)
        rendering = self._rendering(service, asked)
        records = [rendering.entity(document, entity, shape) for document in found[window.begin : window.end]]
        if asked.is_fault("no_key") and records:
            records[0].pop(entity.key[-1], None)
        self._control.records_sent += len(records)
        count = len(found) + asked.is_fault("miscount")
        link = self._link(service, name, window.end, asked) if window.end < window.found and service.pages else None
        body = _v4(name, records, count, link, asked) if service.version == 4 else _v2(records, count, link, asked)
        return self._response(service, body)

    def _one(self, service: Service, entity_set: EntitySet, key: str, asked: Asked) -> Response:
        entity = entity_set.type
        parts = [part for part in re.split(r",(?=\w+=)", key) if part]
        named = dict(part.partition("=")[::2] for part in parts) if "=" in parts[0] else {entity.key[0]: key}
        if set(named) != set(entity.key):
            raise BadQueryError(f"The key of '{entity.name}' is {', '.join(entity.key)}")
        text = " and ".join(f"{name} eq {literal}" for name, literal in named.items())
        one = Asked(asked.resource, {"$filter": text}, asked.headers, asked.origin, None, asked.number)
        found = self._found(service, entity_set, one)
        if not found:
            raise BadQueryError(f"'{entity.name}' with this key does not exist", 404)
        shape = query.wanted_shape(asked.options, service, entity)
        body: dict[str, Any] = self._rendering(service, asked).entity(found[0], entity, shape)
        return self._response(service, {"d": body} if service.version == 2 else body)

    def _rendering(self, service: Service, asked: Asked) -> Rendering:
        ieee754 = "IEEE754Compatible=true" in asked.headers.get("accept", "")
        return Rendering(service, asked.origin, self._control.warnings, ieee754)

    def _link(self, service: Service, name: str, offset: int, asked: Asked) -> str:
        if asked.is_fault("repeat_page"):
            options = dict(asked.options)
        else:
            token = query.skip_token(offset, asked.number if asked.is_fault("empty_page") else None)
            options = {**asked.options, "$skiptoken": token}
        link = f"{name}?" + "&".join(f"{quote(n, safe='$')}={quote(v)}" for n, v in options.items())
        if asked.is_fault("foreign_link"):
            return f"https://other-host.invalid{service.root}/{link}"
        # links of V2 carry the host, those of V4 as the release likes
        return (
            f"{asked.origin}{service.root}/{link}"
            if service.version == 2 or self._control.links == "absolute"
            else link
        )

    def _response(self, service: Service, body: dict[str, Any]) -> Response:
        warnings = self._control.warnings
        if service.version == 4:
            headers, kind = {"OData-Version": "4.0"}, "application/json;odata.metadata=minimal"
            if warnings:
                told = [{"code": "GL/001", "message": text, "numericSeverity": 3} for text in warnings]
                headers["sap-messages"] = json.dumps(told)
        else:
            headers, kind = {"DataServiceVersion": "2.0"}, "application/json"
            if warnings:
                headers["sap-message"] = json.dumps(
                    {"code": "GL/001", "message": warnings[0], "severity": "warning", "target": "", "details": []}
                )
        return Response(_written(body), media_type=kind, headers=headers)


def _written(body: dict[str, Any]) -> bytes:
    try:
        return dump_json(body)
    except DataError:
        # text that is no Unicode, which SAP sends as escapes
        return json.dumps(body, default=float).encode()


def _wants_json(asked: Asked) -> bool:
    return asked.options.get("$format") == "json" or "json" in asked.headers.get("accept", "")


def _v4(name: str, records: list[Document], count: int, link: str | None, asked: Asked) -> dict[str, Any]:
    body: dict[str, Any] = {"@odata.context": f"$metadata#{name}"}
    if asked.options.get("$count") == "true":
        body["@odata.count"] = count
    body["value"] = records
    if link is not None:
        body["@odata.nextLink"] = link
    return body


def _v2(records: list[Document], count: int, link: str | None, asked: Asked) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    if asked.options.get("$inlinecount") == "allpages":
        inner["__count"] = str(count)
    inner["results"] = records
    if link is not None:
        inner["__next"] = link
    return {"d": inner}
