"""SAP in the suite."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, ClassVar

from resources.core.clock import Clock
from resources.demo_plant.erp.sap.login import SapLogin
from resources.demo_plant.erp.sap.services import make_books
from resources.erp.config import SystemConfig
from resources.erp.connector import ErpClient
from resources.erp.sap.client import SapClient
from resources.erp.sap.config import SapConfig
from tests.contract.erp.rig import SYSTEM, ErpRig, Trouble
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer

_SERVICES = {
    "energy_consumption": "API_MEASUREMENTDOCUMENT_0001",
}


class Rig(ErpRig):
    """The fake SAP: measurement documents by OData V4."""

    kind = "sap"
    day = date(2026, 11, 18)
    facts = "energy_consumption"
    master = "cost_centers"
    changing = "production_schedule"
    environment: ClassVar = {SECRET_VARIABLE: SapLogin().client_secret}
    troubles: ClassVar = {
        Trouble.THROTTLED: "throttle",
        Trouble.UNAVAILABLE: "unavailable",
        Trouble.BAD_GATEWAY: "bad_gateway",
        Trouble.SERVER_ERROR: "server_error",
        Trouble.FORBIDDEN: "forbidden",
        Trouble.LOGIN_PAGE: "html_login",
        Trouble.TRUNCATED: "truncated",
        Trouble.NOT_UTF8: "not_utf8",
        Trouble.WRONG_CHARSET: "wrong_charset",
        Trouble.DROPPED: "drop",
        Trouble.FOREIGN_LINK: "foreign_link",
        Trouble.REPEATED_PAGE: "repeat_page",
        Trouble.EMPTY_PAGE: "empty_page",
        Trouble.OTHER_DAY: "other_day",
        Trouble.NO_KEY: "no_key",
        Trouble.HUGE_FIELD: "huge_field",
    }

    def start(self) -> None:
        self.server = SapServer(self.authority, make_books())
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def reset(self) -> None:
        self.server.control.reset()

    def settings(self, **changes: Any) -> dict[str, Any]:
        http = {"rate_limit_per_minute": None, **changes.pop("http", {})}
        datasets = list(SapConfig.shipped_datasets())
        return self.server.settings(**{"datasets": datasets, "http": http, **changes})

    def client(self, config: SystemConfig, clock: Clock | None = None) -> ErpClient:
        assert isinstance(config, SapConfig)
        return SapClient(SYSTEM, config, clock=clock)

    def keys(self, dataset: str, day: date | None = None) -> set[str]:
        return self.server.source_keys(dataset, day)

    def changed_keys(self, since: datetime, until: datetime) -> set[str]:
        book = self.server.books.production_orders
        stamps = {
            order["ManufacturingOrder"]: datetime.strptime(order["LastChangeDateTime"], "%Y%m%d%H%M%S").replace(
                tzinfo=UTC
            )
            for order in book.records()
        }
        return {number for number, stamp in stamps.items() if since <= stamp < until}

    def misbehave(self, name: str, *, times: int = 1, after: int = 0) -> None:
        self.server.control.misbehave(name, times=times, after=after, retry_after="0" if name == "throttle" else None)

    def expire_tokens(self) -> None:
        self.server.control.expire_tokens()

    def requests(self) -> tuple[int, int]:
        return self.server.control.requests, self.server.control.token_requests

    def deny(self, dataset: str) -> None:
        self.server.control.denied.add(_SERVICES[dataset])

    def rename(self, dataset: str) -> str:
        assert dataset == self.facts
        self.server.control.metadata_changes['Name="MsmtRdngTime"'] = 'Name="MeasurementReadingTime"'
        return "MsmtRdngTime"
