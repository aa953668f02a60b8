"""A fake ERP on a real TLS socket, served by a thread: what the servers of all kinds share."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import uvicorn

from resources.transport.trust.certificates import CertificateAuthority


class ServedFake:
    """An ASGI app at a free port of loopback; `start` returns once it answers."""

    def __init__(self, app: Any, authority: CertificateAuthority, name: str, **options: Any) -> None:
        """Bind the port; `name` is the certificate's, `options` are uvicorn's."""
        self.authority = authority
        issued = authority.issue(name)
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                ssl_certfile=issued.certificate,
                ssl_keyfile=issued.key,
                lifespan="off",
                ws="none",
                log_level="critical",
                **options,
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

    def http(self, page_size: int, changes: dict[str, Any]) -> dict[str, Any]:
        """Return the connection's part of a configuration; `http` is taken out of `changes` and laid over it."""
        return {
            "base_url": self.base,
            "ca_certificate": str(self.authority.certificate),
            "timeout": "10s",
            "page_size": page_size,
            "attempts": 3,
            "retry_time": "20s",
            "rate_limit_per_minute": None,
            **changes.pop("http", {}),
        }
