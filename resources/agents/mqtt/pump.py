"""Moves publications from their queue to the client whenever it may send; for the network's thread, but for `put`."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import paho.mqtt.client as paho
import structlog
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from resources.agents.mqtt.network import Network
from resources.agents.mqtt.outgoing import Outgoing, Publication
from resources.agents.mqtt.pace import Pace

log = structlog.get_logger(__name__)

_IN_FLIGHT = 20
"""What brokers allow unless they say less; beyond the broker's limit MQTT 5 makes it end the connection."""

_FIRST_AGAIN_S = 1.0
_LONGEST_AGAIN_S = 30.0


class Pump:
    """The sending side of one bus."""

    def __init__(self, client_id: str, network: Network, pace: Pace, current: Callable[[], paho.Client | None]) -> None:
        """Send by the client that `current` returns; while it returns None everything waits."""
        self._client_id = client_id
        self._network = network
        self._current = current
        self._outgoing = Outgoing(pace, in_flight=_IN_FLIGHT)
        self._paced = False

    def __len__(self) -> int:
        """How many publications the broker has not taken over yet."""
        return len(self._outgoing)

    def put(self, publication: Publication) -> None:
        """Have this sent when it is its turn; from any thread."""
        self._outgoing.add(publication)
        self.wake()

    def wake(self) -> None:
        """Look soon whether something may go; from any thread."""
        self._network.call_soon(self._run)

    def greeted(self, properties: Properties | None) -> None:
        """Keep to what the broker's greeting allows at once; MQTT 5: absent means 65,535."""
        self._outgoing.most_in_flight = min(_IN_FLIGHT, getattr(properties, "ReceiveMaximum", _IN_FLIGHT))

    def call_back(self) -> None:
        """Have what is in flight wait again: the client that sent it is gone."""
        self._outgoing.call_back()

    def on_publish(self, _client: paho.Client, _data: Any, mid: int, reason: ReasonCode, _properties: Any) -> None:
        """Take the broker's answer to a packet: paho's callback."""
        publication = self._outgoing.landed(mid)
        if publication is None:
            return
        self.wake()
        if reason.is_failure:
            self._on_refused(publication, reason.getName())
        else:
            guarded(publication.on_sent, self._client_id)

    def _on_refused(self, publication: Publication, reason: str) -> None:
        say = log.debug if publication.refusals else log.error
        say("publication_refused", client_id=self._client_id, topic=publication.topic, reason=reason)
        guarded(publication.on_refused, self._client_id)
        if publication.renew is not None:
            # a quota passes, a wrong access list is put right
            longest = min(_LONGEST_AGAIN_S, _FIRST_AGAIN_S * 2 ** min(publication.refusals, 10))
            self._network.call_after(random.uniform(longest / 2, longest), lambda: self._put_again(publication))

    def _put_again(self, refused: Publication) -> None:
        payload = refused.renew() if refused.renew is not None else None
        if payload is not None:
            self.put(replace(refused, payload=payload, refusals=refused.refusals + 1))

    def _run(self) -> None:
        while (client := self._current()) is not None:
            publication, again_s = self._outgoing.next(time.monotonic())
            if publication is None:
                if again_s is not None and not self._paced:
                    self._paced = True
                    self._network.call_after(again_s, self._run_again)
                return
            self._send(client, publication)

    def _run_again(self) -> None:
        self._paced = False
        self._run()

    def _send(self, client: paho.Client, publication: Publication) -> None:
        try:
            info = client.publish(publication.topic, publication.payload, qos=1)
        except ValueError as error:
            # a topic or payload that MQTT has no form for: it would fail for ever, and nothing may wait behind it
            log.error("publication_impossible", client_id=self._client_id, topic=publication.topic, error=str(error))
            guarded(publication.on_refused, self._client_id)
            return
        self._outgoing.flies(info.mid, publication)


def guarded(call: Callable[[], None], client_id: str) -> None:
    """Call what the owner of a bus gave it; what it raises is logged, since paho would stop half way through."""
    try:
        call()
    except Exception:
        # paho would leave its state half way through the packet
        log.exception("bus_callback_failed", client_id=client_id)
