"""Recordings, from each protocol's server through collector, buffer and asset into TimescaleDB: equal row by row.

GL_REPLAY_DIR adds the recordings in a folder to the small one that is committed.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusException

from gl_assets.scada.persist import persist_window
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.demo_plant.replay import __main__ as program
from resources.demo_plant.replay import configuration
from resources.demo_plant.replay.players import ModbusPlayer, MqttPlayer, OpcUaPlayer, Player
from resources.demo_plant.replay.record import record
from resources.demo_plant.replay.recording import Recording, read_recording
from resources.demo_plant.servers.modbus import ModbusEndpoint
from resources.demo_plant.servers.mqtt import MqttEndpoint
from resources.demo_plant.servers.opc_ua import OpcUaEndpoint
from resources.embedded.broker import EmbeddedBroker
from resources.embedded.ports import free_port
from resources.integrations import Integrations, load_integrations
from resources.window_buffer.reader import BufferReader
from sensors.collector.assembly import Collector, Doors

COMMITTED = Path(__file__).resolve().parent.parent / "data" / "recording.csv"
REAL = sorted(Path(os.environ["GL_REPLAY_DIR"]).glob("*.csv")) if "GL_REPLAY_DIR" in os.environ else []
DEADLINE_S = 170.0

Row = tuple[int, str, float]
Made = tuple[Player, dict[str, Any]]


def opc_ua(recording: Recording, _broker: EmbeddedBroker) -> Made:
    endpoint = OpcUaEndpoint("127.0.0.1", free_port())
    return OpcUaPlayer(recording, endpoint, "opc_ua"), configuration.opc_ua_source(recording, endpoint, "opc_ua")


def modbus(recording: Recording, _broker: EmbeddedBroker) -> Made:
    endpoint = ModbusEndpoint("127.0.0.1", free_port())
    source = configuration.modbus_source(recording, endpoint, "modbus", poll="2ms")
    return ModbusPlayer(recording, endpoint), source


def mqtt(recording: Recording, broker: EmbeddedBroker) -> Made:
    endpoint = MqttEndpoint("127.0.0.1", broker.port, client_id="replay-publisher")
    return MqttPlayer(recording, endpoint, "mqtt"), configuration.mqtt_source(recording, endpoint, "mqtt")


MAKERS: dict[str, Callable[[Recording, EmbeddedBroker], Made]] = {"opc_ua": opc_ua, "modbus": modbus, "mqtt": mqtt}


def expected_rows(recording: Recording, protocol: str) -> list[Row]:
    values = recording.values.astype(np.float32).astype(np.float64) if protocol == "modbus" else recording.values
    return sorted(
        (time_us, sensor_id, value)
        for time_us, row in zip(recording.times_us.tolist(), values.tolist(), strict=True)
        for sensor_id, value in zip(recording.sensor_ids(protocol), row, strict=True)
    )


async def collect(config: Integrations, home: Path, players: list[Player], *, speed: float, rows: int) -> None:
    """Play everything into a collector, and end it when all has become durable."""
    collector, stop = Collector(config, home), asyncio.Event()
    collecting = asyncio.create_task(collector.run(stop, Doors(serve=False), close_windows=True))
    playing = asyncio.gather(*(player.play(speed) for player in players))
    done, _ = await asyncio.wait({collecting, playing}, timeout=DEADLINE_S * 3, return_when=asyncio.FIRST_COMPLETED)
    assert done == {playing}, "the collector ended, or nothing did"
    await playing
    deadline = time.monotonic() + DEADLINE_S
    while sum(counts.buffered for counts in collector.buffer.counts().values()) < rows:
        assert time.monotonic() < deadline, collector.buffer.counts()
        await asyncio.sleep(0.05)
    stop.set()
    await collecting


def store(config: Integrations, home: Path, database_url: str) -> None:
    reader = BufferReader(home / "buffer")
    with ReadingsStore(database_url) as readings:
        for window in reader.windows():
            persist_window(reader.read(window.window_start), readings, config, run_id="replay")


def stored_rows(database_url: str) -> list[Row]:
    query = "SELECT extract(epoch FROM time) * 1000000, sensor_id, value FROM scada.sensor_readings"
    with psycopg.connect(database_url) as connection:
        return sorted((int(micros), sensor_id, value) for micros, sensor_id, value in connection.execute(query))


async def replay(
    recording: Recording, protocols: list[str], place: tuple[Path, str, EmbeddedBroker], *, speed: float
) -> list[Row]:
    """Return what stands in the database after the recording was played by all `protocols` at once."""
    home, database_url, broker = place
    made = {protocol: MAKERS[protocol](recording, broker) for protocol in protocols}
    sources = {protocol: source for protocol, (_, source) in made.items()}
    config = Integrations.model_validate(configuration.integrations(recording, sources))
    players = [player for player, _ in made.values()]
    for player in players:
        await player.start()
    try:
        rows = len(recording) * len(recording.columns) * len(protocols)
        await collect(config, home, players, speed=speed, rows=rows)
    finally:
        for player in players:
            await player.stop()
    await asyncio.to_thread(store, config, home, database_url)
    return await asyncio.to_thread(stored_rows, database_url)


@pytest.mark.parametrize("speed", [60.0, math.inf], ids=["60x", "unlimited"])
@pytest.mark.parametrize("protocol", list(MAKERS))
async def test_recording_when_replayed_then_the_database_equals_the_file(
    protocol: str, speed: float, tmp_path: Path, database_url: str, broker: EmbeddedBroker
) -> None:
    recording = read_recording(COMMITTED)
    stored = await replay(recording, [protocol], (tmp_path, database_url, broker), speed=speed)
    assert stored == expected_rows(recording, protocol)


if REAL:  # an empty list of cases would be a skipped test

    @pytest.mark.slow
    @pytest.mark.timeout(900)
    @pytest.mark.parametrize("file", REAL, ids=[file.stem for file in REAL])
    async def test_real_recording_when_replayed_by_all_protocols_then_the_database_equals_the_file(
        file: Path, tmp_path: Path, database_url: str, broker: EmbeddedBroker
    ) -> None:
        recording = read_recording(file)
        stored = await replay(recording, list(MAKERS), (tmp_path, database_url, broker), speed=math.inf)
        expected = [row for protocol in MAKERS for row in expected_rows(recording, protocol)]
        assert stored == sorted(expected)


def test_committed_recording_when_made_again_then_is_the_same_and_has_the_traits_of_a_real_one() -> None:
    assert record(seed=13, rows=300) == COMMITTED.read_text(encoding="utf-8")
    recording = read_recording(COMMITTED)
    assert recording.values.shape == (300, 8)
    assert (np.diff(recording.times_us) > 1_000_000).any(), "skipped seconds"
    assert (np.diff(recording.values, axis=0) == 0).any(), "repeated values"
    assert (recording.values < 0).any(), "values below zero"


def test_program_when_a_device_is_read_to_the_end_then_plays_every_row(tmp_path: Path) -> None:
    file, port, seen = tmp_path / "three.csv", free_port(), set[int]()
    file.write_text("datetime;a\n2026-01-01 00:00:00;1\n2026-01-01 00:00:01;1\n2026-01-01 00:00:05;2\n")
    reading = threading.Thread(target=_read_until_closed, args=(port, seen))
    reading.start()
    arguments = ["--protocol", "modbus", "--port", str(port), "--config", str(tmp_path / "out" / "replay.yaml")]
    assert program.main([str(file), *arguments]) == 0
    reading.join()
    assert sorted(seen) == read_recording(file).times_us.tolist()
    assert load_integrations(tmp_path / "out" / "replay.yaml").sources["modbus"].kind == "modbus"


def _read_until_closed(port: int, seen: set[int]) -> None:
    with ModbusTcpClient("127.0.0.1", port=port, timeout=1, retries=0) as client:
        deadline = time.monotonic() + DEADLINE_S
        while not client.connect() and time.monotonic() < deadline:
            time.sleep(0.05)
        while time.monotonic() < deadline:
            try:
                answer = client.read_holding_registers(0, count=6)
            except (ModbusException, OSError):
                return
            seen.add(int(client.convert_from_registers(answer.registers[:4], client.DATATYPE.UINT64)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["{none}"], "cannot be read"), (["{file}", "--protocol", "mqtt"], "name the port")],
    ids=["no file", "no broker"],
)
def test_program_when_it_cannot_play_then_ends_with_one_message(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"none": str(tmp_path / "none.csv"), "file": str(COMMITTED)}
    assert program.main([argument.format(**places) for argument in arguments]) == 1
    assert says in capsys.readouterr().err
