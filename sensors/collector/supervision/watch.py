"""Watches one connection from the side: does it come up in time, does its peer answer when asked, is another better."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

from resources.core.clock import Clock
from resources.core.errors import UnreachableError
from resources.scada.config import SourceOptions
from resources.scada.connector import HasHealth, ScadaClient
from resources.scada.endpoints import EndpointChoice
from sensors.collector.state import SourceState

CANCEL_AGAIN_S = 5.0
"""A connection that has not ended by then is cancelled again: longer than a connector takes to say goodbye."""


class BetterEndpointError(Exception):
    """The server in use is not healthy, and another address may be better; nothing has failed."""


class Watch:
    """One connection's watch; `run` beside the connector's own `run`, and end both when either ends."""

    def __init__(
        self,
        client: ScadaClient,
        options: SourceOptions,
        state: SourceState,
        *,
        clock: Clock,
        is_waiting: Callable[[], bool],
    ) -> None:
        """Watch `client`; `is_waiting` tells whether it waits for us, and so may not answer."""
        self._client = client
        self._state, self._clock, self._is_waiting = state, clock, is_waiting
        self._start_s = options.start_timeout.total_seconds()
        self._answer_s = options.connect_timeout.total_seconds()
        self._interval_s = options.health_interval.total_seconds()
        self._up = asyncio.Event()
        self._asked = asyncio.Event()
        self._answered = asyncio.Event()
        self._over = False

    def connected(self) -> None:
        """Note that the connection is up."""
        self._up.set()

    async def ask(self) -> None:
        """Have the peer asked now; returns when it has answered. A peer that fails to answer ends `run` instead."""
        if self._up.is_set() and not self._over and isinstance(self._client, HasHealth):
            self._answered.clear()
            self._asked.set()
            await self._answered.wait()

    async def run(self, choice: EndpointChoice | None, position: int) -> None:
        """Watch until the connection is found wanting.

        Raises:
            SourceError: It did not come up in time, or its peer does not answer.
            BetterEndpointError: Another address should be read.
        """
        try:
            await self._until_up()
            await self._ask_forever(choice, position)
        finally:
            self._over = True
            self._answered.set()

    async def _ask_forever(self, choice: EndpointChoice | None, position: int) -> None:
        several = choice is not None and len(choice.addresses) > 1
        if not isinstance(self._client, HasHealth):
            await asyncio.Event().wait()
        # sources that came up together are not to be asked together for ever
        pause_s = 0.0 if several else self._interval_s * random.uniform(0.5, 1.0)
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._asked.wait()
            pause_s = self._interval_s
            # what has just spoken need not be asked, but for how good it is
            if self._asked.is_set() or several or self._is_quiet():
                self._asked.clear()
                await self._check(choice, position)
            self._answered.set()

    async def _until_up(self) -> None:
        while not self._up.is_set():
            try:
                async with asyncio.timeout(self._start_s):
                    await self._up.wait()
            except TimeoutError as error:
                if self._is_waiting():
                    continue
                raise UnreachableError(
                    f"source {self._client.name}: it took the connection, but could not be read within "
                    f"{self._start_s:g} s: check its load, or raise start_timeout if it has very many items",
                    source=self._client.name,
                ) from error

    def _is_quiet(self) -> bool:
        heard = self._state.last_received
        return heard is None or self._clock.monotonic() - heard >= self._interval_s

    async def _check(self, choice: EndpointChoice | None, position: int) -> None:
        """Ask the peer, and note what it says."""
        client = self._client
        if self._is_waiting() or not isinstance(client, HasHealth):
            return
        began = self._clock.monotonic()
        try:
            async with asyncio.timeout(self._answer_s):
                health = await client.check_health()
        except TimeoutError as error:
            if self._is_waiting():
                return
            raise UnreachableError(
                f"source {client.name}: connected, but no answer to a health check in {self._answer_s:g} s: check "
                "that the device runs, and the network in between",
                source=client.name,
            ) from error
        self._state.health_s, self._state.health_at = self._clock.monotonic() - began, self._clock.now()
        self._state.service_level = health.service_level
        if choice is not None and health.service_level is not None:
            choice.told_level(position, health.service_level)
            if (better := choice.better_than(position)) is not None:
                there = choice.addresses[better]
                raise BetterEndpointError(f"ServiceLevel {health.service_level}: moving to {there.host}:{there.port}")


async def until_either(reading: Coroutine[Any, Any, None], watching: Coroutine[Any, Any, None]) -> None:
    """Run both until one ends, and return when both have; raises what they raised, `reading` first."""
    tasks = [asyncio.ensure_future(reading), asyncio.ensure_future(watching)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _end(tasks)
    # what the connection itself says comes before what was seen of it from outside
    for error in [task.exception() for task in tasks if not task.cancelled()]:
        if error is not None:
            raise error


async def _end(tasks: Sequence[asyncio.Future[None]]) -> None:
    """Cancel and wait until all have ended; passes a cancellation of its own on to them, and then takes it."""
    pending, cancelled = {task for task in tasks if not task.done()}, False
    while pending:
        for task in pending:
            task.cancel()
        try:
            # again and again: `asyncio.wait_for` of Python 3.11 may swallow a cancellation
            _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
        except asyncio.CancelledError:
            cancelled = True
            pending = {task for task in pending if not task.done()}
    if cancelled:
        raise asyncio.CancelledError
