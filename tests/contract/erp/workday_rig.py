"""Workday in the suite."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from resources.core.clock import Clock
from resources.erp.config import SystemConfig
from resources.erp.connector import ErpClient
from resources.erp.workday.client import WorkdayClient
from resources.erp.workday.config import WorkdayConfig
from tests.contract.erp.rig import SYSTEM, ErpRig, Trouble
from tests.unit.resources.erp.workday.support import DAY, SECRETS, WorkdayServer


class Rig(ErpRig):
    """The fake Workday: journals by SOAP with a token, everything else by every protocol that ships."""

    kind = "workday"
    day: ClassVar[date] = DAY
    facts = "financial_transactions"
    master = "cost_centers"
    changing = "financial_transactions_wql"
    environment: ClassVar = {name: SECRETS[name] for name in ("WORKDAY_CLIENT_SECRET", "WORKDAY_REFRESH_TOKEN")}
    troubles: ClassVar = {
        Trouble.THROTTLED: "throttle",
        Trouble.UNAVAILABLE: "unavailable",
        Trouble.BAD_GATEWAY: "bad_gateway",
        Trouble.SERVER_ERROR: "server_error",
        Trouble.FORBIDDEN: "processing_fault",
        Trouble.LOGIN_PAGE: "html_login",
        Trouble.TRUNCATED: "truncated",
        Trouble.NOT_UTF8: "not_utf8",
        Trouble.WRONG_CHARSET: "wrong_charset",
        Trouble.DROPPED: "drop",
        Trouble.REPEATED_PAGE: "repeat_page",
        Trouble.OTHER_DAY: "other_day",
        Trouble.NO_KEY: "no_key",
        Trouble.HUGE_FIELD: "huge_field",
    }
    exempt: ClassVar = {
        Trouble.FOREIGN_LINK: "pages are asked for by number: Workday gives no links; imports of a WSDL have their test",
        Trouble.EMPTY_PAGE: "a page is asked for by its number: what an empty one lacks comes on no other, and is missed",
    }

    def start(self) -> None:
        self.server = WorkdayServer(self.authority)
        self.server.start()

    def stop(self) -> None:
        self.server.stop()

    def reset(self) -> None:
        self.server.control.reset()
        self.server.book.reset()

    def settings(self, **changes: Any) -> dict[str, Any]:
        return self.server.settings(**{"datasets": list(WorkdayConfig.shipped_datasets()), **changes})

    def client(self, config: SystemConfig, clock: Clock | None = None) -> ErpClient:
        assert isinstance(config, WorkdayConfig)
        return WorkdayClient(SYSTEM, config, clock=clock)

    def keys(self, dataset: str, day: date | None = None) -> set[str]:
        return self.server.keys(dataset, day)

    def changed_keys(self, since: datetime, until: datetime) -> set[str]:
        return self.server.line_keys(self.server.book.journals_updated(since, until - timedelta(microseconds=1)))

    def misbehave(self, name: str, *, times: int = 1, after: int = 0) -> None:
        self.server.control.misbehave(name, times=times, after=after, retry_after="0" if name == "throttle" else None)

    def expire_tokens(self) -> None:
        self.server.control.expire_tokens()

    def requests(self) -> tuple[int, int]:
        return self.server.control.requests, self.server.control.token_requests

    def deny(self, dataset: str) -> None:
        self.server.control.denied.add(self.config().datasets[dataset].resource)

    def rename(self, dataset: str) -> str:
        assert dataset == self.facts
        self.server.control.metadata_changes['name="Journal_Line_Number"'] = 'name="Line_Order"'
        return "Journal_Line_Number"
