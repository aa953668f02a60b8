"""Reads SAP S/4HANA by OData V4. Read-only; no Dagster, no pandas."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from types import TracebackType
from typing import Any, Self

import structlog

from resources.core.clock import Clock
from resources.core.errors import ProtocolError
from resources.core.home import gl_home
from resources.erp.connector import Day, Part
from resources.erp.declared import DatasetConfig
from resources.erp.records import RecordPage
from resources.erp.sap.config import SapConfig
from resources.transport.call_stats import CallStats
from resources.transport.http import HttpClient
from resources.transport.json_text import dump_json
from resources.transport.odata import ODataService, Query, compare

log = structlog.get_logger(__name__)


class SapClient:
    """One SAP system; threads may share it. Close it, or use it in a `with` statement."""

    def __init__(self, system: str, config: SapConfig, *, clock: Clock | None = None) -> None:
        """Prepare the client of the system that the configuration calls `system`; nothing is sent yet.

        Raises:
            ConfigError: The CA certificate cannot be used.
        """
        self.system = system
        self._config = config
        self._http = HttpClient(
            system,
            config.http,
            auth=config.auth,
            # next links of a gateway may lose the query option, the header never
            headers={"sap-client": config.sap_client, "OData-MaxVersion": "4.0"},
            stats=CallStats(system, gl_home(), clock=clock),
            clock=clock,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def token_requests(self) -> int:
        """Token requests sent so far."""
        return self._http.token_requests

    def fetch_energy_consumption(self, day: date) -> Iterator[RecordPage]:
        """Yield the measurement documents whose reading is dated `day` in the system's zone, by number.

        Raises:
            SourceError: The system could not be read; see `resources.transport.http`.
        """
        return self.fetch("energy_consumption", Day(day))

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield the records of a configured dataset whose business date is the day of `part`.

        Raises:
            SourceError: As above; a ProtocolError also where the service ignores the filter.
        """
        declared = self._config.datasets[dataset]
        assert isinstance(part, Day), "only business days are read"
        assert declared.business_date is not None
        query = Query(
            filter=compare(declared.business_date, "eq", part.day),
            select=declared.select,
            orderby=declared.key,
            count=True,
            custom={"sap-client": self._config.sap_client},
        )
        counted: int | None = None
        service = ODataService(self._http, self._root(dataset, declared), page_size=self._config.http.page_size)
        for page in service.pages(declared.resource, query):
            counted = page.count if counted is None else counted
            self._check_day(declared, part.day, page.records, page.number)
            log.debug("page_read", source=self.system, dataset=dataset, day=str(part.day), page=page.number)
            yield RecordPage([dump_json(record) for record in page.records], counted)

    def _root(self, dataset: str, declared: DatasetConfig) -> str:
        moved = self._config.service_root if dataset == "energy_consumption" else None
        return moved or declared.service or "/"

    def _check_day(self, declared: DatasetConfig, day: date, records: list[dict[str, Any]], number: int) -> None:
        """Refuse a page of another day: storing it would move its records to where they do not belong."""
        name = str(declared.business_date)
        named = {str(record[name]) for record in records if record.get(name)}
        strangers = {text for text in named if _is_date(text) and text != day.isoformat()}
        if strangers:
            raise ProtocolError(
                f"{self.system}: page {number} of {declared.resource} for {day} holds records of {min(strangers)}: "
                "the service ignores $filter; check service_root and what stands between (a cache, a gateway)",
                source=self.system,
            )


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
