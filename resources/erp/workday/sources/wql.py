"""Reads data sources by WQL and resources by REST: pages of `limit` records, from `offset` on, up to `total`.

Source: public code that talks to real tenants (README): `/ccx/api/wql/v1/<tenant>/data`, limit and offset in the
address, the query as a parameter of GET, or in the body of POST where it is long; `{"total": n, "data": [...]}`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from urllib.parse import quote, urlencode

from resources.core.errors import ConfigError
from resources.erp.connector import Changed, Day
from resources.erp.declared import DatasetConfig, split_path
from resources.erp.workday.config import WorkdayConfig
from resources.erp.workday.options import PartOptions, Slots, WqlOptions, options_of
from resources.erp.workday.sources.pages import Pull, SourcePage
from resources.erp.workday.tenant import Connection
from resources.transport.http.answers import HttpAnswer, Media
from resources.transport.http.paging import pages_by_offset
from resources.transport.text.json_pages import JsonEnvelope
from resources.transport.text.quoting import quote_name, quote_value

LONGEST_GET = 1_900
"""A query of more characters goes by POST: Workday takes 2,048 in an address."""

_OPERATORS = {"eq": "=", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_ENVELOPE = JsonEnvelope("data", count="total")


class WqlSource:
    """WQL and REST of one tenant; threads may share it."""

    def __init__(self, http: Connection, config: WorkdayConfig, *, system: str) -> None:
        """Prepare; nothing is sent."""
        self._http = http
        self._config = config
        self._system = system

    def pages(self, pull: Pull) -> Iterator[SourcePage]:
        """Yield the pages of a part of a dataset.

        Raises:
            ConfigError: The declaration cannot be written as a query.
            SourceError: It could not be read.
        """
        is_wql = isinstance(options_of(pull.declared), WqlOptions)
        root, get = self._query(pull) if is_wql else self._resource(pull)

        def address(offset: int, limit: int) -> str:
            return f"{root}{'&' if '?' in root else '?'}limit={limit}&offset={offset}"

        size = self._config.page_size("wql" if is_wql else "rest")
        for page in pages_by_offset(self._system, address, get=get, read=_ENVELOPE.split, limit=size):
            yield SourcePage(page.number, page.records, page.count)

    def first(self, pull: Pull) -> HttpAnswer:
        """Return the first record of a dataset and the number of all.

        Raises:
            ConfigError: The declaration cannot be written as a query.
            SourceError: It could not be read.
        """
        is_wql = isinstance(options_of(pull.declared), WqlOptions)
        root, get = self._query(pull) if is_wql else self._resource(pull)
        return get(f"{root}{'&' if '?' in root else '?'}limit=1&offset=0")

    def data_sources(self) -> list[bytes]:
        """Return the data sources of the tenant, each the JSON text of its listing; errors as of `pages`."""
        return self._listed(f"{self._wql}/dataSources")

    def fields(self, source: str) -> list[bytes]:
        """Return the fields of a data source, by its id; errors as of `pages`."""
        return self._listed(f"{self._wql}/dataSources/{quote(source, safe='')}/fields")

    def _listed(self, root: str) -> list[bytes]:
        pages = pages_by_offset(
            self._system,
            lambda offset, limit: f"{root}?limit={limit}&offset={offset}",
            get=self._http.get,
            read=_ENVELOPE.split,
            limit=self._config.page_size("wql"),
        )
        return [row for page in pages for row in page.records]

    @property
    def _wql(self) -> str:
        return f"/ccx/api/wql/v1/{self._config.tenant}"

    def _query(self, pull: Pull) -> tuple[str, Callable[[str], HttpAnswer]]:
        try:
            query = query_of(pull)
        except ValueError as error:
            raise ConfigError(f"{self._system}: {pull}: cannot be written as WQL: {error}") from error
        if len(query) <= LONGEST_GET:
            return f"{self._wql}/data?{urlencode({'query': query})}", partial(self._http.get, lane=pull.dataset)
        body, headers = json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
        return f"{self._wql}/data", lambda url: self._http.query(
            url, body, headers=headers, lane=pull.dataset, media=Media.JSON
        )

    def _resource(self, pull: Pull) -> tuple[str, Callable[[str], HttpAnswer]]:
        declared, values = pull.declared, named_values(pull)
        root = f"/ccx/api/{str(declared.service).strip('/')}/{self._config.tenant}/{declared.resource}"
        return root + (f"?{urlencode(values)}" if values else ""), partial(self._http.get, lane=pull.dataset)


def query_of(pull: Pull) -> str:
    """Return the WQL that asks for a part of a dataset, ordered by its key.

    Raises:
        ValueError: A name or value that WQL cannot hold, or a part that the dataset cannot be read by.
    """
    declared, options = pull.declared, options_of(pull.declared)
    assert isinstance(options, WqlOptions)
    conditions = [
        f"{quote_name('wql', one.property)} {_OPERATORS[one.operator]} {quote_value('wql', one.literal())}"
        for one in declared.where
    ]
    if isinstance(pull.part, Day):
        conditions.append(f"{_dated(declared.business_date)} = {quote_value('wql', pull.part.day)}")
    elif isinstance(pull.part, Changed):
        changed = _dated(declared.changed)
        conditions.append(f"{changed} >= {quote_value('wql', pull.part.since)}")
        conditions.append(f"{changed} < {quote_value('wql', pull.part.until)}")
    prompts = ", ".join(
        f"{quote_name('wql', name)} = {quote_value('wql', value)}"
        for name, value in Slots.of(pull.part).texts(options.prompts).items()
    )
    names = ", ".join(quote_name("wql", name) for name in selected(declared))
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    order = ", ".join(dict.fromkeys(quote_name("wql", split_path(path)[0]) for path in declared.key))
    source = quote_name("wql", declared.resource) + (f" ({prompts})" if prompts else "")
    return f"SELECT {names} FROM {source}{where} ORDER BY {order}"  # noqa: S608 - every name and value is quoted


def selected(declared: DatasetConfig) -> tuple[str, ...]:
    """Return the fields that are asked for: those selected, or those that are read; and the key, always."""
    asked = [*declared.select, *declared.key] if declared.select else list(declared.properties)
    return tuple(dict.fromkeys(split_path(path)[0] for path in asked))


def named_values(pull: Pull) -> Mapping[str, str]:
    """Return the prompts or parameters that say which part is wanted.

    Raises:
        ConfigError: The dataset has none for this part.
    """
    options = options_of(pull.declared)
    assert isinstance(options, PartOptions)
    part = options.day if isinstance(pull.part, Day) else options.changed if isinstance(pull.part, Changed) else {}
    if not part and isinstance(pull.part, Day | Changed):
        kind = "day" if isinstance(pull.part, Day) else "changed"
        raise ConfigError(f"{pull.system}: {pull}: cannot be asked for: set options.{kind} of the dataset")
    return Slots.of(pull.part).texts({**options.always, **part})


def _dated(path: str | None) -> str:
    if path is None:
        raise ValueError("the dataset declares no property for it")
    return quote_name("wql", split_path(path)[0])
