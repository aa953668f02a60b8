"""One connection to a Modbus server: a socket, plain or TLS, or a serial line; one request at a time."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from resources.scada.modbus.wire.framing import Framing, FramingError
from resources.scada.modbus.wire.pdu import Request

_GOODBYE_S = 3.0
"""Longest wait for the peer to take the end of TLS."""
_STILL_S = 0.05
"""Where answers have no number, a line is done with a request that timed out when it was still for this long."""
_MOST_STILL_WAITS = 40


class LinkLostError(Exception):
    """The connection is gone; `__cause__` is why, None if the peer closed it."""


class Link(asyncio.Protocol):
    """Sends requests and waits for their answers, over whatever transport asyncio gives it."""

    def __init__(self, framing: Framing, *, silence_s: float = 0.0) -> None:
        """Talk in the frames of `framing`; the line is to be still for `silence_s` before a request."""
        self.framing = framing
        self.transport: asyncio.Transport | None = None
        self.ended = asyncio.Event()
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[bytes] | None = None
        self._heard_at = 0.0
        self._overdue = False
        self.loss: Exception | None = None
        """Why it ended; None if the peer closed it."""
        self._turn = asyncio.Lock()

    async def ask(self, unit_id: int, request: Request, timeout_s: float) -> bytes:
        """Return the protocol data unit of the answer.

        Raises:
            TimeoutError: No answer in time; a late one will be dropped.
            LinkLostError: The connection is gone.
            FramingError: What came is no Modbus.
        """
        async with self._turn:
            if self._overdue or self._silence_s:
                await self._wait_for_silence()
            if self.transport is None or self.ended.is_set():
                raise LinkLostError from self.loss
            self._answer = self._loop.create_future()
            # a bare timer: asyncio.timeout costs more, and every request would pay
            timer = self._loop.call_later(timeout_s, self._fail, TimeoutError())
            try:
                self.transport.write(self.framing.request(unit_id, request))
                return await self._answer
            except BaseException:
                # also when cancelled: whoever asks next must not get this answer
                self._overdue = not self.framing.has_transactions
                self.framing.forget()
                raise
            finally:
                timer.cancel()
                self._answer = None

    async def _wait_for_silence(self) -> None:
        if self._overdue:
            for _ in range(_MOST_STILL_WAITS):
                await asyncio.sleep(_STILL_S)
                if self._loop.time() - self._heard_at >= _STILL_S:
                    break
            self._overdue = False
        if self._silence_s and (left := self._heard_at + self._silence_s - self._loop.time()) > 0:
            await asyncio.sleep(left)

    # -- what asyncio calls ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Look for the answer."""
        self._heard_at = self._loop.time()
        try:
            found = self.framing.feed(data)
        except FramingError as error:
            self._fail(error)
            return
        if found is not None and self._answer is not None and not self._answer.done():
            self._answer.set_result(found)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits."""
        self.loss = exc
        self.ended.set()
        lost = LinkLostError()
        lost.__cause__ = exc
        self._fail(lost)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    @property
    def ssl_object(self) -> Any:
        """The TLS of the connection, None if it is plain or closed."""
        return self.transport.get_extra_info("ssl_object") if self.transport is not None else None

    async def close(self) -> None:
        """Close; returns once it is closed."""
        if self.transport is None:
            return
        self.transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYE_S):
                await self.ended.wait()
        if not self.ended.is_set():
            self.transport.abort()
