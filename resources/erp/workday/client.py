"""Reads one Workday tenant by WQL, REST, custom reports and SOAP. Read-only; no Dagster, no pandas."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import structlog

from resources.core.clock import Clock, SystemClock
from resources.core.errors import DataError, ProtocolError, SourceError
from resources.core.process.closing import Closing
from resources.core.process.home import gl_home
from resources.erp.connector import Day, Finding, Part, SystemDescription, Whole
from resources.erp.declared import DatasetConfig
from resources.erp.records import RecordPage
from resources.erp.workday.advice import explained
from resources.erp.workday.config import WorkdayConfig
from resources.erp.workday.description import Describer
from resources.erp.workday.health import Doctor
from resources.erp.workday.options import protocol_of
from resources.erp.workday.reader import RecordReader
from resources.erp.workday.sources.pages import Pull, Source
from resources.erp.workday.sources.raas import RaasSource
from resources.erp.workday.sources.soap import SoapSource
from resources.erp.workday.sources.wql import WqlSource
from resources.erp.workday.tenant import Tenant

log = structlog.get_logger(__name__)


class WorkdayClient(Closing):
    """One tenant; threads may share it. Close it, or use it in a `with` statement."""

    def __init__(self, system: str, config: WorkdayConfig, *, clock: Clock | None = None) -> None:
        """Prepare the client of the system that the configuration calls `system`; nothing is sent yet.

        Raises:
            ConfigError: A certificate cannot be used.
        """
        self._system = system
        self._config = config
        self._tenant = tenant = Tenant(system, config, clock or SystemClock(), home=gl_home())
        self._wql = WqlSource(tenant.api, config, system=system)
        self._raas = RaasSource(tenant.reports, config, system=system)
        self._soap = SoapSource(tenant, config, system=system)
        self._sources: dict[str, Source] = {
            "wql": self._wql, "rest": self._wql, "raas": self._raas, "soap": self._soap,
        }  # fmt: skip

    def close(self) -> None:
        """Close the connections."""
        self._tenant.close()

    @property
    def system(self) -> str:
        """Name of the system in the configuration."""
        return self._system

    @property
    def token_requests(self) -> int:
        """Token requests sent so far."""
        return self._tenant.api.token_requests

    def server_time(self) -> datetime | None:
        """Return Workday's time now by the Date of its last answer; None before the first one."""
        return self._tenant.clock.now()

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield the pages of a part of a configured dataset, as they arrive.

        Records about people hold what the dataset declares and nothing else, whatever Workday sent.

        Raises:
            ConfigError: The dataset cannot be read by such a part, or its options do not fit.
            SourceError: The part could not be read; a ProtocolError also for a page of another day, and where fewer
                records arrive than the server counted. The message names dataset, part and page.
        """
        return self._records(dataset, self._config.datasets[dataset], part)

    def fetch_keys(self, dataset: str, part: Day | Whole) -> Iterator[RecordPage]:
        """Yield pages of records that hold at least the dataset's key; errors as of `fetch`.

        Only WQL can be asked for the keys alone: reports and SOAP answer as they always do.
        """
        declared = self._config.datasets[dataset]
        if protocol_of(declared) == "wql":
            none: dict[str, Any] = {"fields": {}, "extra": {}, "select": (), "withdrawn_when": ()}
            declared = declared.model_copy(update={**none, "changed": None, "totals": None})
        return self._records(dataset, declared, part)

    def _records(self, dataset: str, declared: DatasetConfig, part: Part) -> Iterator[RecordPage]:
        pull = Pull(self._system, dataset, declared, part)
        # WQL gives what is selected; of everything else the rest is dropped here
        reduced = self._config.is_about_people(dataset, declared) or bool(
            declared.select and protocol_of(declared) != "wql"
        )
        reader = RecordReader(pull, only_declared=reduced)
        records = 0
        counted: int | None = None
        with self._told(pull):
            for page in self._sources[protocol_of(declared)].pages(pull):
                counted = page.count
                found = self._read(reader, page.number, page.records)
                records += len(found)
                log.debug("page_read", source=self._system, dataset=dataset, part=str(part), page=page.number)
                yield RecordPage(found, None if declared.explode else counted)
            if declared.explode and counted is not None:
                # the server counts what the lists are in: that all of it came is known now, and so is the number
                yield RecordPage([], records)

    def describe(self) -> SystemDescription:
        """Return WSDLs, fields of WQL data sources and schemas of reports, and what they say of the datasets.

        Raises:
            SourceError: One of them could not be read.
        """
        describer = Describer(self._system, self._config, self._wql, self._raas, self._soap)
        return describer.describe()

    def look(self) -> list[Finding]:
        """Return what there is to say of log-on, clock, permission and personal data.

        Raises:
            UnreachableError: The tenant could not be reached at all.
        """
        doctor = Doctor(
            self._config, self._tenant.clock, system=self._system, wql=self._wql, raas=self._raas, soap=self._soap
        )
        return doctor.look()

    def _read(self, reader: RecordReader, number: int, records: list[bytes] | list[dict[str, Any]]) -> list[bytes]:
        try:
            return reader.records(records)
        except DataError as error:
            raise ProtocolError(f"{self._system}: page {number} holds {error}", source=self._system) from error

    @contextmanager
    def _told(self, pull: Pull) -> Iterator[None]:
        """Name in every error what was read and what to do."""
        try:
            yield
        except SourceError as error:
            said = explained(error)
            error.args = (said if str(pull) in said else f"{said} ({pull})",)
            raise
