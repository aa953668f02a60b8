"""What a connector's `run` does: subscribe, deliver, and after a cut take up again what the server has kept.

Ways back after a cut, the first that works (OPC 10000-4, 6.7): the same session on a new channel; a new session that
takes the subscriptions over; a new session with new subscriptions. After the first two the server is asked for every
notification that was sent and not received: then nothing is missing, and the time of the cut is no gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import structlog
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadSubscriptionIdInvalid

from resources.core.clock import Clock, to_micros
from resources.core.errors import UnreachableError
from resources.core.readings import ReadingBatch, Reject, rejects_batch
from resources.scada.connector import Emit, StatusSink
from resources.scada.opc_ua.address_space.parts import TagParts
from resources.scada.opc_ua.address_space.paths import resolve_tags
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.events import EventTap
from resources.scada.opc_ua.limits import read_in_parts
from resources.scada.opc_ua.readings import ReadingAssembler, overflowed
from resources.scada.opc_ua.sessions.publishing import Hearers, Publisher
from resources.scada.opc_ua.sessions.security import login_words
from resources.scada.opc_ua.sessions.session import Session, SubscriptionsGoneError, open_session, translated
from resources.scada.opc_ua.sessions.subscription import Monitoring
from resources.scada.opc_ua.wire.codec import Published
from resources.scada.rejects import raw_value
from resources.scada.tls import certificate_facts

log = structlog.get_logger(__name__)

_SETTLE_S = 0.5
"""Between the sign of a vanished node and the look for it: where one goes, others follow."""
_NO_NODE = (int(StatusCodes.BadNodeIdUnknown), int(StatusCodes.BadNodeIdInvalid))


@dataclass(frozen=True, slots=True)
class _Driver:
    """Who drives this run."""

    emit: Emit
    status: StatusSink


class Line:
    """The subscribed source; kept between connections."""

    def __init__(self, source: str, assembler: ReadingAssembler, parts: TagParts, clock: Clock) -> None:
        """Prepare; nothing is connected yet."""
        self._parts = parts
        self._source, self._assembler, self._clock = source, assembler, clock
        self._config: OpcUaConfig
        self._kept: Monitoring | None = None
        """What the server still has of us after a cut."""
        self._failed: dict[int, str] = {}
        """Position of a tag that is not monitored -> the reason last told."""
        self._suspicion = asyncio.Event()
        """Set when a node may have vanished."""
        self.session: Session | None = None
        """The session that `run` reads by, None while there is none."""
        self.events: EventTap | None = None
        """Takes the source's events, if they are wanted."""

    async def run(self, config: OpcUaConfig, emit: Emit, status: StatusSink) -> None:
        """Connect or come back, and emit until cancelled; see `resources.scada.connector.ScadaClient.run`."""
        self._config = config
        driver = _Driver(emit, status)
        monitoring, way = await self._reach()
        self.session = monitoring.session
        publisher = Publisher(self._source, config, monitoring, self._hearers(monitoring, driver), self._clock)
        try:
            async with translated(self._source, config, "reading"):
                await self._catch_up(monitoring, publisher)
                bad = await self._complete(monitoring, driver)
                status.connected(self._facts(monitoring, way), unbroken=monitoring.is_whole)
                monitoring.is_whole = True
                await _until_one_ends(
                    publisher.run(), monitoring.session.watch(), self._look_after(monitoring, bad, driver)
                )
        except SubscriptionsGoneError:
            raise
        except UnreachableError:
            self._keep(monitoring)
            raise
        finally:
            self.session = None
            if self._kept is not monitoring:
                await monitoring.session.close()

    # -- connecting ----------------------------------------------------------------------------------------------

    async def _reach(self) -> tuple[Monitoring, str]:
        """Return what is monitored at the server, and how we got there: resumed, transferred or new."""
        kept, self._kept = self._kept, None
        if kept is None or kept.session.endpoint != self._config.endpoint_url:
            session = await open_session(self._source, self._config)
            return Monitoring(self._source, self._config, session), "new"
        try:
            async with translated(self._source, self._config, "connecting"):
                if await kept.session.resume():
                    return kept, "resumed"
            session = await open_session(self._source, self._config)
        except BaseException:
            # the server is not back yet, or we are stopped: its session may wait for us still
            kept.session.drop()
            self._kept = kept
            raise
        if _is_same_life(session, kept.session):
            try:
                async with translated(self._source, self._config, "connecting"):
                    await kept.transfer(session)
            except BaseException:
                await session.close()
                raise
            if kept.subscriptions:
                return kept, "transferred"
        return Monitoring(self._source, self._config, session), "new"

    async def _catch_up(self, monitoring: Monitoring, publisher: Publisher) -> None:
        """Take what was sent during the cut, and forget subscriptions that are no more."""
        for number, subscription in list(monitoring.subscriptions.items()):
            cut_at = subscription.cut_at
            try:
                await publisher.catch_up(subscription)
            except BadSubscriptionIdInvalid:
                monitoring.forget(number)
            subscription.cut_at = cut_at

    def _keep(self, monitoring: Monitoring) -> None:
        """Let the server keep session and subscriptions until we are back."""
        for subscription in monitoring.subscriptions.values():
            subscription.cut_at = subscription.cut_at or subscription.heard_at
        monitoring.session.drop()
        self._kept = monitoring

    def _facts(self, monitoring: Monitoring, way: str) -> dict[str, str]:
        return {
            "endpoint": self._config.endpoint_url,
            "security": login_words(self._config),
            "items": str(monitoring.items),
            "subscriptions": str(len(monitoring.subscriptions)),
            "session": way,
        } | certificate_facts(monitoring.session.certificate)

    # -- items ---------------------------------------------------------------------------------------------------

    async def _complete(self, monitoring: Monitoring, driver: _Driver) -> set[int]:
        """Monitor every tag that is not; return those that cannot be."""
        there = {member for leader in monitoring.monitored() for member in self._parts.members(leader)}
        asked = [position for position in range(len(self._config.tags)) if position not in there]
        self._assembler.forget_first_values(asked)
        if not monitoring.subscriptions:
            await monitoring.subscribe(self._now())
        bad = await self._monitor(monitoring, asked, driver, again=True)
        if self.events is not None:
            sensors = {node: self._config.tags[position].sensor_id for position, node in monitoring.nodes.items()}
            await self.events.attach(monitoring, driver.status, sensors)
        return bad

    async def _monitor(
        self, monitoring: Monitoring, asked: Collection[int], driver: _Driver, *, again: bool = False
    ) -> set[int]:
        """Monitor the tags at `asked`; return those that cannot be, each reported with its reason.

        `again`: report also those whose reason is the old one: with a connection the driver forgets them.
        """
        tags, session, there = self._config.tags, monitoring.session, set(monitoring.monitored())
        wanted = [position for position in self._parts.leaders(asked) if position not in there]
        nodes, reasons = await resolve_tags(session.services, {p: tags[p] for p in wanted}, session.namespaces)
        await self._parts.learn(session.services, nodes)
        refused = await monitoring.add(nodes, self._now())
        reasons.update({position: status_words(code) for position, code in refused.items()})
        reasons = {member: reason for leader, reason in reasons.items() for member in self._parts.members(leader)}
        for position in asked:
            if position not in reasons and self._failed.pop(position, None) is not None:
                driver.status.item_recovered(tags[position].sensor_id)
        await self._report(reasons, driver, again=again)
        return set(reasons)

    async def _report(self, reasons: dict[int, str], driver: _Driver, *, again: bool = False) -> None:
        received_us = to_micros(self._clock.now())
        rejects = []
        for position, reason in reasons.items():
            tag, is_new = self._config.tags[position], self._failed.get(position) != reason
            if is_new or again:
                driver.status.item_failed(tag.sensor_id, reason)
            if is_new:
                self._failed[position] = reason
                told, raw = f"the node cannot be read: {reason}", raw_value(node_id=tag.place)
                rejects.append(Reject(self._source, raw, (told,), received_us, sensor_id=tag.sensor_id))
        if rejects:
            driver.status.counted(sent=len(rejects))
            await driver.emit(ReadingBatch(self._source, rejects=rejects_batch(rejects)))

    async def _look_after(self, monitoring: Monitoring, bad: set[int], driver: _Driver) -> None:
        """Try bad nodes again every now and then, and find those that have vanished; sooner if one seems to have."""
        every_s = self._config.retry_bad_items_after.total_seconds()
        due = self._clock.monotonic() + every_s
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - self._clock.monotonic())):
                    await self._suspicion.wait()
                    await asyncio.sleep(_SETTLE_S)
            self._suspicion.clear()
            if self._clock.monotonic() >= due:
                due = self._clock.monotonic() + every_s
                bad = await self._monitor(monitoring, sorted(bad), driver)
            gone = await self._vanished(monitoring)
            if gone:
                await monitoring.remove(gone)
                gone = [member for leader in gone for member in self._parts.members(leader)]
                self._assembler.forget_first_values(gone)
                await self._report(dict.fromkeys(gone, status_words(_NO_NODE[0])), driver)
                bad |= set(gone)

    async def _vanished(self, monitoring: Monitoring) -> list[int]:
        """Return the monitored tags whose node the server has no more: not every server says so by itself."""
        positions = monitoring.monitored()
        most = min(self._config.max_items_per_call, monitoring.session.limits.nodes_per_read or 2**31)
        nodes = [monitoring.nodes[position] for position in positions]
        found = await read_in_parts(monitoring.session.services, nodes, AttributeIds.NodeClass, most)
        codes = [value.StatusCode.value if value.StatusCode is not None else 0 for value in found]
        return [position for position, code in zip(positions, codes, strict=True) if code in _NO_NODE]

    def _now(self) -> tuple[float, Any]:
        return self._clock.monotonic(), self._clock.now()

    # -- values --------------------------------------------------------------------------------------------------

    def _hearers(self, monitoring: Monitoring, driver: _Driver) -> Hearers:
        return Hearers(partial(self._deliver, monitoring, driver), driver.status.missed, self._suspicion.set)

    async def _deliver(
        self, monitoring: Monitoring, driver: _Driver, published: Published, durable: Callable[[], None]
    ) -> None:
        subscription = monitoring.subscriptions.get(published.subscription_id)
        columns = self._parts.taken_apart(published.columns)
        batches = self._assembler.batches(columns, to_micros(self._clock.now()))
        if published.events and self.events is not None:
            await self._deliver_events(self.events, monitoring, driver, (published, batches))
        if any(published.columns.statuses):
            self._look_at_statuses(monitoring, driver, published)
        if subscription is not None:
            subscription.cut_at = None
        if not batches:
            durable()
            return
        # the buffer makes batches durable in order: the last one's acknowledgement stands for all
        batches[-1] = replace(batches[-1], acknowledge=durable)
        for number, batch in enumerate(batches):
            if not batch.only_if_newer:
                driver.status.counted(sent=batch.rows)
            try:
                await driver.emit(batch)
            except asyncio.CancelledError:
                # that one was taken; the rest of the notification goes with it
                await _emit_at_once(batches[number + 1 :], driver)
                raise

    async def _deliver_events(
        self,
        events: EventTap,
        monitoring: Monitoring,
        driver: _Driver,
        told: tuple[Published, list[ReadingBatch]],
    ) -> None:
        """Hand the events of a notification on; its batches come after them."""
        published, batches = told
        try:
            await events.deliver(monitoring, published.events)
        except asyncio.CancelledError:
            # its events are durable all the same: the rest of the notification goes with them
            await _emit_at_once(batches, driver)
            raise
        except BaseException:
            # nothing of this notification was taken yet: it is to be asked for again
            if (subscription := monitoring.subscriptions.get(published.subscription_id)) is not None:
                subscription.next_sequence = published.sequence_number
            raise

    def _look_at_statuses(self, monitoring: Monitoring, driver: _Driver, published: Published) -> None:
        codes = np.array(published.columns.statuses, dtype=np.uint32)
        if np.isin(codes & np.uint32(0xFFFF_0000), _NO_NODE).any():
            self._suspicion.set()
        if lost := overflowed(published.columns):
            driver.status.counted(overflows=lost)
        subscription = monitoring.subscriptions.get(published.subscription_id)
        if lost and subscription is not None and subscription.cut_at is not None:
            told = f"the server's queues overflowed during a cut ({lost} items): make queue_size larger"
            driver.status.missed(subscription.cut_at, self._clock.now(), told)


async def _emit_at_once(batches: Iterable[ReadingBatch], driver: _Driver) -> None:
    """Hand batches over without waiting for room: what emits takes a batch when it is cancelled."""
    for batch in batches:
        if not batch.only_if_newer:
            driver.status.counted(sent=batch.rows)
        task = asyncio.ensure_future(driver.emit(batch))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_one_ends(*works: Any) -> None:
    """Run `works` side by side; when one ends, raise what it raised, with none of them left running."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _is_same_life(session: Session, before: Session) -> bool:
    """Return whether the server has neither restarted nor renumbered: then ids of before mean the same."""
    return (session.started_at, session.namespaces) == (before.started_at, before.namespaces)
