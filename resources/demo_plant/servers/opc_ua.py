"""An OPC UA server whose nodes are numbers that change: asyncua behind the few calls that the plant needs."""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import structlog
from asyncua import ua as opc_ua
from asyncua.common.callback import CallbackType
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.server import Server
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from resources.core.clock import from_micros
from resources.demo_plant.servers.ports import require_free

log = structlog.get_logger(__name__)

ua: Any = opc_ua
"""asyncua's types are declared in modules that its `ua` does not re-export in the way that a type checker follows."""

NAMESPACE_URI = "urn:gl:demo-plant"
"""Namespace of the plant's nodes; the application URI is the same."""


@dataclass(frozen=True)
class OpcUaEndpoint:
    """Where the server listens, who it is and whom it lets in; without certificate it talks unencrypted."""

    host: str
    port: int
    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None
    users: tuple[tuple[str, str], ...] = ()
    """User name and password; none lets everyone in."""

    @property
    def url(self) -> str:
        """The endpoint URL."""
        return f"opc.tcp://{self.host}:{self.port}/gl-demo-plant"


@dataclass(frozen=True)
class OpcUaNode:
    """One variable: its string identifier is the sensor id."""

    sensor_id: str
    description: str = ""


class _Users:
    def __init__(self, users: Sequence[tuple[str, str]]) -> None:
        self._users = dict(users)

    def get_user(
        self, _server: object, username: str | None = None, password: Any = None, certificate: object = None
    ) -> User | None:
        del certificate
        if not self._users:
            return User(role=UserRole.User)
        known = self._users.get(username or "")
        given = password.decode() if isinstance(password, bytes) else password or ""
        if known is None or not hmac.compare_digest(known.encode(), str(given).encode()):
            return None
        return User(role=UserRole.User, name=username)


def _trusting(authority: Path) -> Callable[[x509.Certificate, object], Any]:
    trusted = x509.load_pem_x509_certificate(authority.read_bytes())

    async def validate(certificate: x509.Certificate, _application: object) -> None:
        now = datetime.now(UTC)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ServiceError(ua.StatusCodes.BadCertificateTimeInvalid)
        try:
            certificate.verify_directly_issued_by(trusted)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted) from error

    return validate


class OpcUaServer:
    """Serves `nodes`; tells `on_first_subscription(column)` when a client has subscribed a node for the first time."""

    def __init__(
        self,
        endpoint: OpcUaEndpoint,
        nodes: Sequence[OpcUaNode],
        on_first_subscription: Callable[[int], None] | None = None,
    ) -> None:
        """Take what to serve; `start` opens the port."""
        self.endpoint = endpoint
        self.subscribed: set[int] = set()
        self._nodes = tuple(nodes)
        self._on_first = on_first_subscription
        self._server: Server | None = None
        self._ids: list[Any] = []
        self._columns: dict[Any, int] = {}
        self._last: dict[int, Any] = {}

    async def start(self) -> None:
        """Listen; nodes show the last value written before, also after a restart.

        Raises:
            UnreachableError: The port is taken.
        """
        require_free(self.endpoint.host, self.endpoint.port, "OPC UA")
        server = Server(user_manager=cast(Any, _Users(self.endpoint.users)))
        await server.init()
        await self._secure(server)
        index = await server.register_namespace(NAMESPACE_URI)
        folder = await server.nodes.objects.add_folder(ua.NodeId("Plant", index), ua.QualifiedName("Plant", index))
        self._ids = [ua.NodeId(node.sensor_id, index) for node in self._nodes]
        self._columns = {node_id: column for column, node_id in enumerate(self._ids)}
        for node_id, node in zip(self._ids, self._nodes, strict=True):
            variable = await folder.add_variable(node_id, ua.QualifiedName(node.sensor_id, index), 0.0)
            await variable.write_attribute(
                ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText(node.description)))
            )
        for column, value in self._last.items():
            await self._put(server, column, value)
        server.iserver.callback_service.addListener(cast(str, CallbackType.ItemSubscriptionCreated), self._note_items)
        await server.start()
        self._server = server
        log.info("opc_ua_server_started", endpoint=self.endpoint.url, nodes=len(self._nodes))

    async def _secure(self, server: Server) -> None:
        server.set_endpoint(self.endpoint.url)
        server.set_server_name("GL demo plant")
        await server.set_application_uri(NAMESPACE_URI)
        if self.endpoint.certificate is None or self.endpoint.key is None:
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        else:
            # the client needs no other policy, but one that offers only the strongest shuts older clients out
            server.set_security_policy(
                [
                    ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
                    ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
                    ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
                ]
            )
            await server.load_certificate(self.endpoint.certificate, format="pem")
            await server.load_private_key(self.endpoint.key, format="pem")
        if self.endpoint.authority is not None:
            server.iserver.certificate_validator = _trusting(self.endpoint.authority)
        server.set_identity_tokens([ua.UserNameIdentityToken if self.endpoint.users else ua.AnonymousIdentityToken])

    def _note_items(self, event: Any, _service: object) -> None:
        if not event.is_external:
            return
        for request, result in zip(event.request_params.ItemsToCreate, event.response_params, strict=True):
            column = self._columns.get(request.ItemToMonitor.NodeId)
            if column is None or not result.StatusCode.is_good() or column in self.subscribed:
                continue
            self.subscribed.add(column)
            if self._on_first is not None:
                self._on_first(column)

    async def write(self, column: int, value: float | list[float], time_us: int) -> None:
        """Write a value with its source time, status good. Nothing else runs in between if it is not awaited."""
        instant = from_micros(time_us)
        data = ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=instant, ServerTimestamp=instant)
        if not isinstance(value, list) and not math.isnan(value):
            self._last[column] = data
        if self._server is not None:
            await self._put(self._server, column, data)

    async def _put(self, server: Server, column: int, data: Any) -> None:
        # the address space itself, not a session: a session writes one node a call with copies of everything
        await server.iserver.aspace.write_attribute_value(self._ids[column], ua.AttributeIds.Value, data)

    def pending(self) -> int:
        """Return how many values and messages a connected client has still to fetch or to acknowledge."""
        if self._server is None or self._server.bserver is None:
            return 0
        processors = [client.processor for client in self._server.bserver.clients]
        connected = {p.session.session_id for p in processors if p is not None and p.session is not None}
        found = [s for s in self._subscriptions() if s.session_id in connected]
        return sum(len(_queued(s)) for s in found) + sum(_unacknowledged(s) for s in found)

    def longest_queue(self) -> int:
        """Return how many values wait in the fullest queue of an item; asyncua drops from a full one silently."""
        return max((length for s in self._subscriptions() for length in _queued(s)), default=0)

    def unacknowledged(self) -> int:
        """Return how many messages the client that is furthest behind has not acknowledged."""
        return max((_unacknowledged(s) for s in self._subscriptions()), default=0)

    def _subscriptions(self) -> list[Any]:
        return [] if self._server is None else list(self._server.iserver.subscription_service.subscriptions.values())

    def drop_connections(self) -> int:
        """Cut every client's connection, as a broken cable does; return how many there were."""
        if self._server is None or self._server.bserver is None:
            return 0
        clients = list(self._server.bserver.clients)
        for client in clients:
            if client.transport is not None:
                client.transport.abort()
        return len(clients)

    async def stop(self) -> None:
        """Close the port and every connection; written values are remembered for the next `start`."""
        server, self._server = self._server, None
        if server is None:
            return
        # a session with subscriptions outlives its connection, and asyncua forgets those when it stops
        clients = [] if server.bserver is None else server.bserver.clients
        sessions = {id(c.processor.session): c.processor.session for c in clients if c.processor}
        sessions |= {id(s): s for s in server.iserver._external_sessions.values()}
        for session in sessions.values():
            if session is not None:
                await session.close_session(True)
        await server.stop()


def _queued(subscription: Any) -> list[int]:
    """Return the lengths of the queues with values; asyncua has no public view of them."""
    return [len(queue) for queue in subscription._triggered_datachanges.values()]


def _unacknowledged(subscription: Any) -> int:
    return len(subscription._not_acknowledged_results)
