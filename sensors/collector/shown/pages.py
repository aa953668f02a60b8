"""What the collector's pages show: `/healthz`, `/healthz/now`, `/metrics`; and the file that says where they are."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest

from resources.core.clock import Clock
from sensors.collector import health
from sensors.collector.ending import cancelled
from sensors.collector.shown.http import Answer, PageServer, json_answer

ASK_S = 2.0
"""Longest wait of /healthz/now for the sources' answers."""


class Pages:
    """The pages of one collector."""

    def __init__(
        self,
        contributors: Callable[[], list[health.Contributor]],
        asks: Sequence[Callable[[], Coroutine[Any, Any, None]]],
        registry: CollectorRegistry,
        clock: Clock,
    ) -> None:
        """Show what `contributors` find, after `asks` has each source asked, and what `registry` counts."""
        self._contributors, self._asks, self._registry, self._clock = contributors, asks, registry, clock

    async def open(self, host: str, port: int, home: Path, ending: AsyncExitStack) -> str:
        """Serve them until `ending`; return the address, which is also left in `home` for other commands.

        Raises:
            ConfigError: The address is taken or does not exist.
        """
        server = PageServer({"/healthz": self._healthz, "/healthz/now": self._healthz_now, "/metrics": self._metrics})
        url = await server.start(host, port)
        ending.push_async_callback(server.stop)
        address = home / "collector.json"
        address.write_text(json.dumps({"pid": os.getpid(), "url": url}))
        ending.callback(address.unlink, missing_ok=True)
        return url

    async def _healthz(self) -> Answer:
        good, content = await asyncio.to_thread(health.report, self._contributors(), self._clock.now())
        return json_answer(content, HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)

    async def _healthz_now(self) -> Answer:
        """Ask every connected source first; one that does not answer in time is shown by the age of its last answer."""
        asked = [asyncio.create_task(ask()) for ask in self._asks]
        try:
            await asyncio.wait(asked, timeout=ASK_S)
        finally:
            await cancelled(asked)
        return await self._healthz()

    async def _metrics(self) -> Answer:
        text = await asyncio.to_thread(generate_latest, self._registry)
        return Answer(text, "text/plain; version=0.0.4; charset=utf-8")
