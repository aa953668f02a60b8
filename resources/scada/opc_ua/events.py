"""Events of a server: monitored beside the values, on the same subscription, and acknowledged once durable.

After each connection the server is asked to tell the present state of its conditions again (ConditionRefresh): what
changed while nobody listened is then known, and what did not is known already.
Source: OPC 10000-4, 5.13.2 (event items); OPC 10000-9, 5.5.7 (ConditionRefresh).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import structlog
from asyncua import ua as opc_ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from resources.core.clock import Clock
from resources.scada.connector import StatusSink
from resources.scada.events import TakeEvents
from resources.scada.opc_ua.data_config import EventsConfig
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.sessions.session import Session
from resources.scada.opc_ua.sessions.subscription import Monitoring, Subscription
from resources.scada.opc_ua.wire.event_fields import (
    REFRESH_END,
    REFRESH_REQUIRED,
    REFRESH_START,
    EventMaker,
    by_name,
    event_filter,
)
from resources.scada.opc_ua.wire.nodes import UnknownNodeError, resolve

log = structlog.get_logger(__name__)

ua: Any = opc_ua

_SERVER = "i=2253"
_CONDITION_TYPE, _CONDITION_REFRESH = 2782, 3875
_FIRST_HANDLE = 0x4000_0000
"""Client handles of event items: far above those of tags, which are positions."""


class EventTap:
    """Has a source's events monitored and hands them on; kept between connections."""

    def __init__(self, source: str, config: EventsConfig, take: TakeEvents, clock: Clock) -> None:
        """Hand the source's events to `take`."""
        self._source, self._config, self._take, self._clock = source, config, take, clock
        self._notifiers = config.notifiers or (_SERVER,)
        self._type_names: dict[Any, str] = {}
        self._sensors: dict[Any, str] = {}
        self._told_of_refresh = False

    async def attach(self, monitoring: Monitoring, status: StatusSink, sensors: dict[Any, str]) -> None:
        """Monitor what is not monitored yet, and have all conditions told.

        Args:
            monitoring: Of the session; it has a subscription.
            status: Hears of notifiers that cannot be monitored.
            sensors: Node id -> sensor, of the tags that are monitored.
        """
        self._sensors = sensors
        there = {handle for subscription in monitoring.subscriptions.values() for handle in subscription.events}
        # the first one: it has been there longest, and a later one may be given up
        subscription = next(iter(monitoring.subscriptions.values()))
        for number, notifier in enumerate(self._notifiers):
            handle = _FIRST_HANDLE + number
            if handle in there:
                continue
            name = f"events of {notifier}"
            refused = await self._monitor(monitoring.session, subscription, notifier, handle)
            if refused:
                log.warning("events_not_monitored", source=self._source, notifier=notifier, reason=refused)
                status.item_failed(name, refused)
            else:
                status.item_recovered(name)
        await self._refresh_all(monitoring)

    async def _monitor(self, session: Session, subscription: Subscription, notifier: str, handle: int) -> str | None:
        """Monitor the events of a node; return why that cannot be, None if it can."""
        try:
            node = resolve(notifier, session.namespaces)
        except UnknownNodeError as error:
            return str(error)
        code = await self._create(session, subscription, node, handle, self._config.minimum_severity)
        if code >> 30 and self._config.minimum_severity > 1:
            # a server that cannot compare sends all of them: those below are left out here
            code = await self._create(session, subscription, node, handle, 1)
        return status_words(code) if code >> 30 else None

    async def _create(self, session: Session, subscription: Subscription, node: Any, handle: int, minimum: int) -> int:
        request = ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.EventNotifier),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=handle,
                SamplingInterval=0.0,
                QueueSize=self._config.queue_size,
                DiscardOldest=True,
                Filter=event_filter(minimum),
            ),
        )
        parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=subscription.id, TimestampsToReturn=ua.TimestampsToReturn.Both, ItemsToCreate=[request]
        )
        try:
            (result,) = await session.services.create_monitored_items(parameters)
        except UaStatusCodeError as error:
            return int(error.code)
        code = int(result.StatusCode.value)
        if not code >> 30:
            subscription.events[handle] = result.MonitoredItemId
        return code

    async def _refresh_all(self, monitoring: Monitoring) -> None:
        for subscription in monitoring.subscriptions.values():
            if subscription.events and self._config.refresh:
                await self._refresh(monitoring.session, subscription)

    async def _refresh(self, session: Session, subscription: Subscription) -> None:
        call = ua.CallMethodRequest(
            ObjectId=ua.NodeId(_CONDITION_TYPE),
            MethodId=ua.NodeId(_CONDITION_REFRESH),
            InputArguments=[ua.Variant(subscription.id, ua.VariantType.UInt32)],
        )
        try:
            (result,) = await session.services.call([call])
            code = int(result.StatusCode.value)
        except (UaError, OSError) as error:
            # a connection that has broken shows where values are read, too; it is refreshed with the next one
            code = int(getattr(error, "code", StatusCodes.BadCommunicationError))
        if code >> 30 and not self._told_of_refresh:
            # servers without conditions have no such method, and nothing is missing then
            self._told_of_refresh = True
            log.info("conditions_not_refreshed", source=self._source, answer=status_words(code))

    async def deliver(self, monitoring: Monitoring, told: Sequence[Any]) -> None:
        """Make the events of a notification durable; returns when they are, also when cancelled.

        Args:
            monitoring: Of the session.
            told: asyncua's EventFieldLists.
        """
        received, cancelled = self._clock.now(), False
        found = [by_name(fields.EventFields) for fields in told]
        kinds = {fields["event_type"] for fields in found if "event_type" in fields}
        try:
            await self._learn_names(monitoring.session, kinds - self._type_names.keys())
        except (UaError, OSError):
            log.debug("event_types_not_named", source=self._source)
        except asyncio.CancelledError:
            # the notification counts as taken: with or without the names, its events are kept
            cancelled = True
        maker = EventMaker(self._source, monitoring.session.namespaces, self._sensors.get, self._type_names)
        events = [
            maker.event(fields, received)
            for fields in found
            if not _is(fields, REFRESH_START, REFRESH_END, REFRESH_REQUIRED)
            and fields.get("severity", 1) >= self._config.minimum_severity
        ]
        if events:
            await self._take(events)
        if cancelled:
            raise asyncio.CancelledError
        if any(_is(fields, REFRESH_REQUIRED) for fields in found):
            await self._refresh_all(monitoring)

    async def _learn_names(self, session: Session, kinds: set[Any]) -> None:
        """Read the browse names of event types that are new to us."""
        if not kinds:
            return
        asked = list(kinds)
        names = await session.services.read_attributes(asked, AttributeIds.BrowseName)
        for kind, name in zip(asked, names, strict=True):
            if name.Value is not None and name.Value.Value is not None:
                self._type_names[kind] = name.Value.Value.Name


def _is(fields: dict[str, Any], *kinds: int) -> bool:
    kind = fields.get("event_type")
    return kind is not None and kind.NamespaceIndex == 0 and kind.Identifier in kinds
