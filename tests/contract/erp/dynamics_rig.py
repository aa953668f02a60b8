"""Dynamics 365 Finance & Operations in the suite."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, ClassVar

from resources.core.clock import Clock
from resources.demo_plant.erp.dynamics.book import DynamicsBook
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.demo_plant.erp.dynamics.query import moment
from resources.erp.config import SystemConfig
from resources.erp.connector import ErpClient
from resources.erp.dynamics.client import DynamicsClient
from resources.erp.dynamics.config import DynamicsConfig
from tests.contract.erp.rig import SYSTEM, ErpRig, Trouble
from tests.unit.resources.erp.dynamics.support import ALL_DATASETS, SECRET_VARIABLE, DynamicsServer

_STAMP = "ModifiedDateTime1"
_SETS = {
    "cost_allocation": "LedgerJournalLines",
    "financial_transactions": "GeneralJournalAccountEntries",
    "production_schedule": "ProductionOrderHeaders",
    "purchase_orders": "PurchaseOrderLinesV2",
    "cost_centers": "FinancialDimensionValues",
}
"""Dataset -> the set whose records it has; of orders, that of their lines."""


class Rig(ErpRig):
    """FakeDynamics: posted entries, journals, orders and dimensions of two companies by OData V4."""

    kind = "dynamics"
    day = date(2026, 11, 18)
    facts = "financial_transactions"
    master = "cost_centers"
    changing = "financial_transactions"
    environment: ClassVar = {SECRET_VARIABLE: EntraApp().client_secret}
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
        Trouble.OTHER_DAY: "ignore_filter",
        Trouble.NO_KEY: "no_key",
        Trouble.HUGE_FIELD: "huge_field",
    }

    def start(self) -> None:
        self.server = DynamicsServer(self.authority, DynamicsBook())
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def reset(self) -> None:
        self.server.behave()

    def settings(self, **changes: Any) -> dict[str, Any]:
        # the stamp is there, but not in every version: whoever has it says so
        datasets = {**ALL_DATASETS, self.changing: {"changed": _STAMP}}
        return self.server.settings(**{"datasets": datasets, **changes})

    def client(self, config: SystemConfig, clock: Clock | None = None) -> ErpClient:
        assert isinstance(config, DynamicsConfig)
        return DynamicsClient(SYSTEM, config, clock=clock)

    def keys(self, dataset: str, day: date | None = None) -> set[str]:
        return {self._key(dataset, record) for record in self._held(dataset, day)}

    def changed_keys(self, since: datetime, until: datetime) -> set[str]:
        # a stamp is of the day of its entry here
        days = {since.date(), until.date()}
        held = [record for day in days for record in self._held(self.changing, day)]
        return {self._key(self.changing, record) for record in held if since <= moment(record[_STAMP]) < until}

    def _held(self, dataset: str, day: date | None) -> list[dict[str, Any]]:
        book, name = self.server.book, _SETS[dataset]
        records = book.masters(name) if day is None else book.day(name, day)
        if dataset == "cost_allocation":
            return [r for r in records if r["JournalBatchNumber"].startswith("A") and r["DebitAmount"]]
        return [record for record in records if record.get("FinancialDimension", "CostCenter") == "CostCenter"]

    def _key(self, dataset: str, record: dict[str, Any]) -> str:
        return "/".join(str(record[name] or "?") for name in self.config().datasets[dataset].key)

    def misbehave(self, name: str, *, times: int = 1, after: int = 0) -> None:
        self.server.control.misbehave(name, times=times, after=after, retry_after="0" if name == "throttle" else None)

    def expire_tokens(self) -> None:
        self.server.control.expire_tokens()

    def requests(self) -> tuple[int, int]:
        return self.server.control.requests, self.server.control.token_requests

    def deny(self, dataset: str) -> None:
        self.server.control.denied.add(_SETS[dataset])

    def rename(self, dataset: str) -> str:
        assert dataset == self.facts
        self.server.control.metadata_changes['Name="LedgerAccount"'] = 'Name="LedgerAccountDisplayValue"'
        return "LedgerAccount"
