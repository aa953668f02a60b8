"""Reads SAP S/4HANA by OData V4 and V2. Read-only; no Dagster, no pandas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import structlog

from resources.core.clock import Clock, SystemClock
from resources.core.errors import DataError, ProtocolError, SourceError
from resources.core.process.closing import Closing
from resources.core.process.home import gl_home
from resources.erp.connector import Day, Finding, Part, SystemDescription, Whole
from resources.erp.records import RecordPage
from resources.erp.sap import described, looked
from resources.erp.sap.advice import explained
from resources.erp.sap.asked import Asked, asked_of, query_of, written
from resources.erp.sap.by_key import EntitiesByKey
from resources.erp.sap.config import SapConfig
from resources.erp.sap.days import DayCheck
from resources.erp.sap.records import RecordReader, message_texts
from resources.transport.connections.server_clock import ServerClock
from resources.transport.http.call_stats import CallStats
from resources.transport.http.client import HttpClient
from resources.transport.http.paging import Page
from resources.transport.odata.v2 import ODataV2
from resources.transport.odata.v4 import ODataV4, Query

log = structlog.get_logger(__name__)

VERSION_HEADERS: Mapping[int, Mapping[str, str]] = {
    4: {"OData-MaxVersion": "4.0"},
    2: {"MaxDataServiceVersion": "2.0"},
}


class SapClient(Closing):
    """One SAP system; threads may share it. Close it, or use it in a `with` statement."""

    def __init__(self, system: str, config: SapConfig, *, clock: Clock | None = None) -> None:
        """Prepare the client of the system that the configuration calls `system`; nothing is sent yet.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self._system = system
        self._config = config
        self._clock: Clock = clock or SystemClock()
        self._server_clock = ServerClock(self._clock)
        # a gateway in front, such as SAP's sandbox, may have the services below a path of its own
        self._base = urlsplit(config.http.base_url).path.rstrip("/")
        self._http = HttpClient(
            system,
            config.http,
            auth=config.auth,
            # next links of a gateway may lose the query option, the header never
            headers={"sap-client": config.sap_client},
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

    def fetch_energy_consumption(self, day: date) -> Iterator[RecordPage]:
        """Yield the measurement documents whose reading is dated `day` in the system's zone, by number.

        Raises:
            SourceError: As `fetch`.
        """
        return self.fetch("energy_consumption", Day(day))

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield the pages of a part of a configured dataset, as they arrive.

        Raises:
            SourceError: The part could not be read; a ProtocolError also for a page of another day, and where fewer
                records arrive than the server counted. The message names dataset, part, page and remedy.
            ConfigError: The dataset cannot be read by such a part.
        """
        return self._records(dataset, part, keys_only=False)

    def fetch_keys(self, dataset: str, part: Day | Whole) -> Iterator[RecordPage]:
        """Yield pages of records that hold the dataset's key and its day alone; errors as of `fetch`."""
        return self._records(dataset, part, keys_only=True)

    def describe(self) -> SystemDescription:
        """Return `$metadata` of the services, and what it says of the configured datasets.

        Raises:
            SourceError: It could not be read.
        """
        with self._told("$metadata"):
            return described.describe(self._http, self._base, self._all_asked())

    def look(self) -> list[Finding]:
        """Return what there is to say of token, permission and clock.

        Raises:
            UnreachableError: Nothing answers there.
        """
        today = self._today()
        # of facts, one record of yesterday: without a day a large set would be sorted first
        yesterday = today - timedelta(days=1)
        queries = [
            (
                asked,
                query_of(
                    asked, self._config, _sample(asked, yesterday), today=today, keys_only=not asked.declared.explode
                ),
            )
            for asked in self._all_asked()
        ]
        told = looked.Told(self._server_clock, yesterday, explained)
        return looked.look(self._http, self._root, queries, told)

    def _all_asked(self) -> list[Asked]:
        return [asked_of(self._system, self._config, dataset) for dataset in self._config.datasets]

    def _records(self, dataset: str, part: Part, *, keys_only: bool) -> Iterator[RecordPage]:
        """Yield the records of a part.

        Where records are children of the entities, the server's count is of the entities: it is checked here, and a
        last page without records carries the number of records.
        """
        asked = asked_of(self._system, self._config, dataset)
        query = query_of(asked, self._config, part, today=self._today(), keys_only=keys_only)
        check = self._day_check(asked, part)
        reader = RecordReader(asked, self._config.sap_language)
        by_key = EntitiesByKey(self._http, self._root(asked), asked, query, self._config) if not keys_only else None
        counted: int | None = None
        entities = records = 0
        with self._told(f"{dataset} {part}"):
            for page in self._pages(asked, by_key.keys_of(query) if by_key else query):
                counted = page.count if counted is None else counted
                whole = by_key.whole(page.records) if by_key else page.records
                found = self._read(reader, check, page, whole)
                entities += len(page.records)
                records += len(found)
                log.debug("page_read", source=self._system, dataset=dataset, part=str(part), page=page.number)
                yield RecordPage(found, None if asked.declared.explode else counted)
            if asked.declared.explode and counted is not None:
                self._check_count(entities, counted)
                yield RecordPage([], records)
        for text in reader.messages:
            log.warning("system_says", source=self._system, dataset=dataset, part=str(part), words=text)

    def _pages(self, asked: Asked, query: Query) -> Iterator[Page]:
        headers, size = VERSION_HEADERS[asked.version], self._config.http.page_size
        service = (ODataV2 if asked.version == 2 else ODataV4)(self._http, self._root(asked), page_size=size)
        return service.pages(asked.declared.resource, query, lane=asked.dataset, headers=headers)

    def _root(self, asked: Asked) -> str:
        return self._base + asked.service

    def _today(self) -> date:
        return self._clock.now().astimezone(ZoneInfo(self._config.time_zone)).date()

    def _day_check(self, asked: Asked, part: Part) -> DayCheck | None:
        path = asked.declared.business_date
        if not isinstance(part, Day) or path is None:
            return None
        return DayCheck(written(path).replace("/", "."), part.day, self._config.day_of(asked.dataset))

    def _read(self, reader: RecordReader, check: DayCheck | None, page: Page, entities: list[bytes]) -> list[bytes]:
        """Return the records of a page; one of another day is refused: its records do not belong here."""
        self._server_clock.told(page.headers.get("date"))
        for name in ("sap-message", "sap-messages"):
            for text in _header_messages(page.headers.get(name)):
                reader.messages.setdefault(text)
        try:
            stranger = check.stranger(page.records) if check is not None else None
            found = reader.records(entities) if stranger is None else []
        except DataError as error:
            raise ProtocolError(f"{self._system}: page {page.number} holds {error}", source=self._system) from error
        if stranger is not None:
            raise ProtocolError(
                f"{self._system}: page {page.number} holds records of {stranger}: the service ignores $filter; "
                "check service and base_url, and what stands between (a cache, a gateway)",
                source=self._system,
            )
        return found

    def _check_count(self, entities: int, counted: int) -> None:
        if entities < counted:
            raise ProtocolError(
                f"{self._system}: the server counted {counted} entities but sent {entities} on all pages; pull it "
                "again, and if that does not help have the service's paging checked",
                source=self._system,
            )

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """Name what was read in every error, and what is to be done about it in SAP."""
        try:
            yield
        except SourceError as error:
            error.args = (f"{explained(error)} ({what})",)
            raise


def _sample(asked: Asked, day: date) -> Part:
    return Whole() if asked.declared.is_master else Day(day)


def _header_messages(header: str | None) -> Iterator[str]:
    """Yield the texts of a `sap-message` header, which is JSON; what is none tells nothing."""
    try:
        told = json.loads(header) if header else None
    except (ValueError, RecursionError):
        return
    yield from message_texts(told)
