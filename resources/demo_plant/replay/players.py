"""A recording played by each protocol: every row reaches whoever reads, whatever the speed.

- OPC UA: a row is written when the fullest queue of a monitored item has room again; the server's queues are finite and
  forget silently. The first row stands before anyone subscribes, so it is what a subscription shows first.
- Modbus: the device shows one row, with its time in a register, until the whole block has been read and a further
  request on the same connection has proved that the answer arrived.
- MQTT: rows leave as fast as the broker acknowledges; what nobody heard is sent again.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Protocol

import orjson

from resources.core.clock import from_micros
from resources.core.errors import ConfigError
from resources.demo_plant.replay.pace import Pace, until
from resources.demo_plant.replay.recording import Recording
from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer, Register, Table
from resources.demo_plant.servers.mqtt import Message, MqttEndpoint, MqttPublisher
from resources.demo_plant.servers.opc_ua import OpcUaEndpoint, OpcUaNode, OpcUaServer

QUEUE_SIZE = 1_000
"""Queue of a monitored item that the OPC UA configuration asks for; rows go on while half of it is free."""

TIME_WORDS = 4
"""Registers of the time, before the values."""

MOST_COLUMNS = 60
"""Most columns of a Modbus replay: a request reads at most 125 registers, 4 of them the time."""

_MOST_UNACKNOWLEDGED = 50
_MOST_PENDING = 2_000
_AGAIN_S = 0.1


class Player(Protocol):
    """A server that plays a recording once."""

    async def start(self) -> None:
        """Open the port, or connect."""
        ...

    async def play(self, speed: float = math.inf) -> None:
        """Play from the first row to the last; returns when the peer has taken all."""
        ...

    async def stop(self) -> None:
        """Close everything."""
        ...


class OpcUaPlayer:
    """Writes each row to its nodes, with the row's time as source timestamp."""

    def __init__(self, recording: Recording, endpoint: OpcUaEndpoint, prefix: str) -> None:
        """Take what to play and where."""
        self._recording = recording
        named = zip(recording.sensor_ids(prefix), recording.columns, strict=True)
        nodes = [OpcUaNode(sensor_id, column) for sensor_id, column in named]
        self._server = OpcUaServer(endpoint, nodes)

    async def start(self) -> None:
        """Listen; the nodes show the first row."""
        await self._write(0)
        await self._server.start()

    async def play(self, speed: float = math.inf) -> None:
        """Wait for a subscription to every node, then write the rows."""
        server, times = self._server, self._recording.times_us.tolist()
        await until(lambda: len(server.subscribed) == len(self._recording.columns))
        pace = Pace(times[0], speed)
        for row in range(1, len(times)):
            await pace.wait(times[row], self._has_room)
            await self._write(row)
            if row % 20 == 0:
                # writing never waits for the network: let the server send
                await asyncio.sleep(0)
        await until(lambda: server.longest_queue() == 0 and server.unacknowledged() == 0)

    def _has_room(self) -> bool:
        server = self._server
        return server.longest_queue() < QUEUE_SIZE // 2 and server.unacknowledged() < _MOST_UNACKNOWLEDGED

    async def _write(self, row: int) -> None:
        time_us = int(self._recording.times_us[row])
        for column, value in enumerate(self._recording.values[row].tolist()):
            await self._server.write(column, value, time_us)

    async def stop(self) -> None:
        """Close the port."""
        await self._server.stop()


class ModbusPlayer:
    """Shows one row at a time: its time at register 0, the values from register 4 on as float32."""

    def __init__(self, recording: Recording, endpoint: ModbusEndpoint) -> None:
        """Take what to play and where.

        Raises:
            ConfigError: More columns than one request can read.
        """
        if len(recording.columns) > MOST_COLUMNS:
            raise ConfigError(
                f"replay by Modbus: the recording has {len(recording.columns)} columns, more than the {MOST_COLUMNS} "
                "that one request can read with their time: play it by OPC UA or MQTT"
            )
        self._recording = recording
        self._row = 0
        self._was_read = False
        self._pace_open = asyncio.Event()
        self._finished = asyncio.Event()
        self._server = ModbusServer(endpoint, replay_registers(recording), on_read=self._read, on_connect=self._changed)

    async def start(self) -> None:
        """Listen; the registers show the first row."""
        self._show(0)
        await self._server.start()

    async def play(self, speed: float = math.inf) -> None:
        """Return when the last row has been read. The reader's polls set the pace; `speed` has no say."""
        del speed
        self._pace_open.set()
        await self._finished.wait()

    def _show(self, row: int) -> None:
        self._row = row
        self._server.set(0, int(self._recording.times_us[row]))
        for column, value in enumerate(self._recording.values[row].tolist(), start=1):
            self._server.set(column, value)

    def _changed(self) -> None:
        # the answer to the last request of a lost connection may never have arrived: show its row again
        self._was_read = False

    def _read(self, table: Table, address: int, count: int) -> None:
        if self._was_read and self._pace_open.is_set():
            if self._row + 1 < len(self._recording):
                self._show(self._row + 1)
            else:
                self._finished.set()
        end = TIME_WORDS + 2 * len(self._recording.columns)
        self._was_read = table == "holding_register" and address == 0 and count >= end

    async def stop(self) -> None:
        """Close the port."""
        await self._server.stop()


def replay_registers(recording: Recording) -> tuple[Register, ...]:
    """Return the registers of a Modbus replay: the time, then one float32 a column."""
    values = (Register("holding_register", TIME_WORDS + 2 * n, "float32") for n in range(len(recording.columns)))
    return (Register("holding_register", 0, "uint64"), *values)


class MqttPlayer:
    """Publishes one message for each value, QoS 1, with the row's time in the payload."""

    def __init__(self, recording: Recording, endpoint: MqttEndpoint, prefix: str) -> None:
        """Take what to play and where."""
        self._recording = recording
        self._topics = replay_topics(recording, prefix)
        self._unheard: deque[Message] = deque()
        self._publisher = MqttPublisher(endpoint, self._sent)

    def _sent(self, message: Message, heard: bool) -> None:
        if not heard:
            self._unheard.append(message)

    async def start(self) -> None:
        """Connect in the background."""
        self._publisher.start()

    async def play(self, speed: float = math.inf) -> None:
        """Publish until the broker has taken every message and has had somebody to give it to."""
        times = self._recording.times_us.tolist()
        self._publish(0)
        await self._settle()
        pace = Pace(times[0], speed)
        for row in range(1, len(times)):
            await pace.wait(times[row], lambda: self._publisher.pending() < _MOST_PENDING)
            self._publish(row)
        await self._settle()

    async def _settle(self) -> None:
        while True:
            await until(lambda: self._publisher.pending() == 0)
            if not self._unheard:
                return
            await asyncio.sleep(_AGAIN_S)
            for _ in range(len(self._unheard)):
                self._publisher.publish(self._unheard.popleft())

    def _publish(self, row: int) -> None:
        time_us = int(self._recording.times_us[row])
        time = from_micros(time_us).isoformat().replace("+00:00", "Z")
        for topic, value in zip(self._topics, self._recording.values[row].tolist(), strict=True):
            payload = orjson.dumps({"value": value, "time": time, "status": "good"})
            self._publisher.publish(Message(topic, payload, time_us))

    async def stop(self) -> None:
        """Disconnect."""
        await self._publisher.stop()


def replay_topics(recording: Recording, prefix: str) -> tuple[str, ...]:
    """Return the topics of an MQTT replay."""
    return tuple(f"replay/{sensor_id}" for sensor_id in recording.sensor_ids(prefix))
