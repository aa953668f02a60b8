"""Reads custom reports (Report as a Service): one answer with all records, sliced by prompts because it has no pages.

Source: `GET /ccx/service/customreport2/<tenant>/<owner>/<report>?format=json&<prompt>=<value>`, reference prompts with
`!WID` (Workato's documentation of its connector for Workday); `{"Report_Entry": [...]}`, all scalars text; `?xsds`
gives the schema (public code that talks to real tenants).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote, urlencode

from lxml import etree

from resources.core.errors import DataError, ProtocolError, SourceError
from resources.erp.connector import Changed, FoundProperty, Part
from resources.erp.declared import DatasetConfig
from resources.erp.workday.config import WorkdayConfig
from resources.erp.workday.options import RaasOptions, options_of
from resources.erp.workday.sources.pages import Pull, SourcePage
from resources.erp.workday.sources.wql import named_values
from resources.erp.workday.tenant import Connection
from resources.transport.http.answers import Media
from resources.transport.text.json_pages import JsonEnvelope
from resources.transport.text.soap_fault import parse_xml

_ENVELOPE = JsonEnvelope("Report_Entry")
_BLOCK = 5_000
"""Records handed on at once."""
_DEEPEST = 6
"""Groups within groups are followed this deep."""
_XSD = "{http://www.w3.org/2001/XMLSchema}"


class RaasSource:
    """The custom reports of one tenant; threads may share it."""

    def __init__(self, http: Connection, config: WorkdayConfig, *, system: str) -> None:
        """Prepare; nothing is sent."""
        self._http = http
        self._config = config
        self._system = system

    def pages(self, pull: Pull) -> Iterator[SourcePage]:
        """Yield the records of a part of a dataset, slice by slice.

        Raises:
            ConfigError: The dataset has no prompts for this part.
            SourceError: It could not be read.
        """
        number = 0
        for part in _slices(pull.part, self._config.report_slice):
            for records in self._blocks(replace(pull, part=part)):
                number += 1
                yield SourcePage(number, records, None)

    def schema(self, declared: DatasetConfig) -> bytes:
        """Return the schema of a report."""
        return self._http.get(f"{self._path(declared)}?xsds", media=Media.XML).body

    def _blocks(self, pull: Pull) -> Iterator[list[bytes]]:
        query = urlencode({**named_values(pull), "format": "json"}, quote_via=quote, safe="!:")
        try:
            body = self._http.get(f"{self._path(pull.declared)}?{query}", lane=pull.dataset).body
        except SourceError as error:
            error.args = (f"{error} (page 1: report {pull.declared.resource} for {pull})",)
            raise
        try:
            records = _ENVELOPE.split(body).records
        except DataError as error:
            raise ProtocolError(
                f"{self._system}: page 1: report {pull.declared.resource} for {pull} is {error}; it must be an "
                "Advanced report that is enabled as a web service, and small enough: narrow it by prompts",
                source=self._system,
            ) from error
        for start in range(0, max(len(records), 1), _BLOCK):
            yield records[start : start + _BLOCK]

    def _path(self, declared: DatasetConfig) -> str:
        options = options_of(declared)
        assert isinstance(options, RaasOptions)
        owner, report = (quote(part, safe="") for part in (options.owner, declared.resource))
        return f"/ccx/service/customreport2/{self._config.tenant}/{owner}/{report}"


def columns_of(schema: bytes) -> tuple[FoundProperty, ...]:
    """Return the columns of a report by its schema; those of a group as `Group.Column`.

    Raises:
        DataError: It is no schema.
    """
    root = parse_xml(schema)
    types = {str(kind.get("name")): kind for kind in root.iter(f"{_XSD}complexType") if kind.get("name")}
    entry = next((name for name in types if name.startswith("Report_Entry")), None)
    if entry is None:
        raise DataError("a schema without Report_Entry")
    return tuple(_columns(types, entry, "", 0))


def _columns(types: dict[str, etree._Element], kind: str, before: str, depth: int) -> Iterator[FoundProperty]:
    for element in types[kind].iter(f"{_XSD}element"):
        path, told = f"{before}{element.get('name')}", str(element.get("type", ""))
        inner = told.rpartition(":")[2]
        if inner in types and depth < _DEEPEST:
            yield from _columns(types, inner, f"{path}.", depth + 1)
        else:
            yield FoundProperty(path, told)


def _slices(part: Part, length: timedelta) -> Iterator[Part]:
    if not isinstance(part, Changed):
        yield part
        return
    since = part.since
    while since < part.until:
        until = min(since + length, part.until)
        yield Changed(since, until)
        since = until
