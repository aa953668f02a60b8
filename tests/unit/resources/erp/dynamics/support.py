"""FakeDynamics on a real TLS socket, and configurations that lead to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from resources.core.clock import Clock
from resources.demo_plant.erp.dynamics.book import DynamicsBook
from resources.demo_plant.erp.dynamics.control import DynamicsControl
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.demo_plant.erp.dynamics.service import create_app
from resources.erp.dynamics.config import DynamicsConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.served import ServedFake

SECRET_VARIABLE = "DYNAMICS_CLIENT_SECRET"
DAY = date(2026, 11, 20)
ALL_DATASETS: dict[str, Any] = {
    "cost_allocation": {"options": {"journal_names": ["ENALLOC"]}},
    "financial_transactions": {},
    "production_schedule": {},
    "purchase_orders": {},
    "cost_centers": {},
}


class DynamicsServer(ServedFake):
    """A running environment; `.control` misbehaves, `.book` holds the records."""

    def __init__(
        self, authority: CertificateAuthority, book: DynamicsBook, *, clock: Clock | None = None, **options: Any
    ) -> None:
        self.book = book
        self.control = DynamicsControl()
        self.app = options.get("entra") or EntraApp()
        app = create_app(book, control=self.control, clock=clock, **options)
        # the service sends its own Date, by its own clock
        super().__init__(app, authority, "dynamics", date_header=False)

    def behave(self) -> None:
        """Forget faults and changes, for the next test."""
        self.control.reset()
        self.control.seen.clear()
        self.book.restore()

    def settings(self, **changes: Any) -> dict[str, Any]:
        http = self.http(10, changes)
        auth = changes.pop("auth", None) or self.secret_auth()
        return {
            "kind": "dynamics",
            "http": http,
            "auth": auth,
            "company": "usmf",
            "datasets": ALL_DATASETS,
            **changes,
        }

    def secret_auth(self, **changes: Any) -> dict[str, Any]:
        """Return the second generation of Entra's endpoint, by a secret."""
        return {
            "type": "client_credentials",
            "token_url": f"{self.base}/{self.app.tenant}/oauth2/v2.0/token",
            "client_id": self.app.client_id,
            "client_secret": f"${{{SECRET_VARIABLE}}}",
            "client_auth": "client_secret_post",
            "scope": f"{self.base}/.default",
            **changes,
        }

    def config(self, **changes: Any) -> DynamicsConfig:
        return DynamicsConfig.model_validate(self.settings(**changes))


@contextmanager
def dynamics_server(authority: CertificateAuthority, **options: Any) -> Iterator[DynamicsServer]:
    book = options.pop("book", None) or DynamicsBook(clock=options.get("clock"))
    server = DynamicsServer(authority, book, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def pem(path: Path) -> bytes:
    return path.read_bytes()
