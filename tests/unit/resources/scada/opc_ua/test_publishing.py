"""Publish requests against a fake of asyncua's session, for the answers that no server gives when asked to."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import BadNoSubscription, BadTimeout, BadTooManyPublishRequests

from resources.core.clock import ManualClock
from resources.core.errors import AuthError, ProtocolError, UnreachableError
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.sessions.publishing import Hearers, Publisher
from resources.scada.opc_ua.sessions.session import Session, SubscriptionsGoneError, translated
from resources.scada.opc_ua.sessions.subscription import Monitoring, Subscription
from resources.scada.opc_ua.wire.codec import Published

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CONFIG = OpcUaConfig.model_validate(
    {
        "kind": "opc_ua",
        "endpoint_url": "opc.tcp://plant:4840",
        "insecure_no_security": True,
        "connect_timeout": "40ms",
        "tags": [{"sensor_id": "a", "unit": "1", "node_id": "i=2258"}],
    }
)


def notification(sequence: int, value: float = 1.0, subscription: int = 5) -> bytes:
    item = ua.MonitoredItemNotification(ClientHandle=0, Value=ua.DataValue(ua.Variant(value, ua.VariantType.Double)))
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = subscription
    response.Parameters.NotificationMessage.SequenceNumber = sequence
    response.Parameters.NotificationMessage.PublishTime = NOW
    response.Parameters.NotificationMessage.NotificationData = [ua.DataChangeNotification(MonitoredItems=[item])]
    return struct_to_binary(response)


class FakeServices:
    """Answers publish requests by a script, then never again."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.acknowledged: list[list[int]] = []

    async def _send_request(self, request: Any, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - asyncua's
        assert timeout == 0
        self.acknowledged.append([a.SequenceNumber for a in request.Parameters.SubscriptionAcknowledgements])
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Bench:
    def __init__(self, *answers: bytes | Exception) -> None:
        self.services = FakeServices(*answers)
        self.clock = ManualClock(NOW)
        self.subscription = Subscription(5, 0.01, 0.01, heard=self.clock.monotonic(), heard_at=NOW)
        self.delivered: list[int] = []
        self.missed: list[str] = []
        session = SimpleNamespace(services=self.services, endpoint="opc.tcp://plant:4840")
        monitoring = cast(Monitoring, SimpleNamespace(session=session, subscriptions={5: self.subscription}))
        hearers = Hearers(self.deliver, lambda _since, _until, why: self.missed.append(why), lambda: None)
        self.publisher = Publisher("rig", CONFIG, monitoring, hearers, self.clock)

    async def deliver(self, published: Published, durable: Callable[[], None]) -> None:
        self.delivered.append(published.sequence_number)
        durable()

    async def until(self, met: Callable[[], bool]) -> None:
        task = asyncio.ensure_future(self.publisher.run())
        async with asyncio.timeout(30):
            while not met():
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_publish_when_the_server_has_no_subscription_then_everything_is_to_be_subscribed_anew() -> None:
    with pytest.raises(SubscriptionsGoneError, match="the server has dropped the subscription"):
        await Bench(BadNoSubscription()).publisher.run()


async def test_publish_when_the_server_takes_no_request_then_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="takes no publish request: see the server's limits"):
        await Bench(*[BadTooManyPublishRequests() for _ in range(3)]).publisher.run()


async def test_publish_when_a_request_times_out_or_is_one_too_many_then_others_go_on() -> None:
    bench = Bench(BadTimeout(), BadTooManyPublishRequests(), notification(1), notification(2))
    await bench.until(lambda: bench.delivered == [1, 2])
    # what was delivered is acknowledged with the next request
    assert [1] in bench.services.acknowledged


async def test_publish_when_the_answer_is_garbage_then_protocol_error() -> None:
    with pytest.raises(ProtocolError, match=r"plant:4840 sent not a PublishResponse"):
        await Bench(b"\x01\x00\x00").publisher.run()


async def test_publish_when_the_answer_is_of_a_subscription_given_up_then_it_is_passed_over() -> None:
    bench = Bench(notification(1, subscription=4), notification(1))
    await bench.until(lambda: bench.delivered == [1])


async def test_publish_when_sequence_numbers_begin_again_after_the_last_then_nothing_is_missed() -> None:
    bench = Bench(notification(0xFFFF_FFFF), notification(1), notification(2))
    bench.subscription.next_sequence = 0xFFFF_FFFF
    await bench.until(lambda: bench.delivered == [0xFFFF_FFFF, 1, 2])
    assert bench.missed == []


async def test_publish_when_a_request_fails_then_its_acknowledgements_are_sent_again() -> None:
    bench = Bench(ConnectionError("cut"))
    bench.subscription.durable = [3, 4]
    with pytest.raises(ConnectionError):
        await bench.publisher.run()
    assert bench.subscription.durable == [3, 4]


async def test_publish_when_nothing_is_heard_then_unreachable_error() -> None:
    bench = Bench()

    async def pass_time() -> None:
        while True:
            bench.clock.advance(1)
            await asyncio.sleep(0)

    passing = asyncio.ensure_future(pass_time())
    with pytest.raises(UnreachableError, match="nothing was heard for .* not even a keep-alive"):
        await asyncio.wait_for(bench.publisher.run(), 30)
    passing.cancel()


class FakeClient:
    """A fake of asyncua's client at a server that answers OpenSecureChannel with a fault."""

    def __init__(self) -> None:
        self.uaclient = SimpleNamespace(disconnect_socket=lambda: None)

    async def connect_socket(self) -> None: ...

    async def send_hello(self) -> None: ...

    async def open_secure_channel(self) -> None:
        raise AssertionError


async def test_open_when_the_server_refuses_the_channel_with_a_fault_then_auth_error() -> None:
    session = Session("rig", CONFIG, FakeClient(), None)
    with pytest.raises(AuthError, match="security refused, most often because the server does not trust"):
        async with translated("rig", CONFIG, "connecting"):
            await session.open()
    assert not await session.resume()
