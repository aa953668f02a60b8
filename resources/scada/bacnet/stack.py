"""The BACnet/IP stack of this process: one UDP socket for each local address, shared by the sources that use it.

A host has one socket at a BACnet port: devices answer broadcasts there. The stack asks, and hands on what devices say
unasked: notifications of changes, and I-Am, which a device says when it starts.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import structlog
from bacpypes3.apdu import (
    ConfirmedCOVNotificationRequest,
    IAmRequest,
    SimpleAckPDU,
    UnconfirmedCOVNotificationRequest,
    WhoIsRequest,
)
from bacpypes3.ipv4.app import ForeignApplication, NormalApplication
from bacpypes3.local.device import DeviceObject
from bacpypes3.pdu import Address, IPv4Address
from bacpypes3.primitivedata import ObjectIdentifier

from resources.core.errors import ConfigError, UnreachableError
from resources.scada.bacnet.config import BacnetConfig, ForeignDevice, bbmd_address, local_parts

log = structlog.get_logger(__name__)

OWN_INSTANCE = 4_194_302
"""Our device object exists for the stack alone: it answers no Who-Is, so its number never meets another's."""

_REGISTER_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Notification:
    """A change of value as the device reported it."""

    object_id: ObjectIdentifier
    values: dict[str, Any]
    """Property name -> value, not decoded yet."""
    invoke_id: int | None
    """Of a confirmed notification; the same again when the device repeats it."""


@dataclass(frozen=True, slots=True)
class Listener:
    """What a source wants to hear of its device."""

    changed: Callable[[Notification], Awaitable[None]]
    """Called for each notification; a confirmed one is acknowledged when this returns."""
    came_up: Callable[[], None]
    """Called when the device says I-Am, as it does after a restart."""


class _Hears:
    """What both kinds of application do with what devices say unasked."""

    def listen(self) -> None:
        self.listeners: dict[Address, Listener] = {}

    async def do_WhoIsRequest(self, apdu: WhoIsRequest) -> None:  # noqa: N802 - the stack's name
        """Say nothing: nobody has anything to ask of a client."""

    async def do_IAmRequest(self, apdu: IAmRequest) -> None:  # noqa: N802 - the stack's name
        await super().do_IAmRequest(apdu)  # type: ignore[misc]
        if listener := self.listeners.get(apdu.pduSource):
            listener.came_up()

    async def do_ConfirmedCOVNotificationRequest(  # noqa: N802 - the stack's name
        self, apdu: ConfirmedCOVNotificationRequest
    ) -> None:
        await self._hear(apdu, apdu.apduInvokeID)
        await self.response(SimpleAckPDU(context=apdu))  # type: ignore[attr-defined]

    async def do_UnconfirmedCOVNotificationRequest(  # noqa: N802 - the stack's name
        self, apdu: UnconfirmedCOVNotificationRequest
    ) -> None:
        await self._hear(apdu, None)

    async def _hear(self, apdu: Any, invoke_id: int | None) -> None:
        # of a device that nobody reads any more: acknowledged, so that it ends
        if listener := self.listeners.get(apdu.pduSource):
            values = {str(item.propertyIdentifier): item.value for item in apdu.listOfValues}
            await listener.changed(Notification(apdu.monitoredObjectIdentifier, values, invoke_id))


class _Application(_Hears, NormalApplication):  # type: ignore[misc]
    pass


class _ForeignApplication(_Hears, ForeignApplication):  # type: ignore[misc]
    pass


@dataclass(frozen=True, slots=True)
class _Key:
    local_address: str
    foreign: ForeignDevice | None
    timeout_s: float
    retries: int


class BacnetStack:
    """An open socket and the stack above it."""

    def __init__(self, key: _Key, local_address: str) -> None:
        """Prepare; `open` binds the socket."""
        self.key = key
        self.users = 0
        self._local_address = local_address
        device = DeviceObject(
            objectIdentifier=("device", OWN_INSTANCE),
            objectName="gl-data-platform",
            vendorIdentifier=0,
            maxApduLengthAccepted=1476,
            segmentationSupported="segmentedBoth",
            maxSegmentsAccepted=64,
            apduTimeout=int(1000 * key.timeout_s),
            apduSegmentTimeout=int(1000 * key.timeout_s),
            numberOfApduRetries=key.retries,
        )
        kind = _ForeignApplication if key.foreign else _Application
        self.app = kind(device, IPv4Address(local_address))
        self.app.listen()

    async def ready(self, source: str) -> None:
        """Wait for the socket, and register at the BBMD, if one is configured.

        Raises:
            UnreachableError: It does not answer, or refuses.
        """
        # one that is closed before it is bound would be bound after all, and stay
        server = self.app.server if self.key.foreign else self.app.normal.server
        await asyncio.gather(*server._transport_tasks)
        if self.key.foreign is None:
            return
        where = bbmd_address(self.key.foreign)
        self.app.register(IPv4Address(where), int(self.key.foreign.ttl.total_seconds()))
        status = self.app.foreign
        deadline = asyncio.get_running_loop().time() + _REGISTER_WITHIN_S
        while status.bbmdRegistrationStatus != 0:
            if status.bbmdRegistrationStatus > 0 or asyncio.get_running_loop().time() > deadline:
                said = f"code {status.bbmdRegistrationStatus}" if status.bbmdRegistrationStatus > 0 else "no answer"
                raise UnreachableError(
                    f"source {source}: registering as a foreign device at BBMD {where}: {said}; check its address, "
                    "and that it accepts foreign devices",
                    source=source,
                )
            await asyncio.sleep(0.02)

    def close(self) -> None:
        """Close the socket; requests that wait for an answer end by their time-out."""
        if self.key.foreign is not None:
            self.app.unregister()
        self.app.close()


_STACKS: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, BacnetStack]] = WeakKeyDictionary()


@asynccontextmanager
async def shared_stack(source: str, config: BacnetConfig, *, look: bool = False) -> AsyncIterator[BacnetStack]:
    """Yield the stack of a source's local address; the first user opens it, the last one closes it.

    Args:
        source: Name of the source, for messages.
        config: Its configuration.
        look: A short look from beside the collector: where another process has the port, any free one will do.

    Raises:
        ConfigError: The address is not ours, the port is taken, or another source uses it with other settings.
        UnreachableError: The BBMD does not answer.
    """
    stacks = _STACKS.setdefault(asyncio.get_running_loop(), {})
    key = _Key(config.local_address, config.foreign_device, config.timeout.total_seconds(), config.retries)
    stack = stacks.get(config.local_address)
    if stack is None:
        # nothing is awaited between the look and the entry: no second one can be opened
        stack = stacks[config.local_address] = BacnetStack(key, _free_address(source, config.local_address, look=look))
    elif stack.key != key:
        raise ConfigError(
            f"source {source}: local_address {config.local_address} is shared with another source that has another "
            "timeout, retries or foreign_device: give both the same"
        )
    stack.users += 1
    try:
        await stack.ready(source)
        yield stack
    finally:
        stack.users -= 1
        if not stack.users:
            del stacks[config.local_address]
            stack.close()


def _free_address(source: str, local_address: str, *, look: bool) -> str:
    """Return the address to bind: bacpypes3 shares ports, and waits for an address that is not ours for ever."""
    host, network, port = local_parts(local_address)
    try:
        return f"{host}/{network}:{_bindable(host, port)}"
    except PermissionError as error:
        raise ConfigError(f"source {source}: local_address {local_address}: {error.strerror}") from error
    except OSError as error:
        if look and error.errno != _ADDRESS_NOT_OURS:
            return f"{host}/{network}:{_bindable(host, 0)}"
        remedy = (
            "write an address of this machine"
            if error.errno == _ADDRESS_NOT_OURS
            else "another BACnet program runs here: end it, or write another port"
        )
        raise ConfigError(f"source {source}: local_address {local_address}: {error.strerror}; {remedy}") from error


_ADDRESS_NOT_OURS = 99
"""EADDRNOTAVAIL."""


def _bindable(host: str, port: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as found:
        found.bind((host, port))
        return int(found.getsockname()[1])
