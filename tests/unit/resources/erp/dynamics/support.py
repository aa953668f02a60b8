"""FakeDynamics on a real TLS socket, and configurations that lead to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import uvicorn

from resources.core.clock import Clock
from resources.demo_plant.erp.dynamics.book import DynamicsBook
from resources.demo_plant.erp.dynamics.control import DynamicsControl
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.demo_plant.erp.dynamics.service import create_app
from resources.erp.dynamics.config import DynamicsConfig
from resources.transport.certificates import CertificateAuthority

SECRET_VARIABLE = "DYNAMICS_CLIENT_SECRET"
DAY = date(2026, 11, 20)
ALL_DATASETS: dict[str, Any] = {
    "cost_allocation": {"options": {"journal_names": ["ENALLOC"]}},
    "financial_transactions": {},
    "production_schedule": {},
    "purchase_orders": {},
    "cost_centers": {},
}


class DynamicsServer:
    """A running environment; `.control` misbehaves, `.book` holds the records."""

    def __init__(
        self, authority: CertificateAuthority, book: DynamicsBook, *, clock: Clock | None = None, **options: Any
    ) -> None:
        self.book = book
        self.control = DynamicsControl()
        self.authority = authority
        self.app = options.get("entra") or EntraApp()
        issued = authority.issue("dynamics")
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(book, control=self.control, clock=clock, **options),
                ssl_certfile=issued.certificate,
                ssl_keyfile=issued.key,
                lifespan="off",
                ws="none",
                log_level="critical",
                date_header=False,  # the service sends its own, by its own clock
            )
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})

    @property
    def base(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < deadline, "the service did not start"
            time.sleep(0.005)

    def stop(self) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(30)
        self._socket.close()

    def behave(self) -> None:
        """Forget faults and changes, for the next test."""
        self.control.reset()
        self.control.seen.clear()
        self.book.restore()

    def settings(self, **changes: Any) -> dict[str, Any]:
        http = {
            "base_url": self.base,
            "ca_certificate": str(self.authority.certificate),
            "timeout": "10s",
            "page_size": 10,
            "attempts": 3,
            "retry_time": "20s",
            "rate_limit_per_minute": None,
            **changes.pop("http", {}),
        }
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
