"""`gl erp describe` of Workday: WSDLs, the fields of WQL data sources, the schemas of reports, against the datasets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from resources.core.errors import DataError, ProtocolError
from resources.erp.connector import FoundProperty, SystemDescription, Whole
from resources.erp.declared import DatasetConfig, split_path
from resources.erp.workday.codec import exploded_properties
from resources.erp.workday.config import WorkdayConfig
from resources.erp.workday.options import SoapOptions, options_of, protocol_of
from resources.erp.workday.sources.pages import Pull
from resources.erp.workday.sources.raas import RaasSource, columns_of
from resources.erp.workday.sources.shapes import levels_of, reference_kinds
from resources.erp.workday.sources.soap import SoapSource
from resources.erp.workday.sources.wql import WqlSource
from resources.transport.text.json_text import parse_json

_WITHIN = {"currency": ("value", "currency"), "instance": ("id", "descriptor"), "single": ("id", "descriptor")}
"""Word of a WQL field's type -> the members that its values have."""


class Describer:
    """Describes the configured datasets of one tenant, service by service."""

    def __init__(self, system: str, config: WorkdayConfig, wql: WqlSource, raas: RaasSource, soap: SoapSource) -> None:
        """Take what reads."""
        self._system, self._config = system, config
        self._wql, self._raas, self._soap = wql, raas, soap
        self._files: dict[str, bytes] = {}
        self._sources: dict[str, str] | None = None
        self._kinds: dict[str, dict[str, tuple[str, ...]]] = {}
        self._notes: list[str] = []

    def describe(self) -> SystemDescription:
        """Return the metadata files, and per dataset the properties that its resource has.

        Raises:
            SourceError: One of them could not be read.
        """
        found: dict[str, tuple[FoundProperty, ...]] = {}
        for name, declared in self._config.datasets.items():
            by = {"wql": self._by_wql, "raas": self._by_raas, "soap": self._by_soap}.get(protocol_of(declared))
            properties = None if by is None else by(name, declared)
            if properties is not None:
                found[name] = properties
        return SystemDescription(self._files, found, tuple(self._notes))

    def _by_wql(self, name: str, declared: DatasetConfig) -> tuple[FoundProperty, ...] | None:
        if self._sources is None:
            listed = self._kept("wql-dataSources.json", self._wql.data_sources())
            self._sources = {str(row.get("alias")): str(row.get("id")) for row in listed}
        identity = self._sources.get(declared.resource)
        if identity is None:
            self._notes.append(
                f"{name}: there is no data source {declared.resource}, or the client may not see it: "
                f"wql-dataSources.json lists {len(self._sources)}; set datasets.{name}.resource"
            )
            return None
        fields = self._kept(f"wql-{declared.resource}-fields.json", self._wql.fields(identity))
        return tuple(_wql_properties(fields))

    def _by_raas(self, name: str, declared: DatasetConfig) -> tuple[FoundProperty, ...] | None:
        try:
            body = self._raas.schema(declared)
        except ProtocolError as error:
            # a report that is not there is told; a tenant that does not answer is an error
            self._notes.append(f"{name}: the report has no schema: {error}")
            return None
        self._files[f"report-{declared.resource}.xsd"] = body
        try:
            columns = columns_of(body)
            return tuple(exploded_properties(columns, [declared.explode])) if declared.explode else columns
        except DataError as error:
            self._notes.append(f"{name}: the schema of report {declared.resource} is {error}")
            return None

    def _by_soap(self, name: str, declared: DatasetConfig) -> tuple[FoundProperty, ...]:
        service, options = str(declared.service), options_of(declared)
        assert isinstance(options, SoapOptions)
        if service not in self._kinds:
            body = self._soap.wsdl(service)
            self._files[f"{service}.wsdl"] = body
            self._kinds[service] = reference_kinds(body)
        shape = self._soap.record_shape(Pull(self._system, name, declared, Whole()))
        found = tuple(shape.properties(self._kinds[service]))
        if declared.explode:
            found = tuple(exploded_properties(found, levels_of(shape, split_path(declared.explode))))
        return tuple(_keyed(found, declared, options))

    def _kept(self, name: str, rows: list[bytes]) -> list[dict[str, Any]]:
        """Keep a listing as a file, and return it parsed."""
        self._files[name] = b"[" + b",\n".join(rows) + b"]"
        try:
            return [parse_json(row) for row in rows]
        except DataError as error:
            raise ProtocolError(f"{self._system}: {name}: a row is {error}", source=self._system) from error


def _wql_properties(rows: list[dict[str, Any]]) -> Iterator[FoundProperty]:
    for row in rows:
        kind = row.get("type")
        told = str(kind.get("descriptor") if isinstance(kind, dict) else kind or "any")
        alias = str(row.get("alias"))
        yield FoundProperty(alias, told)
        for word, members in _WITHIN.items():
            if word in told.lower():
                yield from (FoundProperty(f"{alias}.{member}", "Text") for member in members)


def _keyed(found: tuple[FoundProperty, ...], declared: DatasetConfig, options: SoapOptions) -> Iterator[FoundProperty]:
    """Yield properties with the names that the dataset uses for items of lists which become mappings."""
    used: dict[str, set[str]] = {name: set() for name in options.keyed}
    for path in declared.properties:
        names = split_path(path)
        for name, key in pairwise(names):
            if name in used:
                used[name].add(key)
    for one in found:
        names = split_path(one.path)
        at = next((position for position, name in enumerate(names) if name in used), None)
        if at is None:
            yield one
            continue
        before, after = ".".join(names[: at + 1]), ".".join(names[at + 1 :])
        yield from (FoundProperty(f"{before}.{key}.{after}", one.type) for key in sorted(used[names[at]]))
