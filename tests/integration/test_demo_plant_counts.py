"""The definition `lost = sent - stored - rejected - deduplicated`, held exactly against the running plant."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import psycopg
import pytest

from gl_assets.scada.persist import persist_window
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.demo_plant.assembly import assemble
from resources.demo_plant.plant import MODBUS, MODBUS_TLS, MQTT, OPC_UA, SENSORS
from resources.demo_plant.run import RunningPlant
from resources.demo_plant.setup import DemoSetup, prepare
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.ports import free_port
from resources.embedded.programs import ServerPrograms
from resources.integrations import Integrations, load_integrations
from resources.window_buffer.reader import BufferReader
from sensors.collector.alarms.journal import STORE_FILE, AlarmJournal
from sensors.collector.assembly import Collector, Doors

DEADLINE_S = 60.0
SUBSCRIBED = (OPC_UA, MQTT)


async def until(condition: Callable[[], object], what: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def running(setup: DemoSetup) -> AsyncIterator[RunningPlant]:
    plant = assemble(setup.home, setup.state)
    await plant.start()
    ticking = asyncio.create_task(plant.run())
    try:
        yield plant
    finally:
        await plant.stop()
        await ticking


@pytest.fixture
def demo(
    programs: ServerPrograms, server_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DemoSetup]:
    port = free_port()
    setup = prepare(tmp_path / "demo", broker_port=port, seed=7)
    for name, value in setup.environment.items():
        monkeypatch.setenv(name, value)
    issued = setup.broker_certificate
    options = BrokerOptions(setup.broker_users, issued.certificate, issued.key, issued.authority)
    broker = EmbeddedBroker(server_folder / f"counts{port}", programs, options, port=port)
    broker.start()
    yield setup
    broker.stop()


def taken(collector: Collector, source: str) -> int:
    counts = collector.buffer.counts().get(source)
    return 0 if counts is None else counts.buffered + counts.rejected


async def collect(
    setup: DemoSetup,
    home: Path,
    meanwhile: Callable[[RunningPlant], None] = id,
    ending: Callable[[RunningPlant], None] = id,
    in_gaps: Counter[str] | None = None,
) -> dict[str, int]:
    """Let the collector read the plant for some seconds, and return what was sent.

    `ending` is shown the frozen plant after the collector has ended; `in_gaps` gets what the collector itself counts.
    """
    collector, stop = Collector(load_integrations(setup.config), home), asyncio.Event()
    async with running(setup) as plant:
        collecting = asyncio.create_task(collector.run(stop, Doors(serve=False), close_windows=True))
        await until(lambda: all(taken(collector, name) for name in SENSORS), collector.buffer.counts)
        meanwhile(plant)
        before = {name: taken(collector, name) for name in SENSORS}
        await until(
            lambda: all(taken(collector, name) > before[name] + 3 * len(SENSORS[name]) for name in SENSORS),
            collector.buffer.counts,
        )
        await until(lambda: plant.counts()["planned"] == 0, plant.counts)
        assert await plant.freeze(drain_s=DEADLINE_S)
        sent = {name: int(plant.counts()["sources"][name]["sent"]) for name in SUBSCRIBED}
        # what OPC UA has acknowledged, and that is all of it now, is durable; MQTT is acknowledged by the broker
        await until(lambda: taken(collector, MQTT) >= sent[MQTT], collector.buffer.counts)
        stop.set()
        collected = await collecting
        ending(plant)
    if in_gaps is not None:
        in_gaps.update({name: collected.counts[name].in_gaps for name in SENSORS})
    # what a polled source owes is counted by the collector
    return sent | {name: collected.counts[name].sent for name in (MODBUS, MODBUS_TLS)}


def stored(config: Integrations, home: Path, url: str) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Store every window; return rows stored, rejected and deduplicated, by source."""
    reader, deduplicated = BufferReader(home / "buffer"), Counter[str]()
    with ReadingsStore(url) as store:
        for window in reader.windows():
            contents = reader.read(window.window_start)
            deduplicated.update(contents.deduplicated)
            persist_window(contents, store, config, run_id="counts")
    source_of = {tag.sensor_id: name for name, source in config.sources.items() for tag in source.tags}
    with psycopg.connect(url) as connection:
        good = Counter(source_of[row[0]] for row in connection.execute("SELECT sensor_id FROM scada.sensor_readings"))
        bad = Counter(source_of[row[0]] for row in connection.execute("SELECT sensor_id FROM scada.rejected_readings"))
    return good, bad, deduplicated


async def test_counts_when_all_goes_well_then_nothing_is_lost_nor_rejected(
    demo: DemoSetup, tmp_path: Path, database_url: str
) -> None:
    home = tmp_path / "gl"
    sent = await collect(demo, home)
    good, bad, deduplicated = await asyncio.to_thread(stored, load_integrations(demo.config), home, database_url)
    assert {name: sent[name] - good[name] - bad[name] - deduplicated[name] for name in SENSORS} == dict.fromkeys(
        SENSORS, 0
    )
    assert bad == Counter()
    assert deduplicated == Counter()
    assert alarm_changes(home) == []


async def test_alarm_when_the_plant_is_told_a_high_reading_then_raised_and_ended_once(
    demo: DemoSetup, tmp_path: Path
) -> None:
    home = tmp_path / "gl"
    await collect(demo, home, lambda plant: plant.misbehave("high", MQTT))
    assert alarm_changes(home) == [("gas_flow_high", "raised", 12_000.0), ("gas_flow_high", "cleared")]


def alarm_changes(home: Path) -> list[tuple[object, ...]]:
    with AlarmJournal(home / STORE_FILE) as journal:
        changes = [entry.change for entry in journal.oldest(10)]
    return [(c.rule, c.state, c.value) if c.state == "raised" else (c.rule, c.state) for c in changes]


async def test_counts_when_readings_are_spoilt_then_each_is_accounted_for(
    demo: DemoSetup, tmp_path: Path, database_url: str
) -> None:
    def spoil(plant: RunningPlant) -> None:
        for source in SUBSCRIBED:
            for kind, count in (("nan", 2), ("garbage", 3), ("late", 4), ("future", 1)):
                plant.misbehave(kind, source, count=count)
        plant.misbehave("nan", MODBUS_TLS, count=2)

    home = tmp_path / "gl"
    sent = await collect(demo, home, spoil)
    good, bad, deduplicated = await asyncio.to_thread(stored, load_integrations(demo.config), home, database_url)
    assert {name: sent[name] - good[name] - bad[name] - deduplicated[name] for name in SENSORS} == dict.fromkeys(
        SENSORS, 0
    )
    assert {name: bad[name] for name in SENSORS} == {OPC_UA: 6, MODBUS: 0, MODBUS_TLS: 2, MQTT: 6}


async def test_counts_when_connections_break_then_what_is_not_stored_lies_in_a_gap(
    demo: DemoSetup, tmp_path: Path, database_url: str
) -> None:
    home, config, missed = tmp_path / "gl", load_integrations(demo.config), Counter[str]()

    def spoil(plant: RunningPlant) -> None:
        for source in (OPC_UA, MODBUS, MODBUS_TLS):
            plant.misbehave("drop_connection", source)

    def look(plant: RunningPlant) -> None:
        stored(config, home, database_url)
        for gap in BufferReader(home / "buffer").gaps():
            if gap.source in SUBSCRIBED:
                assert gap.until is not None
                # some of what was sent in a gap came all the same: a subscription begins with the present value, and a
                # broker keeps messages for a session
                arrived = stored_between(database_url, gap.source, gap.since, gap.until)
                missed[gap.source] += plant.sent_between(gap.source, gap.since, gap.until) - arrived

    collected = Counter[str]()
    sent = await collect(demo, home, spoil, look, collected)
    good, bad, _ = await asyncio.to_thread(stored, config, home, database_url)
    in_gaps = missed + collected
    assert {name: sent[name] - good[name] - bad[name] - in_gaps[name] for name in SENSORS} == dict.fromkeys(SENSORS, 0)


def stored_between(url: str, source: str, since: datetime, until: datetime) -> int:
    query = "SELECT count(*) FROM scada.sensor_readings WHERE source = %s AND time >= %s AND time < %s"
    with psycopg.connect(url) as connection:
        row = connection.execute(query, (source, since, until)).fetchone()
    assert row is not None
    return int(row[0])
