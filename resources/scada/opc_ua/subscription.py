"""One subscription: monitored items made in batches, several publish requests waiting, acknowledged when durable.

asyncua's own publish loop keeps one request at the server and acknowledges a notification as soon as its handler has
run; here every waiting request carries the acknowledgements of what has become durable since.
Source: OPC 10000-4, 5.13 (MonitoredItem services), 5.14 (Subscription services).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import BadNoSubscription, BadTimeout, BadTooManyOperations, BadTooManyPublishRequests

from resources.core.errors import ProtocolError, UnreachableError
from resources.scada.opc_ua.codec import Published, read_publish_response
from resources.scada.opc_ua.config import OpcUaConfig

_KEEP_ALIVE_S = 5.0
"""An idle subscription lets hear of itself this often."""
_LIFETIME_S = 600.0
"""The server keeps a subscription this long without a publish request: back-pressure may last."""
_FILTER_REFUSED = frozenset({
    StatusCodes.BadMonitoredItemFilterUnsupported, StatusCodes.BadFilterNotAllowed,
    StatusCodes.BadMonitoredItemFilterInvalid,
})  # fmt: skip

Deliver = Callable[[Published, Callable[[], None]], Awaitable[None]]
"""Takes a notification and what acknowledges it; called one after the other, in the order of the server."""


class Subscription:
    """A subscription on a session of asyncua; `create`, `add_items`, then `publish` until cancelled."""

    def __init__(self, source: str, config: OpcUaConfig, session: Any) -> None:
        """Prepare; nothing is sent yet."""
        self._source, self._config, self._session = source, config, session
        self._id = 0
        self._interval_s = 0.0
        self._keep_alive_s = 0.0
        self._durable: list[int] = []
        self._order = asyncio.Lock()
        self._heard = time.monotonic()
        self._waiting = 0

    async def create(self) -> None:
        """Create the subscription; the server may revise what we ask for."""
        wanted_ms = self._config.publishing_interval.total_seconds() * 1000
        keep_alive = max(1, math.ceil(_KEEP_ALIVE_S * 1000 / max(wanted_ms, 1.0)))
        # the session starts a publish loop of its own with the first subscription; ours takes its place
        self._session.ensure_publish_loop = _no_publish_loop
        parameters = ua.CreateSubscriptionParameters(
            RequestedPublishingInterval=wanted_ms,
            RequestedLifetimeCount=max(3 * keep_alive, math.ceil(_LIFETIME_S * 1000 / max(wanted_ms, 1.0))),
            RequestedMaxKeepAliveCount=keep_alive,
            MaxNotificationsPerPublish=0,
            PublishingEnabled=True,
        )
        made = await self._session.create_subscription(parameters, callback=_ignore)
        self._id = made.SubscriptionId
        self._interval_s = made.RevisedPublishingInterval / 1000
        self._keep_alive_s = self._interval_s * made.RevisedMaxKeepAliveCount

    async def add_items(self, nodes: Mapping[int, Any], most_per_call: int) -> dict[int, int]:
        """Monitor nodes, given by client handle; return handle -> status code of those the server refuses."""
        refused, handles = dict[int, int](), list(nodes)
        chunk = min(self._config.max_items_per_call, most_per_call or self._config.max_items_per_call)
        start = 0
        while start < len(handles):
            some = handles[start : start + chunk]
            try:
                codes = await self._create_items(some, nodes, with_filter=True)
            except BadTooManyOperations:
                if chunk == 1:
                    raise
                chunk = max(1, chunk // 2)
                continue
            start += chunk
            without = [handle for handle, code in codes.items() if code in _FILTER_REFUSED]
            if without:
                codes.update(await self._create_items(without, nodes, with_filter=False))
            refused.update({handle: code for handle, code in codes.items() if code >> 30})
        return refused

    async def _create_items(self, handles: list[int], nodes: Mapping[int, Any], *, with_filter: bool) -> dict[int, int]:
        parameters = ua.CreateMonitoredItemsParameters(
            SubscriptionId=self._id,
            TimestampsToReturn=ua.TimestampsToReturn.Both,
            ItemsToCreate=[self._request(handle, nodes[handle], with_filter) for handle in handles],
        )
        results = await self._session.create_monitored_items(parameters)
        return {handle: result.StatusCode.value for handle, result in zip(handles, results, strict=True)}

    def _request(self, handle: int, node: Any, with_filter: bool) -> Any:
        asked = ua.MonitoringParameters(
            ClientHandle=handle,
            SamplingInterval=self._config.sampling_interval.total_seconds() * 1000,
            QueueSize=self._config.queue_size,
            DiscardOldest=True,
        )
        if with_filter:
            # a repeated value with a new source timestamp is a reading too
            asked.Filter = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
        item = ua.ReadValueId(NodeId=node, AttributeId=AttributeIds.Value)
        return ua.MonitoredItemCreateRequest(
            ItemToMonitor=item, MonitoringMode=ua.MonitoringMode.Reporting, RequestedParameters=asked
        )

    async def publish(self, deliver: Deliver) -> None:
        """Keep publish requests at the server and deliver what they bring, until cancelled or the connection fails."""
        self._heard = time.monotonic()
        workers = [asyncio.ensure_future(self._keep_asking(deliver)) for _ in range(self._config.publish_requests)]
        watch = asyncio.ensure_future(self._watch())
        try:
            pending: set[asyncio.Future[None]] = {*workers, watch}
            while True:
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if pending == {watch}:
                    raise ProtocolError(
                        f"source {self._source}: {self._config.endpoint_url} takes no publish request: see "
                        "the server's limits",
                        source=self._source,
                    )
        finally:
            for task in (*workers, watch):
                task.cancel()
            await asyncio.gather(*workers, watch, return_exceptions=True)

    async def _keep_asking(self, deliver: Deliver) -> None:
        while True:
            try:
                published = await self._ask()
            except BadTimeout:
                continue
            except BadTooManyPublishRequests:
                return  # the server holds as many as it can without this one
            except BadNoSubscription as error:
                raise self._gone("the server has dropped the subscription") from error
            if published.status_change is not None and published.status_change >> 30:
                raise self._gone(f"the subscription ended with status 0x{published.status_change:08x}")
            if not published.columns.handles:
                continue
            # requests are answered in order and tasks wake in order, so the lock keeps the server's order
            async with self._order:
                await deliver(published, partial(self._durable_append, published.sequence_number))

    def _durable_append(self, sequence_number: int) -> None:
        self._durable.append(sequence_number)

    async def _ask(self) -> Published:
        durable, self._durable = self._durable, []
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(SubscriptionId=self._id, SequenceNumber=sequence) for sequence in durable
        ]
        self._waiting += 1
        try:
            # timeout 0: a publish request waits for as long as there is nothing to tell
            answer = await self._session._send_request(request, timeout=0)
        finally:
            self._waiting -= 1
            self._heard = time.monotonic()
        try:
            return read_publish_response(bytes(answer))
        except ValueError as error:
            raise ProtocolError(
                f"source {self._source}: {self._config.endpoint_url} sent {error}: see the server's log",
                source=self._source,
            ) from error

    async def _watch(self) -> None:
        """Raise once the server has been silent for longer than its keep-alive allows."""
        patience_s = 2 * self._keep_alive_s + self._config.connect_timeout.total_seconds()
        while True:
            await asyncio.sleep(patience_s / 4)
            # without a request at the server it cannot speak: that is back-pressure, not silence
            if self._waiting and time.monotonic() - self._heard > patience_s:
                raise self._gone(f"nothing was heard for {patience_s:g} s, not even a keep-alive")

    def _gone(self, what: str) -> UnreachableError:
        return UnreachableError(
            f"source {self._source}: subscription at {self._config.endpoint_url}: {what}: see the server's log",
            source=self._source,
        )


def _no_publish_loop() -> None:
    return None


def _ignore(_: object) -> None:
    return None
