"""Publish requests of a session: several wait at the server, notifications come in order, none is missed unnoticed.

asyncua's own publish loop keeps one request at the server and acknowledges a notification as soon as its handler has
run; here every waiting request carries the acknowledgements of what has become durable since. Sequence numbers tell
what is missing; the server is asked for it again (Republish), and what it does not have any more is reported as missed.
Source: OPC 10000-4, 5.14.1.2 (sequence numbers), 5.14.5 (Publish), 5.14.6 (Republish).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

import structlog
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import (
    BadMessageNotAvailable,
    BadNoSubscription,
    BadNotImplemented,
    BadServiceUnsupported,
    BadTimeout,
    BadTooManyPublishRequests,
)

from resources.core.clock import Clock
from resources.core.errors import ProtocolError, UnreachableError
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import status_words
from resources.scada.opc_ua.sessions.session import SubscriptionsGoneError
from resources.scada.opc_ua.sessions.subscription import Monitoring, Subscription
from resources.scada.opc_ua.wire.codec import Published, read_publish_response, read_republish_response

log = structlog.get_logger(__name__)

_SEQUENCES = 0xFFFF_FFFF
"""Sequence numbers run from 1 to this, then from 1 again."""
_MOST_MISSED = 10_000
"""A jump of the sequence numbers beyond this is a server that counts otherwise, not that many lost messages."""

Deliver = Callable[[Published, Callable[[], None]], Awaitable[None]]
"""Takes a notification and what acknowledges it; called one after the other, in the order of the server."""


@dataclass(frozen=True, slots=True)
class Hearers:
    """Who hears what a publisher brings."""

    deliver: Deliver
    missed: Callable[[datetime, datetime, str], None]
    """Hears of a stretch of time whose notifications cannot be had any more."""
    odd_status: Callable[[], None]
    """Hears that a subscription has a bad status that does not end it."""


class Publisher:
    """Keeps publish requests at the server for all subscriptions of a session."""

    def __init__(
        self, source: str, config: OpcUaConfig, monitoring: Monitoring, hearers: Hearers, clock: Clock
    ) -> None:
        """Publish for the subscriptions of `monitoring`, which may grow meanwhile, and tell `hearers`."""
        self._source, self._config, self._clock = source, config, clock
        self._session, self._subscriptions = monitoring.session, monitoring.subscriptions
        self._tell = hearers
        self._order = asyncio.Lock()
        self._waiting = 0

    async def run(self) -> None:
        """Deliver until cancelled or until the connection fails."""
        workers = {asyncio.ensure_future(self._keep_asking()) for _ in range(self._wanted())}
        watch = asyncio.ensure_future(self._watch())
        now = self._clock.monotonic()
        for subscription in self._subscriptions.values():
            subscription.heard = now
        try:
            while True:
                done, _ = await asyncio.wait({*workers, watch}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                workers -= done
                if not workers:
                    raise ProtocolError(
                        f"source {self._source}: {self._session.endpoint} takes no publish request: see the server's "
                        "limits",
                        source=self._source,
                    )
        finally:
            for task in (*workers, watch):
                task.cancel()
            await asyncio.gather(*workers, watch, return_exceptions=True)

    def _wanted(self) -> int:
        # one for each subscription and one to spare, so that none waits for another's answer
        return max(self._config.publish_requests, len(self._subscriptions) + 1)

    async def _keep_asking(self) -> None:
        while True:
            try:
                published = await self._ask()
            except BadTimeout:
                continue
            except BadTooManyPublishRequests:
                return  # the server holds as many as it can without this one
            except BadNoSubscription as error:
                raise self._gone("the server has dropped the subscription") from error
            # requests are answered in order and tasks wake in order, so the lock keeps the server's order
            async with self._order:
                await self._take(published)

    async def _ask(self) -> Published:
        request = ua.PublishRequest()
        owed = [(s, s.durable) for s in self._subscriptions.values() if s.durable]
        for subscription, _ in owed:
            subscription.durable = []
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(SubscriptionId=subscription.id, SequenceNumber=number)
            for subscription, numbers in owed
            for number in numbers
        ]
        self._waiting += 1
        try:
            # timeout 0: a publish request waits for as long as there is nothing to tell
            answer = await self._session.services._send_request(request, timeout=0)
        except BaseException:
            # perhaps never heard by the server; to acknowledge twice does no harm
            for subscription, numbers in owed:
                subscription.durable[:0] = numbers
            raise
        finally:
            self._waiting -= 1
        published = self._decoded(partial(read_publish_response, bytes(answer)))
        if (heard := self._subscriptions.get(published.subscription_id)) is not None:
            heard.heard = self._clock.monotonic()
        return published

    def _decoded(self, read: Callable[[], Published]) -> Published:
        try:
            return read()
        except ValueError as error:
            raise ProtocolError(
                f"source {self._source}: {self._session.endpoint} sent {error}: see the server's log",
                source=self._source,
            ) from error

    async def _take(self, published: Published) -> None:
        """Deliver a notification, after those before it that are missing; pass over what was delivered already."""
        subscription = self._subscriptions.get(published.subscription_id)
        if subscription is None:
            return  # of a subscription that we have given up
        number, expected = published.sequence_number, subscription.next_sequence
        ahead = (number - expected) % _SEQUENCES
        if ahead and ahead < _SEQUENCES // 2:
            await self._recover(subscription, published)
        subscription.heard_at = self._clock.now()
        if published.is_keep_alive:
            subscription.next_sequence = number
            return
        if ahead >= _SEQUENCES // 2:
            # sent twice: it is acknowledged, and the first one was delivered
            subscription.durable.append(number)
            return
        await self._hand_over(subscription, published)

    async def _hand_over(self, subscription: Subscription, published: Published) -> None:
        number = published.sequence_number
        # before the delivery: what takes a batch takes it also when it is cancelled
        subscription.next_sequence = number % _SEQUENCES + 1
        subscription.has_taken = True
        if published.status_change is not None:
            self._changed(subscription, published.status_change)
        await self._tell.deliver(published, partial(subscription.now_durable, number))

    def _changed(self, subscription: Subscription, status: int) -> None:
        if status == StatusCodes.BadTimeout:
            raise self._gone("the subscription ended: the server had not heard from us within its lifetime")
        if status == StatusCodes.GoodSubscriptionTransferred and subscription.is_transferred:
            subscription.is_transferred = False  # some servers tell also who has asked for it
        elif status == StatusCodes.GoodSubscriptionTransferred:
            raise self._gone("another session has taken the subscription over")
        if status >> 30:
            log.warning("subscription_status", source=self._source, status=status_words(status))
            self._tell.odd_status()

    async def _recover(self, subscription: Subscription, published: Published) -> None:
        """Ask again for what is missing before `published`."""
        first, last, since = subscription.next_sequence, published.sequence_number, subscription.heard_at
        count = (last - first) % _SEQUENCES
        lost = 0 if count <= _MOST_MISSED else count
        for step in range(count if not lost else 0):
            number = (first - 1 + step) % _SEQUENCES + 1
            again = await self.republish(subscription, number)
            if again is None:
                lost += 1
            else:
                await self._hand_over(subscription, again)
        if lost and subscription.has_taken:
            log.warning("notifications_missed", source=self._source, count=lost)
            told = f"{lost} notifications were lost, and the server does not have them any more"
            self._tell.missed(since, self._clock.now(), told)

    async def catch_up(self, subscription: Subscription) -> None:
        """Deliver what the server has sent and we have not got: to be called after a cut, before `run`."""
        async with self._order:
            while (again := await self.republish(subscription, subscription.next_sequence)) is not None:
                await self._hand_over(subscription, again)

    async def republish(self, subscription: Subscription, number: int) -> Published | None:
        """Return a notification that was sent before, None if the server does not have it."""
        request = ua.RepublishRequest()
        request.Parameters.SubscriptionId = subscription.id
        request.Parameters.RetransmitSequenceNumber = number
        try:
            answer = await self._session.services._send_request(request)
        except (BadMessageNotAvailable, BadServiceUnsupported, BadNotImplemented):
            return None
        found = self._decoded(partial(read_republish_response, bytes(answer), subscription.id))
        # asyncua's server answers with an empty message where it should refuse
        return found if found.sequence_number == number and not found.is_keep_alive else None

    async def _watch(self) -> None:
        """Raise once a subscription has been silent for longer than its keep-alive allows."""
        while True:
            slack_s = self._config.connect_timeout.total_seconds()
            patience = {s.id: 2 * s.keep_alive_s + slack_s for s in self._subscriptions.values()}
            await asyncio.sleep(min(patience.values(), default=slack_s) / 4)
            now = self._clock.monotonic()
            for subscription in self._subscriptions.values():
                allowed_s = patience.get(subscription.id, float("inf"))
                # without a request at the server it cannot speak: that is back-pressure, not silence
                if self._waiting and now - subscription.heard > allowed_s:
                    silence = f"nothing was heard for {allowed_s:g} s, not even a keep-alive"
                    raise UnreachableError(self._about(silence), source=self._source)

    def _about(self, what: str) -> str:
        return f"source {self._source}: subscription at {self._session.endpoint}: {what}: see the server's log"

    def _gone(self, what: str) -> SubscriptionsGoneError:
        return SubscriptionsGoneError(self._about(what), source=self._source)
