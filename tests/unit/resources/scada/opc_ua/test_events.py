"""Events, alarms and conditions of a real OPC UA server: fields, severity, refresh, sensors, renewal after a cut."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.ua.uaerrors import BadEventFilterInvalid

from resources.core.clock import SystemClock
from resources.core.events import SourceEvent
from resources.scada.opc_ua.client import OpcUaClient
from resources.scada.opc_ua.data_config import EventsConfig
from resources.scada.opc_ua.events import EventTap
from resources.scada.opc_ua.wire.event_fields import EventMaker
from tests.contract.scada.recorder import Recorder, running, until
from tests.opc_ua_server import PlainServer, catalog_of, node_id

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
pytestmark = pytest.mark.asyncio(loop_scope="module")


class Conditions:
    """A server's alarm, as asyncua emits it, and its ConditionRefresh, which asyncua leaves to the application."""

    def __init__(self, server: PlainServer) -> None:
        self.server = server
        self.refreshes = 0

    async def start(self) -> None:
        self.plain = await self.server.server.get_event_generator()
        self.alarm = await self.server.server.get_event_generator(ua.NodeId(ua.ObjectIds.AlarmConditionType))
        method = self.server.server.get_node(ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh))
        self.server.server.link_method(method, self._refresh)

    async def raise_alarm(self, *, active: bool, acked: bool, at: datetime, severity: int = 700) -> None:
        event = self.alarm.event
        event.NodeId = ua.NodeId("Boiler1.Overpressure", self.server.index)
        event.ConditionName, event.Severity, event.Retain = "Overpressure", severity, active or not acked
        event.SourceNode, event.SourceName = ua.NodeId("pressure", self.server.index), "Boiler1"
        for name, value in (("ActiveState/Id", active), ("AckedState/Id", acked)):
            event.add_property(name, value, ua.VariantType.Boolean)
        await self.alarm.trigger(at, "pressure above 60 bar")

    async def _refresh(self, parent: Any, subscription: Any) -> list[Any]:
        del parent, subscription
        self.refreshes += 1
        # told again with the time of before, under a new id: asyncua gives one with each event
        if self.refreshes > 1:
            event = self.alarm.event
            await self.alarm.trigger(event.Time, "pressure above 60 bar")
        return []


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def conditions() -> AsyncIterator[Conditions]:
    server = PlainServer()
    await server.start()
    await server.add("pressure")
    found = Conditions(server)
    await found.start()
    yield found
    await server.stop()


@asynccontextmanager
async def listening(server: PlainServer, **events: Any) -> AsyncIterator[tuple[list[SourceEvent], Recorder]]:
    """Run a connector that reads the pressure and tells events, and yield what it hands on."""
    tags = [{"sensor_id": "B1.PRESSURE", "unit": "bar", "node_id": node_id("pressure")}]
    config = server.config(tags, events=events)
    taken: list[SourceEvent] = []

    async def take(told: Sequence[SourceEvent]) -> None:
        taken.extend(told)

    client, recorder = OpcUaClient("plant", config, catalog_of(config)), Recorder(catalog_of(config))
    assert client.tell_events(take)
    async with running(client, recorder):
        yield taken, recorder


async def test_event_when_an_alarm_is_raised_then_its_state_and_its_sensor_are_told(conditions: Conditions):
    async with listening(conditions.server) as (taken, _):
        await conditions.raise_alarm(active=True, acked=False, at=AT)
        await until(lambda: bool(taken), "the alarm")

    (event,) = taken
    assert (event.source, event.event_type, event.message) == ("plant", "AlarmConditionType", "pressure above 60 bar")
    assert (event.severity, event.severity_word) == (700, "error")
    assert event.time_us == int(AT.timestamp()) * 1_000_000
    assert (event.source_node, event.source_name) == (node_id("pressure"), "Boiler1")
    assert event.sensor_id == "B1.PRESSURE"
    assert (event.condition_id, event.condition_name) == (node_id("Boiler1.Overpressure"), "Overpressure")
    assert (event.active, event.acked, event.retain, event.branch_id) == (True, False, True, None)
    assert event.event_id is not None
    assert SourceEvent.from_json(event.to_json()) == event


async def test_event_when_it_is_no_condition_then_it_has_no_state(conditions: Conditions):
    async with listening(conditions.server) as (taken, recorder):
        await conditions.plain.trigger(AT, "batch 7 begins")
        await until(lambda: any(event.message == "batch 7 begins" for event in taken), "the event")
        event = next(event for event in taken if event.message == "batch 7 begins")
        assert (event.event_type, event.condition_id, event.active, event.state_hash) == (
            "BaseEventType",
            None,
            None,
            None,
        )
        # the notification is acknowledged and values go on
        await conditions.server.added[0].write_value(7.0)
        await until(lambda: any(row.value == 7.0 for row in recorder.rows()), "the value")


async def test_event_when_its_severity_is_below_the_minimum_then_it_is_not_told(conditions: Conditions):
    async with listening(conditions.server, minimum_severity=500, refresh=False) as (taken, _):
        await conditions.raise_alarm(active=True, acked=False, at=AT, severity=100)
        await conditions.raise_alarm(active=True, acked=True, at=AT, severity=800)
        await until(lambda: bool(taken), "the alarm")
    assert [event.severity for event in taken] == [800]


async def test_event_when_connected_again_then_conditions_are_told_in_the_same_state(conditions: Conditions):
    before = conditions.refreshes
    await conditions.raise_alarm(active=True, acked=True, at=AT, severity=900)
    async with listening(conditions.server) as (first, _):
        await until(lambda: bool(first), "the condition")
    async with listening(conditions.server) as (second, _):
        await until(lambda: bool(second), "the condition")
    assert conditions.refreshes == before + 2
    assert first[0].event_id != second[0].event_id
    assert first[0].state_hash == second[0].state_hash is not None
    assert first[0].time_us == second[0].time_us


async def test_event_when_a_notifier_is_unknown_then_it_is_named_and_values_come(conditions: Conditions):
    async with listening(conditions.server, notifiers=["nsu=urn:nowhere;s=x", "i=2253"]) as (taken, recorder):
        await conditions.plain.trigger(AT, "still heard")
        await until(lambda: any(event.message == "still heard" for event in taken), "the event")
    assert recorder.failed == [("events of nsu=urn:nowhere;s=x", recorder.failed[0][1])]
    assert "no namespace urn:nowhere" in recorder.failed[0][1]


async def test_event_when_none_are_configured_then_none_are_asked_for(conditions: Conditions):
    config = conditions.server.config([{"sensor_id": "a", "unit": "bar", "node_id": node_id("pressure")}])
    client = OpcUaClient("plant", config, catalog_of(config))
    assert not client.tell_events(lambda _: asyncio.sleep(0))


NAMESPACES = ("http://opcfoundation.org/UA/", "urn:a")
NOW = datetime(2026, 11, 22, 10, 5, tzinfo=UTC)


def made(**told: Any) -> SourceEvent:
    return EventMaker("plant", NAMESPACES, lambda _: None, {}).event(told, NOW)


async def test_event_when_the_server_tells_next_to_nothing_then_it_is_kept_all_the_same():
    bare = made()
    assert (bare.time_us, bare.severity, bare.message, bare.event_type) == (bare.received_us, 1, "", "BaseEventType")
    assert (bare.event_id, bare.source_node, bare.severity_word, bare.details) == (None, None, "info", {})


async def test_event_when_fields_are_of_all_kinds_then_they_are_plain_data():
    told = made(
        event_id=b"\x00\xff",
        event_type=ua.NodeId(77, 1),
        time=AT.replace(tzinfo=None),
        message="plain text",
        severity=400,
        branch_id=ua.NodeId(),
        condition_id=ua.NodeId("c", 7),
        input_node=ua.NodeId("in", 1),
        comment=ua.LocalizedText("looked at"),
        enabled=True,
    )
    assert (told.event_id, told.event_type, told.message, told.severity_word) == (
        "AP8=",
        "nsu=urn:a;i=77",
        "plain text",
        "warning",
    )
    assert (told.branch_id, told.condition_id) == (None, "ns=7;s=c")
    assert told.details == {"enabled": True, "comment": "looked at", "input_node": "nsu=urn:a;s=in"}
    assert made(event_id=b"id\n").event_id == "aWQK"


class Broken:
    """A fake session whose server answers nothing any more."""

    namespaces = NAMESPACES

    def __init__(self, error: BaseException) -> None:
        self.services, self.error = self, error

    async def read_attributes(self, *_: Any) -> Any:
        raise self.error

    async def call(self, *_: Any) -> Any:
        raise self.error

    async def create_monitored_items(self, *_: Any) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [ConnectionError("cut"), asyncio.CancelledError()], ids=["cut", "cancelled"])
async def test_event_when_the_connection_breaks_meanwhile_then_it_is_kept_without_its_name(error: BaseException):
    taken: list[SourceEvent] = []

    async def take(events: Sequence[SourceEvent]) -> None:
        taken.extend(events)

    tap = EventTap("plant", EventsConfig(), take, SystemClock())
    fields = [ua.Variant(b"id"), ua.Variant(ua.NodeId(2041)), *[ua.Variant(None)] * 17]
    required = [ua.Variant(b"r"), ua.Variant(ua.NodeId(2789)), *[ua.Variant(None)] * 17]
    monitoring = SimpleNamespace(session=Broken(error), subscriptions={1: SimpleNamespace(id=1, events={1: 1})})
    delivery = tap.deliver(monitoring, [SimpleNamespace(EventFields=fields), SimpleNamespace(EventFields=required)])
    if isinstance(error, asyncio.CancelledError):
        with pytest.raises(asyncio.CancelledError):
            await delivery
    else:
        await delivery
    assert [(event.event_id, event.event_type) for event in taken] == [("id", "i=2041")]


async def test_event_when_the_filter_is_refused_then_all_are_asked_for():
    tap = EventTap("plant", EventsConfig(minimum_severity=500), lambda _: asyncio.sleep(0), SystemClock())
    subscription = SimpleNamespace(id=1, events={})
    refused = await tap._monitor(Broken(BadEventFilterInvalid()), subscription, "i=2253", 1)
    assert refused is not None
    assert "BadEventFilterInvalid" in refused
