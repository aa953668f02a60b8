"""The fake Workday on a real TLS socket, and configurations that lead to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from joserfc.jwk import RSAKey

from resources.core.clock import Clock, ManualClock
from resources.demo_plant.erp.workday.book import WorkdayBook
from resources.demo_plant.erp.workday.control import WorkdayControl
from resources.demo_plant.erp.workday.oauth import WorkdayLogin
from resources.demo_plant.erp.workday.service import create_app
from resources.erp.workday.config import WorkdayConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.served import ServedFake

DAY = date(2026, 11, 18)
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
WSDLS = Path(__file__).resolve().parents[5] / "resources" / "demo_plant" / "erp" / "workday"
SECRETS = {
    "WORKDAY_CLIENT_SECRET": WorkdayLogin().client_secret,
    "WORKDAY_REFRESH_TOKEN": WorkdayLogin().refresh_token,
    "WORKDAY_PASSWORD": WorkdayLogin().password,
    "WORKDAY_API_KEY": "demo-gateway-key",
}


class WorkdayServer(ServedFake):
    """A running service; `.control` misbehaves, `.book` holds the objects."""

    def __init__(self, authority: CertificateAuthority, *, clock: Clock | None = None, **options: Any) -> None:
        self.book = WorkdayBook(clock=clock or ManualClock(NOW))
        self.login: WorkdayLogin = options.pop("login", None) or WorkdayLogin()
        self.control = WorkdayControl()
        app = create_app(self.book, control=self.control, login=self.login, **options)
        super().__init__(app, authority, "workday")

    def settings(self, **changes: Any) -> dict[str, Any]:
        http = self.http(5, changes)
        auth = {
            "type": "refresh_token",
            "token_url": self.base + self.login.token_path,
            "client_id": self.login.client_id,
            "client_secret": "${WORKDAY_CLIENT_SECRET}",
            "refresh_token": "${WORKDAY_REFRESH_TOKEN}",
        }
        block = {
            "kind": "workday",
            "http": http,
            "auth": auth,
            "tenant": self.login.tenant,
            "company": "GL-DEMO",
            "wsdl_folder": str(WSDLS),
            **changes,
        }
        return {name: value for name, value in block.items() if value is not None}

    def keys(self, dataset: str, day: date | None = None) -> set[str]:
        """Return the source keys that a shipped dataset has."""
        kind = dataset.removesuffix("_soap").removesuffix("_raas").removesuffix("_wql")
        if kind == "cost_centers":
            return {center["code"] for center in self.book.cost_centers()}
        if kind == "workforce":
            return {f"{worker['worker_id']}/{worker['position_id']}" for worker in self.book.workers()}
        assert day is not None
        separator = "-" if dataset.endswith("_wql") else "/"
        name = "number" if dataset.endswith("_raas") else "wid"
        return self.line_keys(self.book.journals(day, day), separator=separator, name=name)

    @staticmethod
    def line_keys(journals: list[dict[str, Any]], *, separator: str = "-", name: str = "wid") -> set[str]:
        """Return the source keys of the lines of journals."""
        return {f"{journal[name]}{separator}{line['order']}" for journal in journals for line in journal["lines"]}

    def config(self, **changes: Any) -> WorkdayConfig:
        return WorkdayConfig.model_validate(self.settings(**changes))


def generated_keys() -> tuple[str, str]:
    """Return a new RSA key: PEM of the private one, PEM of the public one."""
    key = RSAKey.generate_key(2048)
    return key.as_pem(private=True).decode(), key.as_pem(private=False).decode()


@contextmanager
def workday_server(authority: CertificateAuthority, **options: Any) -> Iterator[WorkdayServer]:
    server = WorkdayServer(authority, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()
