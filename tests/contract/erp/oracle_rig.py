"""Oracle ERP Cloud in the suite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from resources.core.clock import Clock, SystemClock
from resources.demo_plant.erp.oracle.login import OracleLogin
from resources.demo_plant.erp.oracle.records import Record
from resources.erp.config import SystemConfig
from resources.erp.connector import ErpClient
from resources.erp.oracle.client import OracleClient
from resources.erp.oracle.config import OracleConfig
from tests.contract.erp.rig import SYSTEM, ErpRig, Trouble
from tests.unit.resources.erp.oracle.support import SECRET_VARIABLE, OracleServer


class Rig(ErpRig):
    """The fake Oracle: Fusion REST of framework 4."""

    kind = "oracle"
    day = date(2026, 11, 17)
    facts = "energy_consumption"
    master = "assets"
    changing = "energy_consumption"
    environment: ClassVar = {SECRET_VARIABLE: OracleLogin().client_secret}
    troubles: ClassVar = {
        Trouble.THROTTLED: "throttle",
        Trouble.UNAVAILABLE: "unavailable",
        Trouble.BAD_GATEWAY: "gateway_timeout",
        Trouble.SERVER_ERROR: "server_error",
        Trouble.FORBIDDEN: "forbidden",
        Trouble.LOGIN_PAGE: "html_login",
        Trouble.TRUNCATED: "truncated",
        Trouble.NOT_UTF8: "not_utf8",
        Trouble.WRONG_CHARSET: "wrong_charset",
        Trouble.DROPPED: "drop",
        Trouble.REPEATED_PAGE: "repeat_page",
        Trouble.EMPTY_PAGE: "empty_page",
        Trouble.OTHER_DAY: "ignore_filter",
        Trouble.NO_KEY: "no_key",
        Trouble.HUGE_FIELD: "huge_field",
    }
    exempt: ClassVar = {
        Trouble.FOREIGN_LINK: "pages are sought by key, not by link; the link of children is tried in the unit tests"
    }

    def start(self) -> None:
        self.server = OracleServer(self.authority, clock=SystemClock())
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def reset(self) -> None:
        self.server.control.reset()

    def settings(self, **changes: Any) -> dict[str, Any]:
        return self.server.settings(**changes)

    def client(self, config: SystemConfig, clock: Clock | None = None) -> ErpClient:
        assert isinstance(config, OracleConfig)
        return OracleClient(SYSTEM, config, clock=clock)

    def keys(self, dataset: str, day: date | None = None) -> set[str]:
        return set(self._keys(dataset, day))

    def _keys(self, dataset: str, day: date | None) -> Iterator[str]:
        book = self.server.book
        if dataset == "assets":
            yield from (str(asset["AssetId"]) for asset in book.records("installedBaseAssets"))
        elif dataset == "financial_transactions":
            assert day is not None
            for batch in book.records("journalBatches", day - timedelta(days=1), day):
                yield from _lines(batch, day)
        else:
            resource, key = {
                "energy_consumption": ("meterReadings", "MeterReadingId"),
                "maintenance_schedule": ("maintenanceWorkOrders", "WorkOrderId"),
            }[dataset]
            yield from (str(record[key]) for record in book.records(resource, day, day))

    def changed_keys(self, since: datetime, until: datetime) -> set[str]:
        first = since.astimezone(UTC).date() - timedelta(days=1)
        readings = self.server.book.records("meterReadings", first, until.date())
        return {
            str(reading["MeterReadingId"])
            for reading in readings
            if since <= datetime.fromisoformat(reading["LastUpdateDate"]) < until
        }

    def misbehave(self, name: str, *, times: int = 1, after: int = 0) -> None:
        self.server.control.misbehave(name, times=times, after=after, retry_after="0" if name == "throttle" else None)

    def expire_tokens(self) -> None:
        self.server.control.expire_tokens()

    def requests(self) -> tuple[int, int]:
        return self.server.control.requests, self.server.control.token_requests

    def deny(self, dataset: str) -> None:
        self.server.control.denied.add(OracleConfig.shipped_datasets()[dataset]["resource"])

    def rename(self, dataset: str) -> str:
        assert dataset == self.facts
        self.server.control.renamed["ReadingNetChange"] = "NetChange"
        return "ReadingNetChange"


def _lines(batch: Record, day: date) -> Iterator[str]:
    for journal in batch["journalHeaders"]:
        if journal["DefaultEffectiveDate"] == day.isoformat():
            for line in journal["journalLines"]:
                yield f"{batch['JeBatchId']}/{journal['JournalName']}/{line['JeLineNumber']}"
