"""Asyncua's server, completed where it lacks what a client has to cope with, in a thread of its own.

What asyncua 2.1 does otherwise, and what is put right here, so that the client's side is shown against a server that
does it: a Republish of what is not there is refused (BadMessageNotAvailable), and a message stays until it is
acknowledged; a transferred subscription is published on the new session's connection, and outlives a session that ends;
operation limits are enforced; a queue that overflows says so, and discards the newest where it was asked to; a percent
deadband is kept for nodes with an EURange and refused for others; the items of a node that is deleted hear of it.
Everything else, the wire above all, is asyncua's.
"""

import asyncio
import contextlib
import threading
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar
from uuid import uuid4

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AttributeService
from asyncua.server.internal_subscription import InternalSubscription
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.server.subscription_service import SubscriptionService
from cryptography.x509 import load_der_x509_certificate

from resources.core.clock import from_micros
from resources.embedded.ports import free_port

NAMESPACE = "urn:gl:complete"
OVERFLOW = 0x480
RANGE = (0.0, 200.0)

Result = TypeVar("Result")


@dataclass
class Limits:
    """What the server allows at once; 0 for no limit. Those with a node are told there."""

    nodes_per_read: int = 0
    items_per_call: int = 0
    items_per_subscription: int = 0
    subscriptions: int = 0
    transfers: int = 1
    """0: the server has no TransferSubscriptions."""
    tells: bool = True
    """False: limits are enforced, and not told."""


@dataclass
class Seen:
    """What clients did."""

    created: list[int] = field(default_factory=list)
    """Items of each CreateMonitoredItems request."""
    read: list[int] = field(default_factory=list)
    """Nodes of each Read request."""
    republished: list[int] = field(default_factory=list)
    """Sequence numbers that were asked for again."""
    transferred: list[int] = field(default_factory=list)
    """Subscriptions that went to another session."""
    parameters: list[Any] = field(default_factory=list)
    """What was asked for each monitored item."""


class CompleteSubscription(InternalSubscription):
    seen: Seen

    def republish(self, nb: int) -> ua.NotificationMessage:
        self.seen.republished.append(nb)
        kept = self._not_acknowledged_results.get(nb)
        if kept is None:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return kept.NotificationMessage

    async def _enqueue_event(self, mid: int, eventdata: Any, size: int, queue: dict[int, list[Any]]) -> None:
        held = queue.get(mid, [])
        if not size or len(held) < size or not isinstance(eventdata, ua.MonitoredItemNotification):
            await super()._enqueue_event(mid, eventdata, size, queue)
            return
        if self.monitored_item_srv.discards_newest(mid):
            held[-1] = _marked(eventdata)
            return
        held.pop(0)
        held.append(eventdata)
        held[0] = _marked(held[0])


def _marked(notification: Any) -> Any:
    code = notification.Value.StatusCode.value if notification.Value.StatusCode is not None else 0
    value = replace(notification.Value, StatusCode=ua.StatusCode(ua.UInt32(code | OVERFLOW)))
    return replace(notification, Value=value)


class CompleteItems(MonitoredItemService):
    limits: Limits
    seen: Seen
    newest: set[int]

    def discards_newest(self, mid: int) -> bool:
        return mid in self.newest

    async def create_monitored_items(self, params: Any) -> list[Any]:
        if self.limits.items_per_call and len(params.ItemsToCreate) > self.limits.items_per_call:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        self.seen.created.append(len(params.ItemsToCreate))
        return await super().create_monitored_items(params)

    async def _create_data_change_monitored_item(self, params: Any) -> Any:
        self.seen.parameters.append(params.RequestedParameters)
        if self.limits.items_per_subscription and len(self._monitored_items) >= self.limits.items_per_subscription:
            return _refused(ua.StatusCodes.BadTooManyMonitoredItems)
        wanted = params.RequestedParameters.Filter
        if wanted is not None and wanted.DeadbandType == ua.DeadbandType.Percent:
            width = self._range_of(params.ItemToMonitor.NodeId)
            if width is None:
                return _refused(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
            wanted.DeadbandType = ua.DeadbandType.Absolute
            wanted.DeadbandValue *= width / 100
        result = await super()._create_data_change_monitored_item(params)
        if not params.RequestedParameters.DiscardOldest:
            self.newest.add(result.MonitoredItemId)
        return result

    def _range_of(self, node: Any) -> float | None:
        for reference in self.aspace[node].references if node in self.aspace else ():
            if reference.BrowseName.Name == "EURange":
                value = self.aspace.read_attribute_value(reference.NodeId, ua.AttributeIds.Value).Value.Value
                return float(value.High - value.Low)
        return None


def _refused(code: int) -> Any:
    return ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(ua.UInt32(code)))


class CompleteSubscriptions(SubscriptionService):
    limits: Limits
    seen: Seen

    async def create_subscription(self, *args: Any, **kwargs: Any) -> Any:
        if self.limits.subscriptions and len(self.subscriptions) >= self.limits.subscriptions:
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        result = await super().create_subscription(*args, **kwargs)
        # it is made by asyncua's service, whose class cannot be told which one to make
        made: Any = self.subscriptions[result.SubscriptionId]
        made.__class__, made.monitored_item_srv.__class__ = CompleteSubscription, CompleteItems
        made.seen = made.monitored_item_srv.seen = self.seen
        made.monitored_item_srv.limits, made.monitored_item_srv.newest = self.limits, set()
        return result

    def republish(self, params: Any) -> Any:
        if params.SubscriptionId not in self.subscriptions:
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)
        return super().republish(params)

    async def transfer_subscriptions(self, params: Any, session_id: Any, callback: Any) -> list[Any]:
        if self.limits.transfers == 0:
            raise ServiceError(ua.StatusCodes.BadServiceUnsupported)
        results = await super().transfer_subscriptions(params, session_id, callback)
        for number in params.SubscriptionIds:
            if number in self.subscriptions:
                self.subscriptions[number].pub_request_callback = callback.__self__.get_publish_request
                self.seen.transferred.append(number)
        return results


class CountingReads(AttributeService):
    limits: Limits
    seen: Seen

    def read(self, params: Any) -> list[Any]:
        if self.limits.nodes_per_read and len(params.NodesToRead) > self.limits.nodes_per_read:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        self.seen.read.append(len(params.NodesToRead))
        return super().read(params)


class Users:
    """Lets everyone in but who is called `stranger`, by name or in a certificate; remembers who came."""

    def __init__(self) -> None:
        self.came: list[str] = []

    def get_user(self, _server: Any, username: str | None, password: Any, certificate: bytes | None) -> User | None:
        del password
        name = username or "anonymous"
        if username is None and certificate:
            name = load_der_x509_certificate(certificate).subject.rfc4514_string()
        self.came.append(name)
        return None if "stranger" in name else User(role=UserRole.User, name=name)


class CompleteServer:
    """Starts in a thread; every coroutine method may be awaited from any loop."""

    def __init__(self) -> None:
        self.port = free_port()
        self.limits, self.seen, self.users = Limits(), Seen(), Users()
        self.server = Server(user_manager=self.users)
        self.index = 0
        self._parents: dict[str, Any] = {}
        self._folder: Any = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="complete-opc-ua-server")

    # -- its life ------------------------------------------------------------------------------------------------

    def start(self, pair: Any = None) -> None:
        """Start without security, and with Basic256Sha256 too where a certificate is given."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(pair), self._loop).result(120)

    async def _start(self, pair: Any) -> None:
        server = self.server
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{self.port}/gl")
        policies = [ua.SecurityPolicyType.NoSecurity]
        if pair is not None:
            await server.set_application_uri("urn:gl:test:server")
            await server.load_certificate(str(pair.certificate))
            await server.load_private_key(str(pair.key), format="pem")
            policies.append(ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt)
        server.set_security_policy(policies)
        service: Any = server.iserver.subscription_service
        service.__class__, service.limits, service.seen = CompleteSubscriptions, self.limits, self.seen
        reads: Any = server.iserver.attribute_service
        reads.__class__, reads.limits, reads.seen = CountingReads, self.limits, self.seen
        await self._add_limit_nodes()
        self.index = await server.register_namespace(NAMESPACE)
        await server.start()

    async def _add_limit_nodes(self) -> None:
        node = ua.NodeId(ua.ObjectIds.Server_ServerCapabilities_MaxMonitoredItemsPerSubscription)
        if node not in self.server.iserver.aspace:
            parent = self.server.get_node(ua.NodeId(ua.ObjectIds.Server_ServerCapabilities))
            await parent.add_variable(node, "0:MaxMonitoredItemsPerSubscription", ua.UInt32(0))

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()

    async def _stop(self) -> None:
        await self._end_sessions(delete_subscriptions=True)
        await self.server.stop()

    async def do(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run `work` in the server's loop."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def limit(self, **limits: int | bool) -> None:
        """Allow so much at once, and tell it; nothing given lifts every limit."""
        await self.do(self._limit(replace(Limits(), **limits)))

    async def _limit(self, limits: Limits) -> None:
        self.limits.__dict__.update(limits.__dict__)
        self.seen.__dict__.update(Seen().__dict__)
        told = {11705: limits.nodes_per_read, 11714: limits.items_per_call, 24104: limits.items_per_subscription}
        for number, most in told.items():
            value = ua.DataValue(ua.Variant(most if limits.tells else 0, ua.VariantType.UInt32))
            await self.server.iserver.write_attribute_value(ua.NodeId(number), value)

    # -- its nodes -----------------------------------------------------------------------------------------------

    async def add(self, *names: str, analog: bool = False, value: Any = 0.0, kind: Any = None) -> None:
        """Add variables to the Objects folder; an analog one has a range of 0 to 200."""
        await self.do(self._add(names, analog, value, kind))

    async def _add(self, names: tuple[str, ...], analog: bool, value: Any, kind: Any) -> None:
        for name in names:
            # asyncua looks through a folder for each node that it adds to it, and through everything for one it deletes
            if len(self._parents) % 100 == 0 or self._folder is None:
                self._folder = await self.server.nodes.objects.add_folder(self.index, f"folder {uuid4()}")
            made = await self._folder.add_variable(self.node(name), name, value, varianttype=kind)
            self._parents[name] = self._folder.nodeid
            await made.set_writable()
            if analog:
                await made.add_property(self.node(f"{name}.EURange"), "0:EURange", ua.Range(*RANGE))

    def node(self, name: str) -> Any:
        return ua.NodeId(name, self.index)

    async def put(self, name: str, value: float, time_us: int, status: int = 0) -> None:
        """Show a value with a source time."""
        data = ua.DataValue(
            ua.Variant(value, ua.VariantType.Double),
            StatusCode=ua.StatusCode(ua.UInt32(status)),
            SourceTimestamp=from_micros(time_us),
        )
        await self.do(self.server.iserver.write_attribute_value(self.node(name), data))

    async def value(self, name: str) -> Any:
        return await self.do(self.server.get_node(self.node(name)).read_value())

    async def remove(self, *names: str, silently: bool = False) -> None:
        """Delete nodes; their monitored items hear of it, unless `silently`."""
        await self.do(self._remove(names, silently))

    async def _remove(self, names: tuple[str, ...], silently: bool) -> None:
        aspace = self.server.iserver.aspace
        gone = {self.node(name) for name in names}
        for node in gone:
            for handle, callback in list(aspace[node].attributes[ua.AttributeIds.Value].datachange_callbacks.items()):
                if not silently:
                    code = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNodeIdUnknown))
                    await callback(handle, ua.DataValue(StatusCode=code, SourceTimestamp=datetime.now(UTC)))
                aspace.delete_datachange_callback(handle)
            del aspace[node]
        for parent in {self._parents.pop(name) for name in names}:
            kept = [reference for reference in aspace[parent].references if reference.NodeId not in gone]
            aspace[parent].references[:] = kept

    async def clear(self) -> None:
        """Delete every variable, and end what clients left behind."""
        await self.do(self._clear())

    async def _clear(self) -> None:
        await self._end_sessions(delete_subscriptions=True)
        await self._remove(tuple(self._parents), silently=True)
        self._folder = None

    # -- its misfortunes -----------------------------------------------------------------------------------------

    async def end_sessions(self, *, delete_subscriptions: bool) -> None:
        """End every session as a timeout does; their subscriptions live on unless they are deleted."""
        await self.do(self._end_sessions(delete_subscriptions))

    async def _end_sessions(self, delete_subscriptions: bool) -> None:
        for session in list(self.server.iserver._external_sessions.values()):
            await session.close_session(delete_subscriptions)
        if delete_subscriptions:
            service = self.server.iserver.subscription_service
            await service.delete_subscriptions(list(service.subscriptions))

    async def delete_subscriptions(self) -> None:
        service = self.server.iserver.subscription_service
        await self.do(service.delete_subscriptions(list(service.subscriptions)))

    async def reboot(self, *namespaces_before: str) -> None:
        """Lose every connection, session and subscription; `namespaces_before` ours move it to a higher index."""
        await self.do(self._reboot(namespaces_before))

    async def tell_status(self, code: int) -> None:
        """Let every subscription tell a status with its next notification."""

        async def tell() -> None:
            for subscription in self.server.iserver.subscription_service.subscriptions.values():
                await subscription.monitored_item_srv.trigger_statuschange(ua.StatusCode(ua.UInt32(code)))

        await self.do(tell())

    async def count_on(self, steps: int) -> None:
        """Go on with another sequence number."""

        async def count() -> None:
            for subscription in self.server.iserver.subscription_service.subscriptions.values():
                subscription._notification_seq += steps

        await self.do(count())

    def channel_tokens(self) -> int:
        """Return the sum of the numbers of all secure channels' tokens: each renewal makes it greater."""
        assert self.server.bserver is not None
        found = [client.processor for client in self.server.bserver.clients]
        return sum(processor._connection.security_token.TokenId for processor in found if processor is not None)

    async def renumber(self, *namespaces_before: str) -> None:
        """Move our namespace to a higher index, with its nodes, while clients are connected."""
        await self.do(self._renumber(namespaces_before))

    async def _renumber(self, namespaces_before: tuple[str, ...]) -> None:
        names = tuple(self._parents)
        await self._remove(names, silently=True)
        array = self.server.get_node(ua.NodeId(ua.ObjectIds.Server_NamespaceArray))
        found = await array.read_value()
        found[self.index : self.index] = list(namespaces_before)
        await array.write_value(found)
        self.index += len(namespaces_before)
        self._folder = None
        await self._add(names, analog=False, value=0.0, kind=None)

    async def _reboot(self, namespaces_before: tuple[str, ...]) -> None:
        await self._end_sessions(delete_subscriptions=True)
        self.cut_connections()
        now = ua.DataValue(ua.Variant(datetime.now(UTC), ua.VariantType.DateTime))
        await self.server.iserver.write_attribute_value(ua.NodeId(ua.ObjectIds.Server_ServerStatus_StartTime), now)
        if namespaces_before:
            await self._renumber(namespaces_before)

    def cut_connections(self) -> None:
        """Break every client's connection; to be called in the server's loop."""
        assert self.server.bserver is not None
        for client in list(self.server.bserver.clients):
            with contextlib.suppress(AttributeError):
                client.transport.abort()

    # -- what it holds -------------------------------------------------------------------------------------------

    @property
    def sessions(self) -> int:
        return len(self.server.iserver._external_sessions)

    @property
    def subscriptions(self) -> list[int]:
        return list(self.server.iserver.subscription_service.subscriptions)

    def granted(self) -> list[Any]:
        """Return what each subscription was granted."""
        return [each.data for each in self.server.iserver.subscription_service.subscriptions.values()]

    @property
    def notifications(self) -> int:
        """How many were ever sent for the subscriptions that there are."""
        found = list(self.server.iserver.subscription_service.subscriptions.values())
        return sum(subscription._notification_seq for subscription in found)

    @property
    def unacknowledged(self) -> int:
        found = list(self.server.iserver.subscription_service.subscriptions.values())
        return sum(len(subscription._not_acknowledged_results) for subscription in found)

    @property
    def items(self) -> list[int]:
        found = list(self.server.iserver.subscription_service.subscriptions.values())
        return [len(subscription.monitored_item_srv._monitored_items) for subscription in found]
