"""One device: found, asked what it can do, read in batches as large as it takes them, subscribed to, written."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from typing import Any

from bacpypes3.apdu import ErrorRejectAbortNack, IAmRequest, SubscribeCOVRequest
from bacpypes3.basetypes import ErrorType, PropertyIdentifier, PropertyReference, ServicesSupported
from bacpypes3.pdu import Address, GlobalBroadcast
from bacpypes3.primitivedata import Null, ObjectIdentifier
from bacpypes3.vendor import get_vendor_info

from resources.core.errors import ProtocolError, UnreachableError
from resources.scada.bacnet.config import BacnetConfig
from resources.scada.bacnet.errors import Refused, as_error, is_silence, unknown_service, wants_less, words
from resources.scada.bacnet.stack import BacnetStack
from resources.scada.tls import explain

PROCESS_ID = 1
"""Our number in subscriptions; the same after a restart, so that the device renews and does not add."""

Item = tuple[ObjectIdentifier, str, int | None]
"""Object, property, element."""

_WILDCARD = ObjectIdentifier(("device", 4_194_303))


class BacnetDevice:
    """A device that has answered."""

    def __init__(self, stack: BacnetStack, source: str, config: BacnetConfig, address: Address, instance: int) -> None:
        """Read device `instance` at `address`."""
        self.address, self.instance = address, instance
        self.object_id = ObjectIdentifier(("device", instance))
        self.by_multiple = True
        """False once the device has said that it does not know ReadPropertyMultiple."""
        self.batch = config.max_objects
        """Objects in one request; shrinks where the device asks for it, and stays small."""
        self.reports_changes = True
        self._app, self._source, self._config = stack.app, source, config
        self._waits_s = config.timeout.total_seconds() * (1 + config.retries)
        self._vendor = get_vendor_info(0)
        self.listeners = stack.app.listeners
        """Who wants to hear what devices say unasked, by address."""

    @classmethod
    async def find(cls, stack: BacnetStack, source: str, config: BacnetConfig) -> BacnetDevice:
        """Return the configured device.

        Raises:
            UnreachableError: Nobody answers.
            ProtocolError: Another device answers at that address.
        """
        there = await _resolved(source, config)
        heard = await _who_is(stack, config, there)
        if heard is not None:
            device = cls(stack, source, config, heard.pduSource, heard.iAmDeviceIdentifier[1])
        elif there is not None:
            device = await cls._find_by_reading(stack, source, config, there)
        else:
            patience_s = config.connect_timeout.total_seconds()
            raise UnreachableError(
                f"source {source}: {config.where}: nobody answered Who-Is within {patience_s:g} s; check power and "
                "network, set endpoint, or foreign_device where the device is in another subnet",
                source=source,
            )
        if config.device_instance is not None and device.instance != config.device_instance:
            raise ProtocolError(
                f"source {source}: at {device.address} is device {device.instance}, not {config.device_instance}: "
                "correct endpoint or device_instance",
                source=source,
            )
        await device._learn()
        return device

    @classmethod
    async def _find_by_reading(
        cls, stack: BacnetStack, source: str, config: BacnetConfig, there: Address
    ) -> BacnetDevice:
        """Return the device at an address where Who-Is was not answered: perhaps it answers by broadcast only."""
        device = cls(stack, source, config, there, _WILDCARD[1])
        found = await device.read_one((_WILDCARD, "object-identifier", None))
        if not isinstance(found, Refused):
            device.instance, device.object_id = found[1], ObjectIdentifier(found)
            return device
        # it lives, but does not know the wildcard: the first Who-Is or its answer was lost, which nothing confirms
        for _ in range(config.retries):
            heard = await _who_is(stack, config, there)
            if heard is not None:
                return cls(stack, source, config, heard.pduSource, heard.iAmDeviceIdentifier[1])
        raise ProtocolError(
            f"source {source}: {config.where} answers, but does not tell its device instance "
            f"({found.reason}): set device_instance",
            source=source,
        )

    async def _learn(self) -> None:
        found = await self.read_one((self.object_id, "protocol-services-supported", None))
        if isinstance(found, ServicesSupported):
            bits = list(found)
            self.by_multiple = len(bits) <= _READ_MULTIPLE or bool(bits[_READ_MULTIPLE])
            self.reports_changes = len(bits) <= _SUBSCRIBE or bool(bits[_SUBSCRIBE])

    async def read(self, items: Sequence[Item]) -> dict[Item, Any]:
        """Return item -> its value, or `Refused`; items of one object are best given one after the other.

        Raises:
            UnreachableError: No answer.
            ProtocolError: The device refuses even single reads.
        """
        found: dict[Item, Any] = {}
        pending = list(items)
        while pending:
            if not self.by_multiple:
                for item in pending:
                    found[item] = await self.read_one(item)
                return found
            size = _whole_objects(pending, self.batch)
            batch, pending = pending[:size], pending[size:]
            found |= await self._read_batch(batch)
        return found

    async def _read_batch(self, batch: list[Item]) -> dict[Item, Any]:
        request: list[Any] = []
        for item in batch:
            if not request or request[-2] != item[0]:
                request += [item[0], []]
            request[-1].append(_reference(item))
        answer = await self._ask(self._app.read_property_multiple(self.address, request, vendor_info=self._vendor))
        if isinstance(answer, ErrorRejectAbortNack):
            return await self._read_otherwise(batch, answer)
        # a device may answer in another order, and name properties that were not asked for
        values = {(obj, str(prop), index): _value(value) for obj, prop, index, value in answer or ()}
        return {item: values.get(item, Refused("the answer left it out")) for item in batch}

    async def _read_otherwise(self, batch: list[Item], nack: ErrorRejectAbortNack) -> dict[Item, Any]:
        """Read what could not be read at once: without the service, or in halves."""
        if is_silence(nack):
            raise as_error(nack, self._source, f"reading {len(batch)} items at {self.address}", self._waits_s)
        if unknown_service(nack):
            self.by_multiple = False
            return await self.read(batch)
        objects = len({item[0] for item in batch})
        if wants_less(nack):
            self.batch = max(1, min(self.batch, objects) // 2)
        if objects == 1:
            return {item: await self.read_one(item) for item in batch}
        middle = _whole_objects(batch, objects // 2)
        return await self._read_batch(batch[:middle]) | await self._read_batch(batch[middle:])

    async def read_one(self, item: Item) -> Any:
        """Return a property's value, or `Refused`.

        Raises:
            UnreachableError: No answer.
        """
        answer = await self._ask(self._app.read_property(self.address, item[0], item[1], item[2]))
        if is_silence(answer):
            raise as_error(answer, self._source, f"reading {item[0]} {item[1]} at {self.address}", self._waits_s)
        return Refused(words(answer)) if isinstance(answer, ErrorRejectAbortNack) else _value(answer)

    async def subscribe(self, object_id: ObjectIdentifier, *, cancel: bool = False) -> Refused | None:
        """Ask for notifications of an object, or renew that; return why it refuses.

        Raises:
            UnreachableError: No answer.
        """
        request = SubscribeCOVRequest(
            subscriberProcessIdentifier=PROCESS_ID, monitoredObjectIdentifier=object_id, destination=self.address
        )
        if not cancel:
            request.issueConfirmedNotifications = self._config.confirmed
            request.lifetime = int(self._config.subscription_lifetime.total_seconds())
        answer = await self._ask(self._app.request(request))
        if is_silence(answer):
            raise as_error(answer, self._source, f"subscribing to {object_id} at {self.address}", self._waits_s)
        return Refused(words(answer)) if isinstance(answer, ErrorRejectAbortNack) else None

    async def write(self, object_id: ObjectIdentifier, value: Any, priority: int | None) -> Refused | None:
        """Write a present value; None as the value relinquishes. Return why the device refuses.

        Raises:
            UnreachableError: No answer; whether it was written is not known.
        """
        sent = Null(()) if value is None else value
        answer = await self._ask(
            self._app.write_property(self.address, object_id, "present-value", sent, None, priority)
        )
        if is_silence(answer):
            raise as_error(answer, self._source, f"writing {object_id} at {self.address}", self._waits_s)
        return Refused(words(answer)) if isinstance(answer, ErrorRejectAbortNack) else None

    async def objects(self) -> list[ObjectIdentifier]:
        """Return the device's objects; a list too long for one answer is read element by element.

        Raises:
            UnreachableError: No answer.
            ProtocolError: The device does not tell.
        """
        whole = await self.read_one((self.object_id, "object-list", None))
        if not isinstance(whole, Refused):
            return list(whole)
        length = await self.read_one((self.object_id, "object-list", 0))
        if isinstance(length, Refused):
            raise ProtocolError(
                f"source {self._source}: {self.address} does not tell its objects: {length.reason}", source=self._source
            )
        found: list[ObjectIdentifier] = []
        for first in range(1, int(length) + 1, _LIST_PIECE):
            items: list[Item] = [
                (self.object_id, "object-list", index)
                for index in range(first, min(int(length) + 1, first + _LIST_PIECE))
            ]
            answers = await self.read(items)
            found += [answer for answer in answers.values() if not isinstance(answer, Refused)]
        return found

    async def _ask(self, request: Any) -> Any:
        """Await a request; a refusal is an answer. The stack raises it as a BaseException in one place or another."""
        try:
            return await request
        except ErrorRejectAbortNack as nack:
            return nack


_READ_MULTIPLE = int(ServicesSupported.readPropertyMultiple)
_SUBSCRIBE = int(ServicesSupported.subscribeCOV)
_LIST_PIECE = 20


async def _resolved(source: str, config: BacnetConfig) -> Address | None:
    """Return the address of the configured endpoint, None if there is none: the stack knows no host names."""
    if config.endpoint is None:
        return None
    host, _, port = config.endpoint.rpartition(":")
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, int(port), family=socket.AF_INET)
    except socket.gaierror as error:
        raise explain(error, source=source, peer=config.where) from error
    return Address(f"{found[0][4][0]}:{port}")


async def _who_is(stack: BacnetStack, config: BacnetConfig, there: Address | None) -> IAmRequest | None:
    """Return the I-Am of the configured device, None if nobody said it in time."""
    patience = config.timeout if there else config.connect_timeout
    # of the device at an address any answer tells: whether it is the right one is judged by its number
    number = None if there else config.device_instance
    heard = await stack.app.who_is(number, number, there or GlobalBroadcast(), timeout=patience.total_seconds())
    return heard[0] if heard else None


async def answers(stack: BacnetStack, source: str, config: BacnetConfig, timeout_s: float) -> bool:
    """Return whether the configured device says anything: a refusal is an answer too."""
    there = await _resolved(source, config)
    if there is None:
        number = config.device_instance
        return bool(await stack.app.who_is(number, number, GlobalBroadcast(), timeout=timeout_s))
    try:
        await stack.app.read_property(there, _WILDCARD, "object-identifier")
    except ErrorRejectAbortNack as nack:
        return not is_silence(nack)
    return True


async def who_is(stack: BacnetStack, seconds: float) -> list[IAmRequest]:
    """Return the I-Am of every device that answers a broadcast within `seconds`."""
    return list(await stack.app.who_is(timeout=seconds))


def _whole_objects(items: Sequence[Item], objects: int) -> int:
    """Return how many items the first `objects` objects have."""
    seen: list[ObjectIdentifier] = []
    for position, item in enumerate(items):
        if not seen or seen[-1] != item[0]:
            if len(seen) == objects:
                return position
            seen.append(item[0])
    return len(items)


def _reference(item: Item) -> PropertyReference:
    reference = PropertyReference(propertyIdentifier=PropertyIdentifier(item[1]))
    if item[2] is not None:
        reference.propertyArrayIndex = item[2]
    return reference


def _value(value: Any) -> Any:
    return Refused(words(value)) if isinstance(value, ErrorType) else value


def items_of(objects: Iterable[ObjectIdentifier], *properties: str) -> list[Item]:
    """Return the items of some properties of some objects."""
    return [(object_id, name, None) for object_id in objects for name in properties]
