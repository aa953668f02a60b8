"""Our own state at the broker: `spBv1.0/STATE/<host_id>`, retained, as edge nodes watch it.

The will of a connection and the state that is published over it have the same timestamp, so that a will that comes late
is told from the state that followed it. Source: Sparkplug 3.0.0, 4.3 and 5.2.
"""

from __future__ import annotations

import orjson

from resources.core.clock import Clock, to_micros
from resources.scada.mqtt.link.packets import Will
from resources.scada.mqtt.payloads import Outgoing
from resources.scada.mqtt.sparkplug.topics import state_topic


class HostState:
    """What we say of ourselves."""

    def __init__(self, host_id: str, clock: Clock) -> None:
        """Speak for `host_id`."""
        self.topic = state_topic(host_id)
        self._clock = clock
        self._timestamp = 0

    def will(self) -> Will:
        """Return the will of a new connection."""
        self._timestamp = max(self._now(), self._timestamp + 1)
        return Will(self.topic, _said(online=False, timestamp=self._timestamp), qos=1, retain=True)

    def online(self) -> Outgoing:
        """Return that we are there, over the connection that the last will is of."""
        return Outgoing(self.topic, _said(online=True, timestamp=self._timestamp), qos=1, retain=True)

    def offline(self) -> Outgoing:
        """Return that we leave now."""
        timestamp = max(self._now(), self._timestamp)
        return Outgoing(self.topic, _said(online=False, timestamp=timestamp), qos=1, retain=True)

    def _now(self) -> int:
        return to_micros(self._clock.now()) // 1000


def says_offline(payload: bytes) -> bool:
    """Return whether a state says that its host is not there."""
    try:
        state = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return True
    return not (isinstance(state, dict) and state.get("online") is True)


def _said(*, online: bool, timestamp: int) -> bytes:
    return orjson.dumps({"online": online, "timestamp": timestamp})
