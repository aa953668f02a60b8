"""A cheap look whether anybody is there at an address: connect, wait for a sign of life, close.

A device that hangs goes on taking connections, for its kernel does: where the protocol has bytes that are answered
before any session, they are sent and the answer is what counts. Otherwise nothing is sent, so that no session, no login
and no log of refused logins comes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

LISTEN_S = 0.1
"""A relay whose own peer is away takes a connection and drops it at once: one that lives this long is somebody."""


class PortLooker:
    """Looks at ports; a name is looked up once at a time, however often it is asked for.

    A resolver that does not answer blocks a thread for up to half a minute: looks that come every two seconds would
    pile up until no thread is left for anybody.
    """

    def __init__(self) -> None:
        """Nothing is under way."""
        self._lookups: dict[tuple[str, int], asyncio.Future[Any]] = {}

    async def is_alive(self, host: str, port: int, timeout_s: float, greeting: bytes = b"") -> bool:
        """Return whether `greeting` is answered; without one, whether a connection is taken and not dropped at once."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(ends):
                reader, writer = await asyncio.open_connection(await self._resolved(host, port), port)
        except OSError:  # refused, no route, name unknown, no answer in time
            return False
        try:
            writer.write(greeting)
            async with asyncio.timeout_at(ends if greeting else loop.time() + LISTEN_S):
                # a peer that speaks first is there as well
                return bool(await reader.read(1))
        except TimeoutError:
            return not greeting
        except OSError:
            return False
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _resolved(self, host: str, port: int) -> str:
        lookup = self._lookups.get((host, port))
        if lookup is None:
            loop = asyncio.get_running_loop()
            lookup = asyncio.ensure_future(loop.getaddrinfo(host, port, type=socket.SOCK_STREAM))
            self._lookups[host, port] = lookup
            lookup.add_done_callback(lambda done: self._looked_up((host, port), done))
        found = await asyncio.shield(lookup)
        return str(found[0][4][0])

    def _looked_up(self, name: tuple[str, int], done: asyncio.Future[Any]) -> None:
        del self._lookups[name]
        if not done.cancelled():
            done.exception()  # whoever still waits has it; if nobody does, that is no fault
