"""One connection to a device: subscribed objects by notification, the rest by polling, everything now and then."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import structlog
from bacpypes3.primitivedata import ObjectIdentifier

from resources.core.errors import ProtocolError, SourceError
from resources.scada.bacnet.codec import BatchBuilder, TagFacts, decode, status_of
from resources.scada.bacnet.config import BacnetConfig
from resources.scada.bacnet.device import BacnetDevice
from resources.scada.bacnet.errors import Refused
from resources.scada.bacnet.stack import Listener, Notification
from resources.scada.bacnet.tag_table import TagTable
from resources.scada.connector import Emit, StatusSink

log = structlog.get_logger(__name__)

_REMEMBERED = 1024
"""Confirmed notifications that are known again when the device repeats them."""


class DeviceReading:
    """One connection's work: subscribed objects by notification, the rest by polling."""

    def __init__(self, source: str, config: BacnetConfig, table: TagTable, device: BacnetDevice) -> None:
        """Read `device`, found for `source`."""
        self._source, self._config, self._table, self._device = source, config, table, device
        self._facts: dict[int, TagFacts] = {}
        self._subscribed: set[ObjectIdentifier] = set()
        self._failed: dict[int, str] = {}
        self._told_at: dict[int, float] = {}
        self._values: dict[int, Any] = {}
        self._seen: OrderedDict[int, tuple[ObjectIdentifier, str]] = OrderedDict()
        self._waiting: list[tuple[Notification, int, asyncio.Future[None] | None]] = []
        self._news, self._came_up = asyncio.Event(), asyncio.Event()

    async def run(self, emit: Emit, status: StatusSink) -> None:
        """Read until cancelled or until the device is silent; raises as `resources.scada.connector.ScadaClient.run`."""
        self._emit, self._status = emit, status
        everything = range(len(self._config.tags))
        self._facts = await self._table.learn(self._device, everything)
        listeners = self._device.listeners
        if self._device.address in listeners:
            raise ProtocolError(
                f"source {self._source}: {self._device.address} is read by another source: put both sources' tags "
                "into one",
                source=self._source,
            )
        listeners[self._device.address] = Listener(self._changed, self._came_up.set)
        try:
            await self._subscribe_all()
            await self._poll(everything)
            self._status.connected(self._facts_for_people())
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._poll_forever(self._config.poll_interval.total_seconds(), subscribed=False))
                tasks.create_task(
                    self._poll_forever(self._config.safety_poll_interval.total_seconds(), subscribed=True)
                )
                tasks.create_task(self._renew_forever())
                tasks.create_task(self._hand_on_forever())
        except* SourceError as group:
            raise _first(group) from None
        finally:
            del listeners[self._device.address]

    def _facts_for_people(self) -> dict[str, str]:
        return {
            "endpoint": f"bacnet://{self._device.address}",
            "security": "none",
            "device": str(self._device.instance),
            "subscribed": str(len(self._subscribed)),
            "polled": str(len(self._polled(subscribed=False))),
        }

    # -- polling -----------------------------------------------------------------------------------------------------

    def _polled(self, *, subscribed: bool) -> list[int]:
        """Return the tags that are polled at the one pace or the other."""
        return [
            p
            for p, tag in enumerate(self._config.tags)
            if (tag.is_reported() and self._table.objects[p] in self._subscribed) == subscribed
        ]

    async def _poll_forever(self, interval_s: float, *, subscribed: bool) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due += interval_s
            late = loop.time() - due
            if late > 0:
                skipped = int(late // interval_s) + 1
                due += skipped * interval_s
                self._status.counted(overruns=skipped)
            await asyncio.sleep(max(0.0, due - loop.time()))
            await self._poll(self._polled(subscribed=subscribed))

    async def _poll(self, positions: Sequence[int]) -> None:
        """Read tags once; what is refused is told once, and left out for a while."""
        now = asyncio.get_running_loop().time()
        pause = self._config.retry_bad_items_after.total_seconds()
        wanted = [p for p in positions if now - self._told_at.get(p, -pause) >= pause]
        if not wanted:
            return
        try:
            found = await self._device.read(self._table.items(wanted))
        except SourceError:
            self._status.counted(sent=len(wanted), in_gaps=len(wanted))
            raise
        builder = self._table.builder(self._facts)
        for position in wanted:
            value, quality = self._table.value_of(position, found)
            builder.add(position, value, quality, self._table.receive_time())
            self._tell(position, value, now)
            self._notice_silence(position, value)
        self._status.counted(sent=len(wanted))
        await self._emit(builder.batch())

    def _tell(self, position: int, value: Any, now: float) -> None:
        sensor_id = self._config.tags[position].sensor_id
        wrong_unit = self._facts.get(position, TagFacts()).wrong_unit
        reason = value.reason if isinstance(value, Refused) else wrong_unit
        if reason is None:
            self._told_at.pop(position, None)
            if self._failed.pop(position, None) is not None:
                self._status.item_recovered(sensor_id)
            return
        self._told_at[position] = now
        if self._failed.get(position) != reason:
            self._failed[position] = reason
            self._status.item_failed(sensor_id, reason)

    def _notice_silence(self, position: int, value: Any) -> None:
        """Subscribe anew where a value has moved and no notification came: the device forgot the subscription."""
        if self._table.objects[position] not in self._subscribed or isinstance(value, Refused):
            return
        known = self._values.get(position)
        self._values[position] = value
        if known is not None and type(known) is type(value) and known != value and not isinstance(value, float):
            self._came_up.set()

    # -- notifications -----------------------------------------------------------------------------------------------

    async def _subscribe_all(self) -> None:
        wanted = {self._table.objects[p] for p, tag in enumerate(self._config.tags) if tag.is_reported()}
        if not self._device.reports_changes:
            return
        for object_id in sorted(wanted):
            refused = await self._device.subscribe(object_id)
            if refused is None:
                self._subscribed.add(object_id)
            elif object_id in self._subscribed:
                self._subscribed.discard(object_id)
                log.info("polled_instead", source=self._source, object=str(object_id), reason=refused.reason)

    async def _renew_forever(self) -> None:
        half = self._config.subscription_lifetime.total_seconds() / 2
        while True:
            try:
                await asyncio.wait_for(self._came_up.wait(), half)
                log.info("subscribing_again", source=self._source, device=self._device.instance)
            except TimeoutError:
                pass
            self._came_up.clear()
            await self._subscribe_all()

    async def _changed(self, notification: Notification) -> None:
        """Take a notification; a confirmed one returns once it is durable, and is then acknowledged."""
        received_us = self._table.receive_time()
        if notification.invoke_id is None:
            self._waiting.append((notification, received_us, None))
            self._news.set()
            return
        content = (notification.object_id, repr([v.tagList.tagList for v in notification.values.values()]))
        if self._seen.get(notification.invoke_id) == content:
            self._status.counted(repeated=1)
            return
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((notification, received_us, durable))
        self._news.set()
        await durable
        self._seen[notification.invoke_id] = content
        while len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    async def _hand_on_forever(self) -> None:
        """Hand on what came in meanwhile as one batch, again and again."""
        while True:
            await self._news.wait()
            self._news.clear()
            taken, self._waiting = self._waiting, []
            builder, owed = self._table.builder(self._facts), [f for _, _, f in taken if f is not None]
            for notification, received_us, _ in taken:
                self._add(builder, notification, received_us)
            batch = builder.batch(partial(_resolve, owed))
            if batch.rows:
                self._status.counted(sent=batch.rows)
                await self._emit(batch)
            else:
                _resolve(owed)

    def _add(self, builder: BatchBuilder, notification: Notification, received_us: int) -> None:
        values = {name: decode(notification.object_id, name, value) for name, value in notification.values.items()}
        for position in self._table.positions_of(notification.object_id):
            if "present-value" in values:
                value = self._values[position] = values["present-value"]
                builder.add(
                    position, value, status_of(values.get("status-flags"), values.get("reliability")), received_us
                )


def _resolve(owed: Iterable[asyncio.Future[None]]) -> None:
    for future in owed:
        if not future.done():
            future.set_result(None)


def _first(group: BaseExceptionGroup[SourceError]) -> SourceError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
