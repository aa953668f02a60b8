"""A session at one server: opened, kept alive, taken up again over a new channel after a cut, closed.

A session outlives its connection (OPC 10000-4, 5.6.1, 6.7): after a cut the same session is activated on a new secure
channel, and its subscriptions have gone on queueing in the meantime. asyncua's own supervisor is not used: it makes its
own decisions about what to do after a loss, and these are ours (`line.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import structlog
from asyncua.ua.uaerrors import BadSecurityChecksFailed, UaError
from cryptography import x509

from resources.core.errors import PlatformError, UnreachableError
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import translate
from resources.scada.opc_ua.limits import (
    NAMESPACES,
    START_TIME,
    OperationLimits,
    read_limits,
    read_standard,
    read_standards,
)
from resources.scada.opc_ua.sessions.security import prepare, warn_of_open_password
from resources.scada.tls import refuse_outside_validity

log = structlog.get_logger(__name__)

_GOODBYE_S = 3.0
"""Longest wait for a server to close a session that we no longer need."""
_LOOK_EVERY_S = 10.0
"""How often the server is asked for its namespaces: finds a connection that died silently, and a renumbering."""
_RENEW_AT = 0.75
"""Share of a secure channel's lifetime after which it is renewed. Source: OPC 10000-4, 5.5.2.1."""


class SubscriptionsGoneError(UnreachableError):
    """The server answers, but what was subscribed there is no more, or means something else: begin anew."""


class Session:
    """One session; made by `open_session`, or by `session_of` for a while."""

    def __init__(self, source: str, config: OpcUaConfig, client: Any, certificate: x509.Certificate | None) -> None:
        """Keep what is needed to come back; use `open_session`."""
        self.client = client
        self.certificate = certificate
        """What the server showed, None without security."""
        self.endpoint = config.endpoint_url
        self.limits = OperationLimits()
        self.namespaces: tuple[str, ...] = ()
        self.started_at: datetime | None = None
        """When the server started, as it says itself: another value means another life of the server."""
        self._source, self._config = source, config

    @property
    def services(self) -> Any:
        """The services of the session, as asyncua has them."""
        return self.client.uaclient.session

    async def open(self) -> None:
        """Connect, and make a session; raises what asyncua raises."""
        await self._open_channel()
        try:
            await self.client.create_session()
            warn_of_open_password(self._source, self._config, self.client)
            await self._activate()
            await self._look_around()
        except BaseException:
            await self.close()
            raise

    async def resume(self) -> bool:
        """Connect again and activate the session that there was; return False if the server does not let us.

        Raises:
            UaError, OSError: The server cannot be reached. The session may be there still.
            AuthError: The server's certificate has expired meanwhile.
        """
        if self.certificate is not None:
            refuse_outside_validity(self._source, f"the server {self.endpoint}", self.certificate)
        before = self.started_at, self.namespaces
        await self._say_hello()
        try:
            # a server with a new key cannot read what is encrypted for its old one, and hangs up
            await self._secure_channel()
            self.services.rebind_authentication_token()
            await self._activate()
            started_at, namespaces = await self._identity()
        except (UaError, OSError) as error:
            log.debug("session_not_resumed", source=self._source, answer=type(error).__name__)
            self.drop()
            return False
        if (started_at, namespaces) == before:
            return True
        # a server that has restarted may have given our token to someone else: hands off
        self.drop()
        return False

    async def _open_channel(self) -> None:
        await self._say_hello()
        try:
            await self._secure_channel()
        except BaseException:
            self.drop()
            raise

    async def _secure_channel(self) -> None:
        try:
            await self.client.open_secure_channel()
        except AssertionError as error:
            # asyncua takes the answer for the one of success: some servers refuse with a fault there
            raise BadSecurityChecksFailed from error

    async def _say_hello(self) -> None:
        try:
            await self.client.connect_socket()
            await self.client.send_hello()
        except BaseException:
            self.drop()
            raise

    async def _activate(self) -> None:
        client = self.client
        await client.activate_session(
            username=client._username, password=client._password, certificate=client.user_certificate
        )

    async def _look_around(self) -> None:
        self.limits = await read_limits(self.services)
        self.started_at, self.namespaces = await self._identity()

    async def _identity(self) -> tuple[datetime | None, tuple[str, ...]]:
        started_at, namespaces = await read_standards(self.services, START_TIME, NAMESPACES)
        return started_at, tuple(namespaces or ())

    async def watch(self) -> None:
        """Renew the channel, and look at the server every few seconds; returns only by raising.

        Raises:
            SubscriptionsGoneError: It has renumbered its namespaces.
            UaError, OSError: The connection broke.
        """
        watches = [asyncio.ensure_future(self._renew_channel()), asyncio.ensure_future(self._keep_looking())]
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in watches:
                task.cancel()
            await asyncio.gather(*watches, return_exceptions=True)

    async def _renew_channel(self) -> None:
        while True:
            await asyncio.sleep(self.client.secure_channel_timeout / 1000 * _RENEW_AT)
            await self.client.open_secure_channel(renew=True)
            self.client.uaclient.revolve_security_token()
            # a server goes on with the old keys until it has heard the new ones from us
            await read_standard(self.services, START_TIME)

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY_S)
            namespaces = await read_standard(self.services, NAMESPACES)
            if tuple(namespaces or ()) != self.namespaces:
                raise SubscriptionsGoneError(
                    f"source {self._source}: {self.endpoint} has renumbered its namespaces: everything is subscribed "
                    "anew",
                    source=self._source,
                )

    def drop(self) -> None:
        """Close the connection and leave the session to the server."""
        self.client.uaclient.disconnect_socket()

    async def close(self) -> None:
        """Close session and connection; a server that does not answer cannot hold this up for long."""
        uaclient = self.client.uaclient
        try:
            # without the session's requests: a publish that waits would otherwise be waited for
            async with asyncio.timeout(_GOODBYE_S):
                await uaclient.close_session(True)
                await uaclient.close_secure_channel()
        except (TimeoutError, UaError, OSError):
            log.debug("session_not_closed", source=self._source)
        finally:
            self.drop()


async def open_session(source: str, config: OpcUaConfig) -> Session:
    """Return a session that is ready.

    Raises:
        UnreachableError: No connection, or no answer in time.
        AuthError: A certificate or the login was refused, by the server or by us.
        ProtocolError: The server has no such endpoint.
        ConfigError: A file or an environment variable is missing.
    """
    prepared = await prepare(source, config)
    session = Session(source, config, prepared.client, prepared.certificate)
    async with translated(source, config, "connecting"):
        await session.open()
    return session


@asynccontextmanager
async def session_of(source: str, config: OpcUaConfig, doing: str = "reading") -> AsyncIterator[Session]:
    """Open a session for the block, and close it whatever happens; raises as `open_session`."""
    session = await open_session(source, config)
    try:
        async with translated(source, config, doing):
            yield session
    finally:
        await session.close()


@asynccontextmanager
async def translated(source: str, config: OpcUaConfig, doing: str) -> AsyncIterator[None]:
    """Let errors of asyncua and of the network leave the block as errors of the platform."""
    try:
        yield
    except PlatformError:
        raise
    except (UaError, OSError, ValueError) as error:
        raise translate(
            error,
            source=source,
            endpoint=config.endpoint_url,
            doing=doing,
            by_certificate=config.user_certificate is not None,
        ) from error
