"""QoS 2 over the end of a process: a message whose PUBREC was lost is stored once, one that was not durable not lost.

The broker is scripted (a fake), because a real one cannot be made to lose exactly this; collector and buffer are real.
"""

import asyncio
from pathlib import Path

import pytest

from resources.core.clock import SystemClock
from resources.integrations import Integrations
from resources.scada.mqtt.link import packets, wire
from resources.scada.mqtt.link.journal import Journal, content_of
from resources.scada.mqtt.link.wire import Message
from sensors.collector.assembly import Collector, Doors
from tests.unit.resources.scada.mqtt.scripted_broker import RESUMED_5, Peer, broker, publish
from tests.unit.sensors.collector.bench import until


def _config(port: int) -> Integrations:
    source = {
        "kind": "mqtt",
        "broker": {"host": "127.0.0.1", "port": port, "tls": False, "insecure_plain_tcp": True},
        "client_id": "c",
        "topic_filters": ["t/#"],
        "qos": 2,
        # the receive time: nothing in the message itself would tell a copy from a new reading
        "tags": [{"sensor_id": "a", "unit": "1", "topic": "t/a", "time_path": None}],
    }
    start = "2026-01-01T00:00:00Z"
    return Integrations.model_validate({"site": "s", "start": start, "window": "1h", "sources": {"m": source}})


async def _collected(config: Integrations, home: Path, rows: int, ready: asyncio.Event) -> None:
    """Run a collector of its own until it has `rows` durable and the broker's script is through."""
    collector, stop = Collector(config, home, clock=SystemClock()), asyncio.Event()
    running = asyncio.create_task(collector.run(stop, Doors(serve=False)))
    try:
        await until(lambda: collector.flow.rows >= rows and ready.is_set())
    finally:
        stop.set()
        await running
    assert collector.flow.rows == rows


def _message(number: int, packet_id: int, *, dup: bool = False) -> bytes:
    return publish("t/a", b'{"value": %d}' % number, packet_id=packet_id, qos=2, dup=dup)


async def test_collector_when_it_starts_anew_then_what_it_had_taken_is_answered_and_not_stored(tmp_path: Path) -> None:
    through = [asyncio.Event(), asyncio.Event()]

    async def first(peer: Peer) -> None:
        await peer.greet()
        await peer.subscribe()
        peer.send(_message(1, 7), _message(2, 8), _message(3, 9))
        assert [int.from_bytes(await peer.expect(wire.PUBREC), "big") for _ in range(3)] == [7, 8, 9]
        peer.send(packets.acknowledgements(wire.PUBREL, (9,)))
        await peer.expect(wire.PUBCOMP)
        through[0].set()
        await peer.packet()

    async def second(peer: Peer) -> None:
        await peer.greet(RESUMED_5)
        await peer.subscribe()
        # to this broker the PUBRECs of 7 and 8 were lost; 9 was released, so it stands for a new message
        peer.send(_message(1, 7, dup=True), _message(2, 8, dup=True), _message(3, 9), _message(4, 10))
        assert [int.from_bytes(await peer.expect(wire.PUBREC), "big") for _ in range(4)] == [7, 8, 9, 10]
        through[1].set()
        await peer.packet()

    async with broker(first, second) as port:
        await _collected(_config(port), tmp_path, 3, through[0])
        await _collected(_config(port), tmp_path, 2, through[1])


def _taken(number: int, packet_id: int) -> Message:
    return Message(b"t/a", b'{"value": %d}' % number, packet_id, 2, False)


async def test_collector_when_a_message_was_noted_but_not_durable_then_it_is_stored(tmp_path: Path) -> None:
    through = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.greet(RESUMED_5)
        await peer.subscribe()
        peer.send(_message(1, 7, dup=True))
        await peer.expect(wire.PUBREC)
        through.set()
        await peer.packet()

    async with broker(script) as port:
        # a process that was killed between the note and the buffer's commit
        Journal(tmp_path / "sources" / "m" / f"qos2_127.0.0.1_{port}.journal", 0).note([_taken(1, 7)], 1)
        await _collected(_config(port), tmp_path, 1, through)


def test_journal_when_it_is_opened_again_then_it_lists_what_is_durable_and_not_released(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "qos2.journal"
    journal = Journal(path, 0)
    journal.note([_taken(n, n) for n in range(1, 6)], 1)
    journal.release(2, 77)
    assert Journal(path, 4).received() == {n: content_of(_taken(n, n)) for n in (1, 3, 4)}
    assert Journal(path, 9).received().keys() == {1, 3, 4}, "what was not durable is forgotten for good"
    path.write_bytes(path.read_bytes()[:-3])
    again = Journal(path, 9)
    assert again.received().keys() == {1, 3}
    again.clear()
    assert Journal(path, 9).received() == {}


def test_journal_when_it_grows_long_then_it_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resources.scada.mqtt.link.journal._MOST_RECORDS", 10)
    path = tmp_path / "qos2.journal"
    journal = Journal(path, 0)
    for number in range(1, 30):
        journal.note([_taken(number, number)], number)
        journal.release(number - 3)
    assert path.stat().st_size < 14 * 20
    assert Journal(path, 29).received().keys() == {27, 28, 29}
