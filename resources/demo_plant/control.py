"""The plant's control over HTTP, on loopback only: what was sent, freeze, go on, misbehave."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from resources.core.errors import ConfigError
from resources.demo_plant.run import RunningPlant
from resources.demo_plant.servers.ports import require_free


class EmbeddedUvicorn(uvicorn.Server):
    """uvicorn inside a program that handles signals itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the program's signal handlers alone."""
        yield

    async def close(self) -> None:
        """End `serve` without waiting for idle clients."""
        self.should_exit = True
        self.force_exit = True


def server(app: Starlette, port: int, *, certificate: Path | None = None, key: Path | None = None) -> EmbeddedUvicorn:
    """Return a server of `app` on loopback; `serve()` runs it until `close()`.

    Raises:
        UnreachableError: The port is taken.
    """
    require_free("127.0.0.1", port, "HTTP")
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        log_config=None,
        access_log=False,
        lifespan="off",
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )
    return EmbeddedUvicorn(config)


def create_app(plant: RunningPlant) -> Starlette:
    """Return the control of `plant`: GET /healthz, /counts, /sent; POST /start, /stop, /misbehave."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "frozen": plant.frozen})

    async def counts(_request: Request) -> Response:
        return JSONResponse(plant.counts())

    async def sent(request: Request) -> Response:
        since, until = (_instant(request.query_params.get(name), name) for name in ("since", "until"))
        return JSONResponse({"sent": plant.sent_between(request.query_params.get("source", ""), since, until)})

    async def start(_request: Request) -> Response:
        plant.go_on()
        return JSONResponse(plant.counts())

    async def stop(request: Request) -> Response:
        wanted = await _body(request)
        drained = await plant.freeze(drain_s=float(wanted.get("drain_s", 30.0)))
        return JSONResponse(plant.counts() | {"drained": drained})

    async def misbehave(request: Request) -> Response:
        wanted = await _body(request)
        plant.misbehave(
            str(wanted.get("kind")),
            str(wanted.get("source")),
            count=int(wanted.get("count", 1)),
            seconds=float(wanted.get("seconds", 2.0)),
        )
        return JSONResponse(plant.counts())

    async def refuse(_request: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, status_code=400)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/counts", counts),
            Route("/sent", sent),
            Route("/start", start, methods=["POST"]),
            Route("/stop", stop, methods=["POST"]),
            Route("/misbehave", misbehave, methods=["POST"]),
        ],
        exception_handlers={ConfigError: refuse, ValueError: refuse, TypeError: refuse},
    )


def _instant(text: str | None, name: str) -> datetime:
    instant = datetime.fromisoformat(text) if text else None
    if instant is None or instant.tzinfo is None:
        raise ConfigError(f"demo plant: {name} must be an instant with zone, such as 2026-11-22T10:15:00Z")
    return instant


async def _body(request: Request) -> dict[str, Any]:
    # a web page may send a form or text to loopback without being asked, JSON it may not
    raw = await request.body()
    if not raw:
        return {}
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise ConfigError("demo plant: send the body as application/json")
    body = json.loads(raw)
    if not isinstance(body, dict):
        raise ConfigError("demo plant: the body must be a JSON object")
    return body
