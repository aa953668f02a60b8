"""Subscriptions and their monitored items: as many subscriptions as the server's limits make necessary.

Source: OPC 10000-4, 5.13 (MonitoredItem services), 5.14 (Subscription services), 7.22.2 (DataChangeFilter).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadTooManyOperations, BadTooManySubscriptions, UaStatusCodeError

from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.sessions.session import Session

log = structlog.get_logger(__name__)

_FILTER_REFUSED = frozenset({
    StatusCodes.BadMonitoredItemFilterUnsupported, StatusCodes.BadFilterNotAllowed,
    StatusCodes.BadMonitoredItemFilterInvalid, StatusCodes.BadDeadbandFilterInvalid,
})  # fmt: skip
_FULL = frozenset({StatusCodes.BadTooManyMonitoredItems})

_Filter = Callable[[int], Any]
"""Returns the filter to ask for, given a client handle."""


@dataclass(slots=True)
class Subscription:
    """One subscription at the server; what is known of it outlives the connection."""

    id: int
    interval_s: float
    """Publishing interval, as the server revised it."""
    keep_alive_s: float
    heard: float
    """Mark (monotonic) of the last response for it."""
    heard_at: datetime
    """Instant of the last response for it."""
    next_sequence: int = 1
    """Sequence number of the next notification that we have not taken."""
    has_taken: bool = False
    """True once a notification was taken."""
    durable: list[int] = field(default_factory=list)
    """Sequence numbers to acknowledge with the next publish request."""
    items: dict[int, int] = field(default_factory=dict)
    """Client handle -> monitored item id."""
    events: dict[int, int] = field(default_factory=dict)
    """Client handle -> monitored item id of the items that bring events."""
    is_transferred: bool = False
    """True after we have taken it over from a session of ours that is no more."""
    cut_at: datetime | None = None
    """Since when nothing had been heard, from a cut until the first notification after it."""

    def now_durable(self, number: int) -> None:
        """Note that a notification is durable: it goes into the list as it is then, which each request takes away."""
        self.durable.append(number)


class Monitoring:
    """The monitored items of one session, by client handle."""

    def __init__(self, source: str, config: OpcUaConfig, session: Session) -> None:
        """Prepare; nothing is sent yet."""
        self.session = session
        self.subscriptions: dict[int, Subscription] = {}
        """Subscription id -> subscription."""
        self.is_whole = False
        """True from the moment everything is monitored; false once a subscription was lost."""
        self._source, self._config = source, config
        own, theirs = config.max_items_per_subscription, session.limits.items_per_subscription
        self._capacity = min(own or 2**31, theirs or 2**31)
        self.nodes: dict[int, Any] = {}
        """Client handle -> node id of every item that was asked for."""
        self._told: set[int] = set()
        """Client handles whose refused deadband was logged."""

    @property
    def items(self) -> int:
        """How many items are monitored."""
        return sum(len(subscription.items) for subscription in self.subscriptions.values())

    async def subscribe(self, now: tuple[float, datetime]) -> Subscription:
        """Create a subscription; the server may revise what we ask for. `now`: mark and instant."""
        config, services = self._config, self.session.services
        interval_s = max(config.publishing_interval.total_seconds(), 0.001)
        keep_alive = max(1, math.ceil(config.keep_alive_interval.total_seconds() / interval_s))
        # the session starts a publish loop of its own with the first subscription; ours takes its place
        services.ensure_publish_loop = _no_publish_loop
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=interval_s * 1000,
            RequestedLifetimeCount=max(
                3 * keep_alive, math.ceil(config.subscription_lifetime.total_seconds() / interval_s)
            ),
            RequestedMaxKeepAliveCount=keep_alive,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        made = await services.create_subscription(parameters, callback=_ignore)
        revised_s = made.RevisedPublishingInterval / 1000
        subscription = Subscription(
            made.SubscriptionId, revised_s, revised_s * made.RevisedMaxKeepAliveCount, heard=now[0], heard_at=now[1]
        )
        self.subscriptions[subscription.id] = subscription
        log.debug("subscribed", source=self._source, subscription=subscription.id, interval_s=revised_s)
        return subscription

    async def add(self, nodes: Mapping[int, Any], now: tuple[float, datetime]) -> dict[int, int]:
        """Monitor nodes, given by client handle; return handle -> status code of those the server refuses."""
        self.nodes.update(nodes)
        waiting, refused = list(nodes), dict[int, int]()
        while waiting:
            subscription = self._with_room() or await self._one_more(now)
            if subscription is None:
                refused.update(dict.fromkeys(waiting, int(StatusCodes.BadTooManySubscriptions)))
                break
            room = self._capacity - len(subscription.items)
            some, rest = waiting[:room], waiting[room:]
            answers = await self._create(subscription, some, nodes)
            full = [handle for handle in some if answers[handle] in _FULL]
            refused.update({h: answers[h] for h in some if answers[h] >> 30 and answers[h] not in _FULL})
            if full and not subscription.items:
                # not even an empty subscription takes one: the limit is the session's or the server's
                refused.update(dict.fromkeys(full + rest, int(StatusCodes.BadTooManyMonitoredItems)))
                break
            if full:
                self._capacity = len(subscription.items)
            waiting = full + rest
        return refused

    async def _one_more(self, now: tuple[float, datetime]) -> Subscription | None:
        """Return a new subscription, None if the server grants no further one."""
        try:
            return await self.subscribe(now)
        except BadTooManySubscriptions:
            if not self.subscriptions:
                raise
            return None

    async def remove(self, handles: Iterable[int]) -> None:
        """Stop monitoring nodes, given by client handle."""
        gone = set(handles)
        for subscription in self.subscriptions.values():
            ids = [subscription.items.pop(handle) for handle in gone & subscription.items.keys()]
            chunk = self._chunk()
            for start in range(0, len(ids), chunk):
                parameters = ua.DeleteMonitoredItemsParameters(
                    SubscriptionId=subscription.id, MonitoredItemIds=ids[start : start + chunk]
                )
                await self.session.services.delete_monitored_items(parameters)

    async def transfer(self, session: Session) -> None:
        """Go on with our subscriptions in another session; those that the server does not give us are forgotten."""
        self.session = session
        parameters = ua.TransferSubscriptionsParameters(
            SubscriptionIds=list(self.subscriptions), SendInitialValues=False
        )
        try:
            results = await session.services.transfer_subscriptions(parameters)
            given = [result.StatusCode.value >> 30 == 0 for result in results]
        except UaStatusCodeError as error:
            log.debug("subscriptions_not_transferred", source=self._source, answer=type(error).__name__)
            given = []
        for number, subscription in list(enumerate(self.subscriptions)):
            if number < len(given) and given[number]:
                self.subscriptions[subscription].is_transferred = True
            else:
                self.forget(subscription)

    def forget(self, subscription: int) -> None:
        """Take a subscription for lost, given by id."""
        del self.subscriptions[subscription]
        self.is_whole = False

    def monitored(self) -> list[int]:
        """Return the client handles of all items."""
        return [handle for subscription in self.subscriptions.values() for handle in subscription.items]

    def _with_room(self) -> Subscription | None:
        found = (s for s in self.subscriptions.values() if len(s.items) < self._capacity)
        return next(found, None)

    def _chunk(self) -> int:
        own = self._config.max_items_per_call
        return min(own, self.session.limits.items_per_call or own)

    async def _create(self, subscription: Subscription, handles: list[int], nodes: Mapping[int, Any]) -> dict[int, int]:
        """Create items, with less of a filter where the server refuses it; return handle -> status code of all."""
        answers = await self._create_in_parts(subscription, handles, nodes, self._wanted_filter)
        dead = [h for h, code in answers.items() if code in _FILTER_REFUSED and self._has_deadband(h)]
        if dead:
            self._tell_of_deadbands(dead, answers)
            answers.update(await self._create_in_parts(subscription, dead, nodes, _every_timestamp))
        plain = [h for h, code in answers.items() if code in _FILTER_REFUSED]
        if plain:
            answers.update(await self._create_in_parts(subscription, plain, nodes, _no_filter))
        return answers

    async def _create_in_parts(
        self, subscription: Subscription, handles: list[int], nodes: Mapping[int, Any], filter_of: _Filter
    ) -> dict[int, int]:
        answers, start, chunk = dict[int, int](), 0, min(self._chunk(), len(handles))
        while start < len(handles):
            some = handles[start : start + chunk]
            parameters = ua.CreateMonitoredItemsParameters(
                SubscriptionId=subscription.id,
                TimestampsToReturn=ua.TimestampsToReturn.Both,
                ItemsToCreate=[self._request(handle, nodes[handle], filter_of(handle)) for handle in some],
            )
            try:
                results = await self.session.services.create_monitored_items(parameters)
            except BadTooManyOperations:
                if chunk == 1:
                    raise
                chunk = max(1, chunk // 2)
                continue
            start += chunk
            for handle, result in zip(some, results, strict=True):
                answers[handle] = result.StatusCode.value
                if not result.StatusCode.value >> 30:
                    subscription.items[handle] = result.MonitoredItemId
        return answers

    def _request(self, handle: int, node: Any, wanted: Any) -> Any:
        tag = self._config.tags[handle]
        sampling = tag.sampling_interval or self._config.sampling_interval
        asked = ua.MonitoringParameters(
            ClientHandle=handle,
            SamplingInterval=sampling.total_seconds() * 1000,
            QueueSize=tag.queue_size or self._config.queue_size,
            DiscardOldest=self._config.discard == "oldest",
        )
        if wanted is not None:
            asked.Filter = wanted
        item = ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value)
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=item, MonitoringMode=ua.MonitoringMode.Reporting, RequestedParameters=asked
        )

    def _has_deadband(self, handle: int) -> bool:
        tag = self._config.tags[handle]
        return tag.server_deadband is not None or tag.server_deadband_percent is not None

    def _wanted_filter(self, handle: int) -> Any:
        tag = self._config.tags[handle]
        if tag.server_deadband is not None:
            return _deadband(ua.DeadbandType.Absolute, tag.server_deadband)
        if tag.server_deadband_percent is not None:
            return _deadband(ua.DeadbandType.Percent, tag.server_deadband_percent)
        return _every_timestamp(handle)

    def _tell_of_deadbands(self, handles: list[int], answers: Mapping[int, int]) -> None:
        for handle in handles:
            if handle not in self._told:
                self._told.add(handle)
                log.warning(
                    "server_deadband_refused",
                    source=self._source,
                    sensor_id=self._config.tags[handle].sensor_id,
                    answer=status_words(answers[handle]),
                )


def _deadband(kind: Any, width: float) -> Any:
    # with a deadband a new timestamp alone is no reason to send (OPC 10000-4, 7.22.2): ask for what we get
    return ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValue, DeadbandType=kind, DeadbandValue=width)


def _every_timestamp(_: int) -> Any:
    # a repeated value with a new source timestamp is a reading too
    return ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)


def _no_filter(_: int) -> Any:
    return None


def _no_publish_loop() -> None:
    return None


def _ignore(_: object) -> None:
    return None
