"""What the tests of alarms share: keys, the alarms of a collector, and a subscriber that verifies what it hears."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.agents.alarms import AlarmsConfig
from resources.agents.mqtt.bus import Arrived, Bus, BusCallbacks
from resources.agents.mqtt.network import Network
from resources.agents.security.judge import Judge
from resources.agents.security.keys import PublicKeys, generate_keys
from resources.agents.wire.message import Message
from resources.core.alarms import AlarmChange
from resources.core.clock import Clock, SystemClock, to_micros
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.tags import Sensor, SensorCatalog
from resources.transport.broker import BrokerConfig
from sensors.collector.alarms.service import Alarms
from tests.agents_support import SITE, Plant

ALARM_ID = "alarm-edge"
CATALOG = SensorCatalog([Sensor("b1.p", "bar", "boilers"), Sensor("b2.p", "bar", "boilers")])


RAISED = AlarmChange(
    rule="high",
    sensor_id="b1.p",
    source="plc",
    unit="bar",
    state="raised",
    raised_us=10,
    at_us=10,
    began_us=5,
    value=12.0,
    threshold=10.0,
    direction="above",
    priority="critical",
    text="",
    message_id="01932c07-20a9-7c6c-8000-000000000001",
    noticed_us=11,
)
"""An alarm that has just been raised."""


def rules(**given: Any) -> dict[str, Any]:
    return {"overpressure": {"sensors": ["b1.p"], "above": 10, "message": "Open the valve", **given}}


@dataclass
class AlarmPlant:
    """A site whose collector has a key of role alarm."""

    folder: Path
    broker: BrokerConfig
    listeners: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.agents = Plant(self.folder, self.broker, "postgresql://nowhere")
        generate_keys(self.agents.keys, [ALARM_ID], role="alarm")
        self.home = self.folder / ".gl"

    def config(self, given: dict[str, Any], **more: Any) -> AlarmsConfig:
        return AlarmsConfig.model_validate(
            {"private_key": self.agents.keys / f"{ALARM_ID}.jwk", "rules": given, **more}
        )

    def alarms(self, given: dict[str, Any], *, clock: Clock | None = None, **more: Any) -> Alarms:
        return Alarms(
            self.config(given, **more),
            self.agents.config,
            site=SITE,
            home=self.home,
            catalog=CATALOG,
            clock=clock or SystemClock(),
        )

    def listen(self, site: str = SITE, client_id: str = "listener") -> Listener:
        listener = Listener(self.broker, self.agents.jwks, site, client_id)
        self.listeners.append(listener.close)
        return listener

    def close(self) -> None:
        self.agents.leave()
        for close in self.listeners:
            close()


class Listener:
    """Hears every event of a site, and keeps those that are rightly signed."""

    def __init__(self, broker: BrokerConfig, jwks: Path, site: str, client_id: str) -> None:
        self.events: list[Message] = []
        self.roles: list[str] = []
        self._judge = Judge(PublicKeys(jwks), site, SystemClock())
        self._network = Network()
        callbacks = BusCallbacks(self._hear, lambda: None, lambda: None)
        self._bus = Bus(broker, client_id, [f"gl/{site}/events/+"], callbacks, self._network)
        self._bus.start()
        self._bus.wait_connected(60)

    def told(self) -> list[tuple[str | None, str, str, float | None]]:
        """Return (topic, state, sensor_id, value) of what was heard, each message once."""
        once = {event.message_id: event for event in self.events}.values()
        return [(e.topic, e.payload["state"], e.payload["sensor_id"], e.payload["value"]) for e in once]

    def close(self) -> None:
        self._bus.stop()
        self._network.close()

    def _hear(self, arrived: Arrived) -> None:
        received = self._judge.who(arrived.payload, arrived.topic)
        self.roles.append(received.role)
        self.events.append(received.message)
        arrived.ack()


def reading(value: float, *, key: int = 0, clock: Clock | None = None) -> ReadingBatch:
    now_us = to_micros((clock or SystemClock()).now())
    return ReadingBatch("boilers", readings=readings_batch([now_us], [key], [value], 0, now_us))
