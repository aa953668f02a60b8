"""Events from a real OPC UA server through the collector into the database, which may be away meanwhile."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from resources.core.events import SourceEvent
from resources.databases.timescale.notes.events import write_source_events
from resources.integrations import Integrations
from sensors.collector.assembly import Collector, Doors
from sensors.collector.event_queue import EventQueue
from tests.contract.scada.recorder import until
from tests.opc_ua_server import PlainServer, node_id

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def event(number: int, **changes: Any) -> SourceEvent:
    fields: dict[str, Any] = {
        "source": "plant",
        "time_us": int(AT.timestamp()) * 1_000_000 + number,
        "received_us": int(AT.timestamp()) * 1_000_000 + number,
        "event_type": "AlarmConditionType",
        "message": f"alarm {number}",
        "severity": 500,
        "event_id": f"e{number}",
    }
    return SourceEvent(**{**fields, **changes})


def rows(url: str) -> list[Any]:
    with psycopg.connect(url) as connection:
        return connection.execute(
            "SELECT source_event_id, event_type, severity, severity_number, message, sensor_id, active, collector, site"
            " FROM scada.events ORDER BY event_id"
        ).fetchall()


def write(url: str, *events: SourceEvent) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        return write_source_events(connection, events, site="site", collector="edge")


async def test_queue_when_opened_again_then_what_waits_is_there(tmp_path: Path):
    queue = EventQueue(tmp_path / "events.sqlite")
    await queue.put([event(1), event(2, details={"comment": "µ"})])
    queue.close()
    queue = EventQueue(tmp_path / "events.sqlite")
    waiting = queue.oldest(10)
    assert [queued.event for queued in waiting] == [event(1), event(2, details={"comment": "µ"})]
    queue.remove(waiting[0].number)
    assert (len(queue), [queued.event.event_id for queued in queue.oldest(10)]) == (1, ["e2"])
    queue.close()
    assert queue.oldest(10) == []


async def test_queue_when_full_then_it_waits_for_room_and_a_cancelled_one_is_kept(tmp_path: Path):
    queue = EventQueue(tmp_path / "events.sqlite", most=1)
    await queue.put([event(1)])
    waiting = asyncio.create_task(queue.put([event(2)]))
    cancelled = asyncio.create_task(queue.put([event(3)]))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.gather(cancelled, return_exceptions=True)
    assert [queued.event.event_id for queued in queue.oldest(10)] == ["e1", "e3"]
    queue.remove(queue.oldest(10)[-1].number)
    await asyncio.wait_for(waiting, 30)
    assert [queued.event.event_id for queued in queue.oldest(10)] == ["e2"]
    queue.close()


def test_write_when_an_event_comes_twice_then_it_is_stored_once(database_url: str):
    assert write(database_url, event(1), event(2), event(1)) == 2
    assert write(database_url, event(2)) == 0
    assert [row[0] for row in rows(database_url)] == ["e1", "e2"]


def test_write_when_a_condition_is_told_again_under_another_id_then_it_is_stored_once(database_url: str):
    state = {"condition_id": "nsu=u;s=c", "active": True, "acked": False, "retain": True, "message": "high"}
    write(database_url, event(1, **state))
    # the same state at the same time is the same event; acknowledged, it is another one
    assert write(database_url, event(1, **state, event_id="other")) == 0
    assert write(database_url, event(1, **{**state, "acked": True, "event_id": "third"})) == 1
    assert [row[0] for row in rows(database_url)] == ["e1", "third"]


def test_write_when_two_alarms_of_a_type_come_at_one_instant_then_both_are_stored(database_url: str):
    assert write(database_url, event(1), event(1, event_id="e1b", message="another")) == 2


def test_write_when_text_holds_what_the_database_cannot_then_it_is_stored_all_the_same(database_url: str):
    odd = event(1, message="a\x00b", details={"comment": "c\x00d"})
    assert write(database_url, odd, event(3)) == 2
    assert rows(database_url)[0][4] == "a\ufffdb"


def test_write_when_the_database_cannot_hold_one_then_the_others_are_stored(database_url: str):
    # a severity beyond an integer's range: no server may tell one, but it must not stop the rest
    assert write(database_url, event(1), event(2, severity=2**40), event(3)) == 2
    assert [row[0] for row in rows(database_url)] == ["e1", "e3"]


def configuration(server: PlainServer) -> Integrations:
    source = {
        "kind": "opc_ua",
        "endpoint_url": server.url,
        "insecure_no_security": True,
        "events": {},
        "publishing_interval": "20ms",
        "tags": [{"sensor_id": "B1.P", "unit": "bar", "node_id": node_id("pressure")}],
    }
    start = datetime.now(UTC) - timedelta(days=1)
    return Integrations.model_validate(
        {"site": "site", "start": start, "collector": {"name": "edge", "port": 0}, "sources": {"plant": source}}
    )


async def test_collector_when_the_database_is_away_then_events_wait_and_arrive_later(database_url: str, tmp_path: Path):
    server = PlainServer()
    await server.start()
    await server.add("pressure")
    generator = await server.server.get_event_generator()
    away = Collector(configuration(server), tmp_path, database_url="postgresql://u:p@127.0.0.1:1/none")
    stop = asyncio.Event()
    running = asyncio.create_task(away.run(stop, Doors(serve=False)))
    await until(lambda: away.states["plant"].connected, "the connection", running)
    await generator.trigger(AT, "boiler trip")
    assert away.events is not None
    await until(lambda: len(away.events or ()) == 1, "the event in the queue", running)
    stop.set()
    await running
    # the collector of the next day has no events configured any more; what waits goes to the database all the same
    config = configuration(server)
    quiet = config.sources["plant"].model_copy(update={"events": None})
    later = Collector(config.model_copy(update={"sources": {"plant": quiet}}), tmp_path, database_url=database_url)
    stop = asyncio.Event()
    running = asyncio.create_task(later.run(stop, Doors(serve=False)))
    await until(lambda: len(later.events or ()) == 0, "the event in the database", running)
    stop.set()
    await running
    await server.stop()
    ((_, kind, severity, number, message, _, active, collector, site),) = rows(database_url)
    assert (kind, severity, number, message, active) == ("BaseEventType", "info", 1, "boiler trip", None)
    assert (collector, site) == ("edge", "site")
