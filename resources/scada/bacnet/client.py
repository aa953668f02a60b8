"""The BACnet/IP connector: takes notifications of changes, polls what has none, looks at everything now and then."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from bacpypes3.primitivedata import Null, ObjectIdentifier

from resources.core.clock import Clock, SystemClock
from resources.core.errors import ConfigError, ProtocolError, SourceError, UnreachableError
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.bacnet.codec import (
    COMMANDABLE,
    text_of,
    to_write,
)
from resources.scada.bacnet.config import BacnetConfig
from resources.scada.bacnet.device import BacnetDevice, Item, answers, items_of
from resources.scada.bacnet.errors import Refused
from resources.scada.bacnet.reading import DeviceReading
from resources.scada.bacnet.stack import shared_stack
from resources.scada.bacnet.tag_table import TagTable
from resources.scada.bacnet.units import ucum
from resources.scada.connector import Emit, FoundItem, Health, SourceFacts, StatusSink

log = structlog.get_logger(__name__)

_GOODBYE_S = 3.0
"""Longest time for taking back what was written, when the collector ends."""

_READABLE = ("present-value", "object-name", "description", "units")


class BacnetClient:
    """Reads one device; kept between connections (see `resources.scada.connector`)."""

    kind = "bacnet"

    def __init__(self, name: str, config: BacnetConfig, catalog: SensorCatalog, clock: Clock | None = None) -> None:
        """Prepare to read `config`; sensors are numbered by `catalog`."""
        self.name = name
        self._config = config
        self._table = TagTable(name, config.tags, catalog, clock or SystemClock())
        self._device: BacnetDevice | None = None

    async def run(self, emit: Emit, status: StatusSink) -> None:
        """Connect and read until cancelled; see `resources.scada.connector.ScadaClient.run`."""
        async with self._found() as device:
            self._device = device
            try:
                await DeviceReading(self.name, self._config, self._table, device).run(emit, status)
            except asyncio.CancelledError:
                await self._relinquish(device)
                raise
            finally:
                self._device = None

    async def check_health(self) -> Health:
        """Read the device's status by the socket that is open.

        Raises:
            UnreachableError: No answer, or no connection.
        """
        if self._device is None:
            raise UnreachableError(f"source {self.name}: no connection to ask by", source=self.name)
        await self._device.read_one((self._device.object_id, "system-status", None))
        return Health()

    async def is_alive(self, timeout_s: float) -> bool:
        """Return whether the device answers anything at all within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s), shared_stack(self.name, self._config) as stack:
                return await answers(stack, self.name, self._config, timeout_s)
        except (SourceError, ConfigError, TimeoutError):
            return False

    async def read(self, sensor_ids: Iterable[str] | None = None) -> ReadingBatch:
        """Return the present values of some sensors (all, if None), read once.

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError: As `run`; ProtocolError if the device refuses one of them.
        """
        positions = (
            range(len(self._config.tags)) if sensor_ids is None else [self._table.positions[s] for s in sensor_ids]
        )
        async with self._found(look=True) as device:
            found = await device.read(self._table.items(positions))
            builder = self._table.builder(await self._table.learn(device, positions))
            for position in positions:
                value, quality = self._table.value_of(position, found)
                if isinstance(value, Refused):
                    raise ProtocolError(
                        f"source {self.name}: {self._config.tags[position].object} at {device.address}: {value.reason}",
                        source=self.name,
                    )
                builder.add(position, value, quality, self._table.receive_time())
        return builder.batch()

    async def write(self, sensor_id: str, value: float | str) -> None:
        """Write one engineering value at `write_priority`; an object without priorities takes it as it is.

        Raises:
            KeyError: The sensor is not one of this source.
            ProtocolError: The device refuses, or the object cannot take the value.
            SourceError: As `run`.
        """
        position = self._table.positions[sensor_id]
        tag, object_id = self._config.tags[position], self._table.objects[position]
        raw = value if isinstance(value, str) else (value - tag.offset) / tag.scale
        try:
            sent = to_write(object_id, raw)
        except ValueError as error:
            raise ProtocolError(f"source {self.name}: writing {sensor_id}: {error}", source=self.name) from error
        await self._send(position, sent)

    async def relinquish(self, sensor_id: str) -> None:
        """Take back what stands at `write_priority`; raises as `write`."""
        await self._send(self._table.positions[sensor_id], None)

    async def discover(self) -> Sequence[FoundItem]:
        """Return the device's objects that have a present value; raises as `run`."""
        async with self._found(look=True) as device:
            objects = await device.objects()
            found = await device.read(items_of(objects, *_READABLE))
            name = await device.read_one((device.object_id, "object-name", None))
        root = text_of(name) if not isinstance(name, Refused) else f"device-{device.instance}"
        return [
            _found_item(object_id, root, {part: found[object_id, part, None] for part in _READABLE})
            for object_id in objects
            if not isinstance(found[object_id, "present-value", None], Refused)
        ]

    async def probe(self) -> SourceFacts:
        """Return what a look at the device finds; raises as `run`."""
        async with self._found(look=True) as device:
            items: list[Item] = [(device.object_id, part, None) for part in ("vendor-name", "model-name")]
            found = await device.read(items)
            told = [text_of(value) for value in found.values() if not isinstance(value, Refused)]
            return SourceFacts(
                source=self.name,
                kind=self.kind,
                endpoint=f"bacnet://{device.address}",
                security="none (BACnet/IP has none)",
                details={
                    "device": str(device.instance),
                    "product": " ".join(told) or "not told",
                    "reads": "ReadPropertyMultiple" if device.by_multiple else "ReadProperty",
                    "reports changes": "yes" if device.reports_changes else "no",
                },
            )

    # -- inside ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _found(self, *, look: bool = False) -> AsyncIterator[BacnetDevice]:
        async with shared_stack(self.name, self._config, look=look) as stack:
            yield await BacnetDevice.find(stack, self.name, self._config)

    async def _send(self, position: int, sent: Any) -> None:
        object_id = self._table.objects[position]
        async with self._found(look=True) as device:
            refused = await device.write(object_id, sent, self._priority(object_id))
        if refused is not None:
            raise ProtocolError(
                f"source {self.name}: writing {object_id} at {device.address}: {refused.reason}", source=self.name
            )

    def _priority(self, object_id: ObjectIdentifier) -> int | None:
        return self._config.write_priority if str(object_id[0]) in COMMANDABLE else None

    async def _relinquish(self, device: BacnetDevice) -> None:
        """Take back what stands at our priority: nobody is there any more to change it."""
        config = self._config
        ours = [
            object_id
            for object_id, tag in zip(self._table.objects, config.tags, strict=True)
            if tag.writable is not None and str(object_id[0]) in COMMANDABLE
        ]
        if not ours or not config.relinquish_on_shutdown:
            return
        try:
            async with asyncio.timeout(_GOODBYE_S):
                held = await device.read([(o, "priority-array", config.write_priority) for o in ours])
                for (object_id, _, _), value in held.items():
                    if not isinstance(value, Refused) and not _is_null(value):
                        refused = await device.write(object_id, None, config.write_priority)
                        log.info("relinquished", source=self.name, object=str(object_id), refused=refused)
        except (SourceError, TimeoutError) as error:
            log.warning("not_relinquished", source=self.name, error=str(error), priority=config.write_priority)


def _is_null(value: Any) -> bool:
    """Return whether a slot of a priority array is empty."""
    held = getattr(value, value._choice, None) if getattr(value, "_choice", None) else value
    return held is None or isinstance(held, Null)


def _found_item(object_id: ObjectIdentifier, root: str, parts: dict[str, Any]) -> FoundItem:
    name, units, description = parts["object-name"], parts["units"], parts["description"]
    value = parts["present-value"]
    is_text = isinstance(value, str)
    return FoundItem(
        address={"object": str(object_id)},
        path=f"{root}/{object_id if isinstance(name, Refused) else text_of(name)}",
        data_type=type(value).__name__,
        unit=None if isinstance(units, Refused) else ucum(units),
        is_text=is_text,
        writable=str(object_id[0]) in COMMANDABLE,
        description="" if isinstance(description, Refused) else text_of(description),
    )
