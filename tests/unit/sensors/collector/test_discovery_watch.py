from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from resources.core.clock import ManualClock, SystemClock
from resources.core.errors import UnreachableError
from resources.integrations import Integrations
from resources.scada.connector import Emit, FoundItem, SourceFacts, StatusSink
from sensors.collector.assembly import Collector, Doors
from sensors.collector.state import SourceState
from sensors.collector.supervision import discovery_watch as module
from sensors.collector.supervision.discovery_watch import DiscoveryWatch, findings, watches
from tests.unit.sensors.collector.bench import until


class Explorable:
    """A connector that reads nothing and offers what it is told; raises what it is told."""

    name, kind = "meters", "mqtt"

    def __init__(self, *answers: Sequence[FoundItem] | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def run(self, emit: Emit, status: StatusSink) -> None:
        status.connected({})
        await asyncio.Event().wait()

    async def probe(self) -> SourceFacts:
        return SourceFacts(self.name, self.kind, "here", "none")

    async def discover(self) -> Sequence[FoundItem]:
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def offered(*topics: str) -> list[FoundItem]:
    return [FoundItem({"topic": topic}, topic, "number") for topic in topics]


def configured(folder: Path, *topics: str, **keys: Any) -> Integrations:
    source = {
        "kind": "mqtt",
        "broker": {"host": "broker", "tls": False, "insecure_plain_tcp": True},
        "client_id": "c",
        "topic_filters": ["#"],
        "discover": {"exclude": ["secret/**"]},
        "tags": [{"sensor_id": topic, "unit": "1", "topic": topic} for topic in topics],
        "tags_csv": str(folder / "meters.csv"),
    }
    return Integrations.model_validate(
        {
            "site": "plant",
            "start": "2026-11-01T00:00:00Z",
            "collector": {"port": 0},
            "sources": {"meters": source | keys},
        }
    )


@asynccontextmanager
async def watching(
    config: Integrations, client: Explorable, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[DiscoveryWatch, SourceState]]:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.001)
    state = SourceState("meters", "mqtt", clock.monotonic())
    watch = watches(config, [client], {"meters": state}, clock)["meters"]
    task = asyncio.create_task(watch.run())
    try:
        yield watch, state
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def turns(number: int = 20) -> None:
    for _ in range(number):
        await asyncio.sleep(0.001)


async def test_connection_when_it_has_lasted_a_while_then_one_look_and_one_line(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Explorable(offered("a", "b", "secret/c"))
    async with watching(configured(tmp_path, "a", "z"), client, clock, monkeypatch) as (watch, state):
        with capture_logs() as logs:
            state.went_up(clock.monotonic(), {})
            await turns()
            assert client.asked == 0
            clock.advance(module.SETTLED_S)
            await until(lambda: watch.offer.comparison is not None)
            clock.advance(1000)
            await turns()
    assert client.asked == 1
    (line,) = [line for line in logs if line["event"] == "source_offers_more"]
    assert (line["new"], line["missing"], line["first_new"], line["first_missing"]) == (1, 1, ["b"], ["z"])
    assert "gl tags discover meters --write" in line["remedy"]
    (found,) = findings({"meters": watch}, [])
    assert (found.name, found.level) == ("tags.meters", "warning")
    assert found.facts == {"offered": 3, "new": 1, "renamed": 0, "missing": 1}
    assert found.detail.startswith("1 new, 0 renamed, 1 missing of those configured; run `gl tags discover")


async def test_connection_when_it_comes_and_goes_then_a_device_is_not_asked_each_time(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Explorable(offered("a"), offered("a"))
    async with watching(configured(tmp_path, "a"), client, clock, monkeypatch) as (watch, state):
        for _ in range(5):
            state.went_up(clock.monotonic(), {})
            clock.advance(module.SETTLED_S)
            await until(lambda: watch.offer.looks >= 1)
            state.went_down(clock.monotonic())
        assert client.asked == 1
        state.went_up(clock.monotonic(), {})
        clock.advance(module.AGAIN_BESIDE_S)
        await until(lambda: watch.offer.looks == 2)
    (found,) = findings({"meters": watch}, [])
    assert (found.level, found.detail) == ("green", "0 new, 0 renamed, 0 missing of those configured")


class InSession(Explorable):
    """A connector that can look over the connection it has; nobody may ask for another."""

    async def discover(self) -> Sequence[FoundItem]:
        raise AssertionError("a session of its own")

    async def discover_in_session(self) -> Sequence[FoundItem]:
        return await super().discover()


async def test_look_when_the_connector_can_do_it_in_its_session_then_there_and_more_often(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = InSession(offered("a"), offered("a", "b"))
    async with watching(configured(tmp_path, "a"), client, clock, monkeypatch) as (watch, state):
        for turn in range(2):
            state.went_up(clock.monotonic(), {})
            clock.advance(module.AGAIN_S)
            await until(lambda n=turn: watch.offer.looks == n + 1)
            state.went_down(clock.monotonic())
        await until(lambda: watch.offer.comparison is not None and watch.offer.comparison.offered == 2)


async def test_look_when_it_fails_then_said_and_the_next_connection_has_another(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Explorable(UnreachableError("no route"), TimeoutError(), offered("a"))
    async with watching(configured(tmp_path, "a"), client, clock, monkeypatch) as (watch, state):
        with capture_logs() as logs:
            for turn in range(3):
                state.went_up(clock.monotonic(), {})
                clock.advance(module.AGAIN_BESIDE_S)
                await until(lambda n=turn: watch.offer.looks == n + 1)
                state.went_down(clock.monotonic())
            await until(lambda: watch.offer.comparison is not None)
    said = [line["error"] for line in logs if line["event"] == "discovery_failed"]
    assert said == ["no route", "it took longer than start_timeout"]
    assert watch.offer.failed == 2


async def test_tag_when_the_list_says_where_it_was_then_a_new_name_is_no_new_tag(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meters.csv").write_text("sensor_id,unit,topic,found_path\na,1,a,old/name\n")
    client = Explorable([FoundItem({"topic": "a"}, "new/name", "number")])
    async with watching(configured(tmp_path, "a"), client, clock, monkeypatch) as (watch, state):
        (before,) = findings({"meters": watch}, [])
        assert before.detail == "not looked at yet"
        state.went_up(clock.monotonic(), {})
        clock.advance(module.SETTLED_S)
        await until(lambda: watch.offer.comparison is not None)
    assert watch.offer.comparison is not None
    assert [one.before for one in watch.offer.comparison.renamed] == ["old/name"]
    assert not watch.offer.comparison.new


async def test_collector_when_a_source_has_no_tags_yet_then_it_is_not_connected_and_health_says_so(
    tmp_path: Path,
) -> None:
    client = Explorable()
    collector = Collector(
        configured(tmp_path), tmp_path / "gl", clock=SystemClock(), build=lambda config, catalog, clock: [client]
    )
    assert collector.states == {}
    stop = asyncio.Event()
    stop.set()
    await collector.run(stop, Doors(serve=False))
    (found,) = [f for look in collector.contributors() for f in look() if f.name == "tags.meters"]
    assert (found.level, found.detail) == (
        "warning",
        "not collected: it has no tags yet; run `gl tags discover meters --write`, then start the collector again",
    )
