"""The plant's sources at work: each second's measurements go to every server, and are counted as they are sent."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import orjson

from resources.core.clock import from_micros
from resources.demo_plant.addresses import registers, topics
from resources.demo_plant.counts import SourceCounts
from resources.demo_plant.misbehaviour import FUTURE_US, LATE_US
from resources.demo_plant.plant import MQTT, OPC_UA, SENSORS, Plant
from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer
from resources.demo_plant.servers.mqtt import Message, MqttEndpoint, MqttPublisher
from resources.demo_plant.servers.opc_ua import OpcUaEndpoint, OpcUaNode, OpcUaServer
from resources.demo_plant.signals import Array

TakeSpoilt = Callable[[], str | None]
"""Gives the misbehaviour of the next reading, None for a good one."""

_AHEAD = 60


class Source(Protocol):
    """One source of the plant."""

    counts: SourceCounts

    async def start(self) -> None:
        """Open the port, or connect."""
        ...

    async def stop(self) -> None:
        """Close everything; `start` opens it again."""
        ...

    async def send(self, time_us: int, values: Array, take_spoilt: TakeSpoilt) -> None:
        """Send one value of each sensor."""
        ...

    def misbehave(self, kind: str, count: int) -> None:
        """Spoil `count` answers, where the protocol does not send readings of its own accord."""
        ...

    def drop(self) -> int:
        """Cut the connections; return how many there were."""
        ...

    def pending(self) -> int:
        """Return what was made and not yet taken over by a connected peer."""
        ...

    def report(self) -> dict[str, object]:
        """Return the counts."""
        ...


class OpcUaSource:
    """The boilers. A value counts from the node's first subscription on."""

    def __init__(self, endpoint: OpcUaEndpoint) -> None:
        """Take where to listen."""
        self.counts = SourceCounts("opc_ua")
        nodes = [OpcUaNode(sensor.sensor_id, sensor.tag.description) for sensor in SENSORS[OPC_UA]]
        self._written: dict[int, int] = {}
        self._server = OpcUaServer(endpoint, nodes, self._first_subscription)

    def _first_subscription(self, column: int) -> None:
        # the subscription shows the present value first, which was written before anyone could see it
        self.counts.add(self._written[column])

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    async def stop(self) -> None:
        """Close the port."""
        await self._server.stop()

    async def send(self, time_us: int, values: Array, take_spoilt: TakeSpoilt) -> None:
        """Write one value to each node."""
        for column, measured in enumerate(values.tolist()):
            kind = take_spoilt()
            if kind is not None:
                self.counts.misbehaved[kind] += 1
            if kind == "late":
                await self._write(column, measured, time_us - LATE_US)
            value = _shown(OPC_UA, column, measured, kind)
            instant = time_us + FUTURE_US if kind == "future" else time_us
            await self._write(column, math.nan if kind == "nan" else [value] if kind == "garbage" else value, instant)

    async def _write(self, column: int, value: float | list[float], time_us: int) -> None:
        self._written[column] = time_us
        if column in self._server.subscribed:
            self.counts.add(time_us)
        await self._server.write(column, value, time_us)

    def misbehave(self, kind: str, count: int) -> None:
        """Do nothing: readings are spoilt as they are sent."""

    def drop(self) -> int:
        """Cut the connections."""
        return self._server.drop_connections()

    def pending(self) -> int:
        """Return what connected clients have not fetched or acknowledged."""
        return self._server.pending()

    def report(self) -> dict[str, object]:
        """Return the counts."""
        return self.counts.as_json(pending=self.pending()) | {"subscribed": len(self._server.subscribed)}


class ModbusSource:
    """A PLC. It sends nothing: it answers, and counts the requests."""

    def __init__(self, name: str, endpoint: ModbusEndpoint) -> None:
        """Take which PLC it is and where to listen."""
        self.counts = SourceCounts("modbus")
        self._server = ModbusServer(endpoint, registers(name))

    async def start(self) -> None:
        """Listen."""
        await self._server.start()

    async def stop(self) -> None:
        """Close the port."""
        await self._server.stop()

    async def send(self, time_us: int, values: Array, take_spoilt: TakeSpoilt) -> None:
        """Put the values into the registers."""
        del time_us, take_spoilt
        for column, value in enumerate(values.tolist()):
            self._server.set(column, value)

    def misbehave(self, kind: str, count: int) -> None:
        """Spoil the next answers: as many floats as NaN, or as many requests with an exception."""
        if kind == "nan":
            self._server.poison_next(count)
        elif kind == "garbage":
            self._server.fail_next(count)

    def drop(self) -> int:
        """Cut the connections."""
        return self._server.drop_connections()

    def pending(self) -> int:
        """Return 0: nothing is owed."""
        return 0

    def report(self) -> dict[str, object]:
        """Return the counts; `misbehaved` are the spoilt answers given so far."""
        spoilt = {"nan": self._server.poisoned, "garbage": self._server.exceptions}
        self.counts.misbehaved.update({k: n - self.counts.misbehaved[k] for k, n in spoilt.items() if n})
        return self.counts.as_json(pending=0) | {"requests": self._server.requests}


class MqttSource:
    """The meters. A message counts when the broker has acknowledged it and somebody subscribes its topic."""

    def __init__(self, endpoint: MqttEndpoint) -> None:
        """Take where to publish."""
        self.counts = SourceCounts("mqtt", extra=Counter(unheard=0))
        self._publisher = MqttPublisher(endpoint, self._sent)

    def _sent(self, message: Message, heard: bool) -> None:
        if heard:
            self.counts.add(message.time_us)
        else:
            self.counts.extra["unheard"] += 1

    async def start(self) -> None:
        """Connect in the background."""
        self._publisher.start()

    async def stop(self) -> None:
        """Disconnect; unsent messages wait."""
        await self._publisher.stop()

    async def send(self, time_us: int, values: Array, take_spoilt: TakeSpoilt) -> None:
        """Publish one message for each sensor."""
        for column, measured in enumerate(values.tolist()):
            kind = take_spoilt()
            if kind is not None:
                self.counts.misbehaved[kind] += 1
            if kind == "late":
                self._publish(column, self._payload(column, measured, time_us - LATE_US), time_us - LATE_US)
            value = _shown(MQTT, column, measured, kind)
            instant = time_us + FUTURE_US if kind == "future" else time_us
            self._publish(column, self._spoilt(kind) or self._payload(column, value, instant), instant)

    def _publish(self, column: int, payload: bytes, time_us: int) -> None:
        self._publisher.publish(Message(topics()[column], payload, time_us))

    @staticmethod
    def _spoilt(kind: str | None) -> bytes | None:
        if kind == "garbage":
            return b"\xff\xfe no JSON"
        # many embedded senders print NaN, which JSON does not know
        return b'{"value": NaN, "status": "good"}' if kind == "nan" else None

    @staticmethod
    def _payload(column: int, value: float, time_us: int) -> bytes:
        return orjson.dumps(
            {
                "value": value,
                "time": from_micros(time_us).isoformat().replace("+00:00", "Z"),
                "status": "good",
                "unit": SENSORS[MQTT][column].tag.unit,
            }
        )

    def misbehave(self, kind: str, count: int) -> None:
        """Do nothing: readings are spoilt as they are sent."""

    def drop(self) -> int:
        """Cut the plant's own connection to the broker."""
        return self._publisher.drop_connection()

    def pending(self) -> int:
        """Return what the broker has not acknowledged."""
        return self._publisher.pending()

    def report(self) -> dict[str, object]:
        """Return the counts."""
        extra = {"refused": self._publisher.refused, "connections": self._publisher.connections}
        return self.counts.as_json(pending=self.pending()) | extra


def _shown(source: str, column: int, measured: float, kind: str | None) -> float:
    return SENSORS[source][column].tag.limits[1] if kind == "high" else measured


class Measurements:
    """The plant's values second by second, computed a minute ahead: one call of the physics costs as much as sixty."""

    def __init__(self, plant: Plant) -> None:
        """Take the plant."""
        self._plant = plant
        self._held: dict[str, tuple[int, Array]] = {}

    def at(self, source: str, time_us: int) -> Array:
        """Return the values of `source` at a whole second."""
        first, rows = self._held.get(source, (0, np.empty((0, 0))))
        row = (time_us - first) // 1_000_000
        if not 0 <= row < len(rows):
            times = time_us + np.arange(_AHEAD, dtype=np.int64) * 1_000_000
            rows = self._plant.measure(source, times)
            self._held[source] = (time_us, rows)
            row = 0
        values: Array = rows[row]
        return values


def report(sources: Mapping[str, Source]) -> dict[str, Any]:
    """Return source -> counts."""
    return {name: source.report() for name, source in sources.items()}
