"""Reads Oracle ERP Cloud by Fusion REST. Read-only; no Dagster, no pandas."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import structlog

from resources.core.clock import Clock, SystemClock
from resources.core.errors import ConfigError, DataError
from resources.core.process.closing import Closing
from resources.core.process.home import gl_home
from resources.erp.business_days import business_day
from resources.erp.connector import Changed, Day, Finding, Part, SystemDescription, Whole
from resources.erp.declared import DatasetConfig
from resources.erp.oracle.children import Level, flattened, levels_of
from resources.erp.oracle.codec import Peek, instant_of
from resources.erp.oracle.config import OracleConfig, OracleOptions, at_resource
from resources.erp.oracle.description import described
from resources.erp.oracle.health import look
from resources.erp.oracle.pages import Page, Source, pages_by_key, pages_by_offset
from resources.erp.oracle.pod import Pod
from resources.erp.oracle.query import asked, asked_of_children
from resources.erp.records import RecordPage

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _FinishedPage:
    """A page as it is handed over, and how many records of the resource it had."""

    read: int
    finished: RecordPage


class OracleClient(Closing):
    """One pod; threads may share it. Close it, or use it in a `with` statement."""

    def __init__(self, system: str, config: OracleConfig, *, clock: Clock | None = None) -> None:
        """Prepare the client of the system that the configuration calls `system`; nothing is sent yet.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self.system = system
        self._config = config
        self._zone = ZoneInfo(config.time_zone)
        self._pod = Pod(system, config, home=gl_home(), clock=clock or SystemClock())

    def close(self) -> None:
        """Close the connections."""
        self._pod.close()

    @property
    def token_requests(self) -> int:
        """Token requests sent so far."""
        return self._pod.token_requests

    def server_time(self) -> datetime | None:
        """Return the pod's time now, aware UTC; None if it has told none yet."""
        return self._pod.server_time()

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield the pages of a part of a configured dataset, ordered by its key.

        Raises:
            AuthError: Also where everything is empty: no Fusion user belongs to the client.
            SourceError: The part could not be read; see `resources.transport.http.client`. A ProtocolError also where
                records come that were not asked for.
        """
        yield from self._fetch(dataset, part, self._config.datasets[dataset])

    def fetch_keys(self, dataset: str, part: Day | Whole) -> Iterator[RecordPage]:
        """Yield pages of records with little more than the dataset's key; errors as of `fetch`."""
        declared = self._config.datasets[dataset]
        yield from self._fetch(dataset, part, declared.model_copy(update={"select": declared.key, "expand": ()}))

    def describe(self) -> SystemDescription:
        """Return what the pod says of the resources that the configured datasets use.

        Raises:
            SourceError: It could not be read.
        """
        return described(self._pod, self._config.datasets)

    def look(self) -> list[Finding]:
        """Return what there is to say of token, clock, version and permission.

        Raises:
            SourceError: The pod could not be reached at all.
        """
        return look(self._pod, self._config)

    def _fetch(self, dataset: str, part: Part, declared: DatasetConfig) -> Iterator[RecordPage]:
        self._check_readable(dataset, part, declared)
        options, read = self._config.options_of(dataset), 0
        searches = options.searches
        for search in searches:
            for page in self._pages(dataset, part, declared, search):
                read += page.read
                # a count of one search says nothing of them all
                yield page.finished if len(searches) == 1 else RecordPage(page.finished.records)
        if not read and not options.may_be_empty:
            self._pod.check_sight(declared.resource, lane=dataset)

    def _pages(
        self, dataset: str, part: Part, declared: DatasetConfig, options: OracleOptions
    ) -> Iterator[_FinishedPage]:
        framework = self._config.framework_version
        wish = asked(declared, options, part, self._zone, framework)
        source = self._source(dataset, part, declared.resource, expands=wish.expands)
        by_key = options.paging == "key" and wish.order_by is not None
        pages = pages_by_key(source, wish, framework) if by_key else pages_by_offset(source, wish, framework)
        read = 0
        page: Page | None = None
        for page in pages:
            read += len(page.records)
            log.debug("page_read", source=self.system, dataset=dataset, part=str(part), page=page.number)
            finished = self._finished(declared, part, page, source, by_period=options.period is not None)
            yield _FinishedPage(len(page.records), finished)
        if declared.explode and page is not None and page.total is not None and read < page.total:
            raise source.broken(page.number, f"was the last, with {read} of the {page.total} records that were counted")

    def _check_readable(self, dataset: str, part: Part, declared: DatasetConfig) -> None:
        """Refuse a part that the declaration knows no attribute for.

        Raises:
            ConfigError: It is read by day, or by what changed, without an attribute for that.
        """
        if isinstance(part, Day) and declared.business_date is None:
            raise ConfigError(
                f"{self.system}: {dataset} {part}: it is read as a whole, since it has no business_date; pull it "
                "without partition, or declare one"
            )
        if isinstance(part, Changed) and declared.changed is None:
            raise ConfigError(
                f"{self.system}: {dataset} {part}: it cannot be read by what changed; name the attribute with the "
                f"time of the last change (datasets.{dataset}.changed, LastUpdateDate on most resources)"
            )

    def _source(self, dataset: str, part: Part, resource: str, *, expands: bool) -> Source:
        limit = self._config.page_size_of(dataset)
        heavy = (
            f"children make a page heavy: lower datasets.{dataset}.options.page_size, {limit} now, or select fewer "
            "fields"
            if expands
            else ""
        )
        return Source(
            self.system,
            f"{dataset} {part}",
            f"{self._config.api_path}/{resource}",
            limit,
            lambda url: self._pod.get(url, lane=dataset),
            heavy,
            lambda: self._pod.is_alive(resource, lane=dataset),
        )

    def _finished(
        self, declared: DatasetConfig, part: Part, page: Page, source: Source, *, by_period: bool
    ) -> RecordPage:
        """Return a page with its children flattened, after a look whether it is of the part asked for."""
        if declared.explode is None:
            self._check_part(declared, part, page.records, page.number, source)
            return RecordPage(page.records, page.total)
        if isinstance(part, Changed):
            self._check_part(declared, part, page.records, page.number, source)
        records: list[bytes] = []
        strangers = 0
        for record in page.records:
            before = len(records)
            records += self._flattened(declared, part, record, page.number, source)
            strangers += len(records) == before
        if isinstance(part, Day) and not by_period and page.records and strangers == len(page.records):
            raise source.broken(
                page.number, f"holds nothing {part}: the pod ignores q; check what stands between (a cache, a gateway)"
            )
        return RecordPage(records)

    def _flattened(
        self, declared: DatasetConfig, part: Part, record: bytes, number: int, source: Source
    ) -> Iterator[bytes]:
        levels = levels_of(str(declared.explode), declared.key, declared.business_date)

        def keep(value: object) -> bool:
            # a batch may hold journals of several days; what is no date is kept, to be rejected with its reason
            return not isinstance(part, Day) or business_day(_text(value), self._zone) in (part.day, None)

        def rest(level: Level, link: str) -> Iterator[bytes]:
            below = dataclasses.replace(source, path=link, name=f"{source.name}, {level.path}")
            wish = asked_of_children(declared, level.path, level.ordered_by)
            for page in pages_by_offset(below, wish, self._config.framework_version):
                yield from page.records

        try:
            yield from flattened(record, levels, keep=keep, rest=rest)
        except DataError as error:
            raise source.broken(number, f"has {error}") from error

    def _check_part(
        self, declared: DatasetConfig, part: Part, records: list[bytes], number: int, source: Source
    ) -> None:
        """Refuse a page of another part: storing it would move its records to where they do not belong."""
        path = declared.business_date if isinstance(part, Day) else declared.changed
        name = at_resource(path, declared.explode) if path is not None else None
        if name is None or isinstance(part, Whole):
            return
        named = {value for (value,) in Peek([name]).at(records) if isinstance(value, str)}
        stranger = min((value for value in named if self._is_stranger(value, part)), default=None)
        if stranger is not None:
            raise source.broken(
                number,
                f"holds records of {stranger[:32]}: the pod ignores q; check time_zone, business_date_type and what "
                "stands between (a cache, a gateway)",
            )

    def _is_stranger(self, value: str, part: Day | Changed) -> bool:
        if isinstance(part, Day):
            return business_day(value, self._zone) not in (part.day, None)
        instant = instant_of(value)
        return instant is not None and not part.since <= instant < part.until


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
