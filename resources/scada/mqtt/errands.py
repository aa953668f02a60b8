"""What is done beside reading, each over a short connection of its own: a look at topics, a message, a probe."""

from __future__ import annotations

import asyncio
import secrets
from typing import TypeVar

from resources.core.clock import Clock, to_micros
from resources.core.errors import SourceError, UnreachableError
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.grants import Grants, refuse_all_refused
from resources.scada.mqtt.link.dialing import Caller, Dialer, endpoint_of
from resources.scada.mqtt.link.session import BrokerSession
from resources.scada.mqtt.payloads import Look, Outgoing
from resources.transport.broker import BrokerConfig

_MOST_AT_ONCE = 5_000

Found = TypeVar("Found")


class Errands:
    """Runs errands of one source; the broker is told each time, because a source may have moved to another."""

    def __init__(self, source: str, config: MqttConfig, dialer: Dialer, clock: Clock) -> None:
        """Go as `config` says."""
        self._source, self._config, self._dialer, self._clock = source, config, dialer, clock

    async def session(self, broker: BrokerConfig, errand: str) -> BrokerSession:
        """Return a session that ends with its connection; raises as `Dialer.open`."""
        # a client id of its own each time: a broker ends the connection of whoever came before under the same one
        caller = Caller(f"{self._config.client_id}-{errand}-{secrets.token_hex(3)}")
        session, _ = await self._dialer.open(caller, broker)
        return session

    async def look(self, broker: BrokerConfig, look: Look[Found], seconds: float) -> Found | None:
        """Return what `look` finds in `seconds`, or earlier if it has it all.

        Raises:
            SourceError: As `Dialer.open`; every subscription is refused; the connection broke.
        """
        session = await self.session(broker, "look")
        async with session:

            def granted(grants: Grants) -> None:
                refuse_all_refused(grants, source=self._source, peer=endpoint_of(broker))
                for message in look.asks():
                    session.publish(message)

            if wanted := look.subscriptions():
                session.subscribe(wanted, granted)
            try:
                async with asyncio.timeout(seconds):
                    done = False
                    while not done:
                        run = session.accept(await session.take(_MOST_AT_ONCE))
                        done = look.heard(run.fresh, to_micros(self._clock.now()))
                        run.durable()
            except TimeoutError:
                pass
            return look.found()

    async def publish(self, broker: BrokerConfig, message: Outgoing) -> int:
        """Return the broker's reason code once it has taken `message` over.

        Raises:
            ProtocolError: The broker refuses the message.
            SourceError: As `Dialer.open`; the connection broke, or nothing came back in time.
        """
        session = await self.session(broker, "send")
        async with session:
            answer: asyncio.Future[int | SourceError] = asyncio.get_running_loop().create_future()
            session.publish(message, lambda outcome: None if answer.done() else answer.set_result(outcome))
            timeout_s = self._config.connect_timeout.total_seconds()
            try:
                outcome = await asyncio.wait_for(answer, timeout_s)
            except TimeoutError as error:
                raise UnreachableError(
                    f"source {self._source}: publishing {message.topic} at {endpoint_of(broker)}: not acknowledged in "
                    f"{timeout_s:g} s: check the broker; whether the message got through is not known",
                    source=self._source,
                ) from error
            if isinstance(outcome, SourceError):
                raise outcome
            return outcome
