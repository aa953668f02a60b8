"""Reads Dynamics 365 Finance & Operations by OData V4. Read-only; no Dagster, no pandas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import structlog

from resources.core.clock import Clock, SystemClock
from resources.core.errors import AuthError, DataError, ProtocolError, SourceError
from resources.core.process.closing import Closing
from resources.core.process.home import gl_home
from resources.erp.connector import Day, Finding, Part, SystemDescription, Whole
from resources.erp.dynamics import described, looked
from resources.erp.dynamics.asked import day_bounds, query_of
from resources.erp.dynamics.codec import DayReader, RecordReader
from resources.erp.dynamics.config import DynamicsConfig
from resources.erp.records import RecordPage
from resources.transport.connections.server_clock import ServerClock
from resources.transport.http.call_stats import CallStats
from resources.transport.http.client import HttpClient
from resources.transport.http.paging import Page
from resources.transport.odata.v4 import ODataV4, Query

log = structlog.get_logger(__name__)

_ADVICE = (
    (
        "HTTP 401",
        "register the client id inside Finance & Operations, with a user (System administration > Setup > Microsoft "
        "Entra ID applications), and check that the token's scope or resource is base_url to the letter, without a "
        "slash at its end",
    ),
    ("HTTP 403", "give the user behind the application a role that may read this entity"),
    (
        "HTTP 404",
        "names of sets are case sensitive and differ from version to version: `gl erp describe` shows which there are",
    ),
    ("Could not find a property", "this version lacks the property: `gl erp describe` shows which it has"),
    (
        "HTTP 429",
        "the environment is short of resources: give the application another priority (Throttling priority mapping), "
        "lower http.rate_limit_per_minute, or move the schedule to a quieter hour",
    ),
)
"""Words of an error -> what to do about it in Finance & Operations."""


class DynamicsClient(Closing):
    """One environment; threads may share it. Close it, or use it in a `with` statement."""

    def __init__(self, system: str, config: DynamicsConfig, *, clock: Clock | None = None) -> None:
        """Prepare the client of the system that the configuration calls `system`; nothing is sent yet.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self._system = system
        self._config = config
        clock = clock or SystemClock()
        self._server_clock = ServerClock(clock)
        self._http = HttpClient(
            system,
            config.http,
            auth=config.auth,
            headers={"OData-MaxVersion": "4.0"},
            stats=CallStats(system, gl_home(), clock=clock),
            clock=clock,
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def system(self) -> str:
        """Name of the system in the configuration."""
        return self._system

    @property
    def token_requests(self) -> int:
        """Token requests sent so far."""
        return self._http.token_requests

    def server_time(self) -> datetime | None:
        """Return the system's time now by the Date of its last answer; None before the first one."""
        return self._server_clock.now()

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield the pages of a part of a configured dataset, as they arrive.

        Raises:
            SourceError: The part could not be read; a ProtocolError also for a page of another day, and where fewer
                records arrive than the server counted. The message names dataset, part and page.
            ConfigError: The dataset cannot be read by such a part.
        """
        return self._records(dataset, part, query_of(self._system, dataset, self._config, part))

    def fetch_keys(self, dataset: str, part: Day | Whole) -> Iterator[RecordPage]:
        """Yield pages of records that hold the dataset's key and its day alone; errors as of `fetch`."""
        return self._records(dataset, part, query_of(self._system, dataset, self._config, part, keys_only=True))

    def describe(self) -> SystemDescription:
        """Return `$metadata` and what it says of the configured datasets.

        Raises:
            SourceError: It could not be read.
        """
        with self._told("$metadata"):
            return described.describe(self._http, self._config)

    def look(self) -> list[Finding]:
        """Return what there is to say of token, clock, permission, companies and dimension formats.

        Raises:
            SourceError: The system could not be reached at all.
        """
        return looked.look(self._http, self._config, self._server_clock, explained=explained)

    def _records(self, dataset: str, part: Part, query: Query) -> Iterator[RecordPage]:
        """Yield the records of a query.

        Where records are not entities (lines of orders, chosen journals) the server's count is of something else: it is
        checked here, and a last page without records carries the number of records.
        """
        declared, options = self._config.datasets[dataset], self._config.options_of(dataset)
        reader = RecordReader(declared, options)
        bounds = day_bounds(part.day, self._config, options) if isinstance(part, Day) else None
        of_day = DayReader(declared, *bounds) if bounds is not None else None
        service = ODataV4(self._http, declared.service or "/data", page_size=self._config.http.page_size)
        counted: int | None = None
        entities = records = 0
        with self._told(f"{dataset} {part}"):
            for page in service.pages(declared.resource, query, lane=dataset):
                self._server_clock.told(page.headers.get("date"))
                counted = page.count if counted is None else counted
                found = self._read(reader, of_day, page)
                entities += len(page.records)
                records += len(found)
                log.debug("page_read", source=self._system, dataset=dataset, part=str(part), page=page.number)
                yield RecordPage(found, None if reader.alters else counted)
            if reader.alters and counted is not None:
                self._check_count(entities, counted)
                yield RecordPage([], records if entities == counted else None)

    def _read(self, reader: RecordReader, of_day: DayReader | None, page: Page) -> list[bytes]:
        """Return the records of a page; a page of another day is refused: its records do not belong here."""
        try:
            stranger = of_day.stranger(page.records) if of_day is not None else None
            found = reader.records(page.records)
        except DataError as error:
            raise ProtocolError(f"{self._system}: page {page.number} holds {error}", source=self._system) from error
        if stranger is not None:
            raise ProtocolError(
                f"{self._system}: page {page.number} holds records of {stranger[:40]}: the service ignores $filter, "
                "or reads days by another zone; check base_url and what stands between (a cache, a gateway), or set "
                "options.business_date: noon",
                source=self._system,
            )
        return found

    def _check_count(self, entities: int, counted: int) -> None:
        if entities < counted:
            raise ProtocolError(
                f"{self._system}: the server counted {counted} entities but sent {entities}; pull it again, and if "
                "that does not help have the service's paging checked",
                source=self._system,
            )

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Name what was read in every error, and what is to be done about it."""
        try:
            yield
        except SourceError as error:
            error.args = (f"{explained(error)} ({what})",)
            raise


def explained(error: SourceError) -> str:
    """Return an error's message with what to do about it in Finance & Operations."""
    said = str(error)
    of_data = not isinstance(error, AuthError) or "POST" not in said
    advice = next((advice for words, advice in _ADVICE if words in said), None)
    return f"{said}; {advice}" if advice and of_data else said
