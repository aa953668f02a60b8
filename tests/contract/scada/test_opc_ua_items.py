"""Monitored items of the OPC UA connector: server limits, deadbands, nodes that come and go, many of them."""

import asyncio
from typing import Any

import pytest

from resources.core.errors import ProtocolError
from tests.contract.scada.complete_opc_ua_rig import SECOND_US, START_US, put_and_see, ready, tag, values_of
from tests.contract.scada.complete_opc_ua_server import CompleteServer
from tests.contract.scada.recorder import Recorder, running, until


def seen(recorder: Recorder, name: str) -> bool:
    return any(row.sensor_id == name for row in recorder.rows())


@pytest.mark.parametrize("tells", [True, False], ids=["told", "found out"])
async def test_run_when_the_server_limits_requests_then_no_request_that_passes_exceeds_the_limit(
    complete_server: CompleteServer, tells: bool
) -> None:
    names = [f"n{number}" for number in range(25)]
    await complete_server.add(*names)
    await complete_server.limit(nodes_per_read=4, items_per_call=7, tells=tells)
    client, recorder = ready(complete_server.port, *names)
    async with running(client, recorder) as task:
        await until(lambda: all(seen(recorder, name) for name in names), "every first value", task)
    assert max(complete_server.seen.created) <= 7
    assert sum(complete_server.seen.created) == 25
    assert complete_server.seen.created[0] == (7 if tells else 6)  # 25, 12 and 6: halved until it fits
    batch = await client.read()
    assert batch.readings is not None
    assert batch.readings.num_rows == 25
    assert max(complete_server.seen.read) <= 4


@pytest.mark.parametrize(
    ("limits", "settings"),
    [
        ({"items_per_subscription": 10}, {}),
        ({"items_per_subscription": 10, "tells": False}, {}),
        ({}, {"max_items_per_subscription": 10}),
    ],
    ids=["told", "found out", "configured"],
)
async def test_run_when_a_subscription_takes_so_many_items_then_further_ones_are_made(
    complete_server: CompleteServer, limits: dict[str, Any], settings: dict[str, Any]
) -> None:
    names = [f"n{number}" for number in range(25)] + ["a"]
    await complete_server.add(*names)
    await complete_server.limit(**limits)
    client, recorder = ready(complete_server.port, *names, **settings)
    async with running(client, recorder) as task:
        assert sorted(complete_server.items) == [6, 10, 10]
        assert recorder.facts[0]["subscriptions"] == "3"
        await until(lambda: all(seen(recorder, name) for name in names), "every first value", task)
        await put_and_see(complete_server, recorder, 1, task)
    assert recorder.failed == []


async def test_run_when_the_server_grants_no_further_subscription_then_what_fits_is_read(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a", "b", "c")
    await complete_server.limit(items_per_subscription=2, subscriptions=1)
    client, recorder = ready(complete_server.port, "a", "b", "c")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
    ((failed, reason),) = recorder.failed
    assert failed == "c"
    assert reason.startswith("BadTooManySubscriptions")


@pytest.mark.parametrize("silently", [False, True], ids=["the server says so", "the server is silent"])
async def test_run_when_a_node_vanishes_then_it_is_reported_and_monitored_again_when_it_is_back(
    complete_server: CompleteServer, silently: bool
) -> None:
    await complete_server.add("a", "b")
    # a server that says so is looked at at once, one that does not every now and then
    client, recorder = ready(complete_server.port, "a", "b", retry_bad_items_after="300ms" if silently else "1s")
    async with running(client, recorder) as task:
        await put_and_see(complete_server, recorder, 1, task)
        await complete_server.remove("b", silently=silently)
        await until(lambda: bool(recorder.failed), "the report", task)
        await put_and_see(complete_server, recorder, 2, task)
        assert complete_server.items == [1]
        await complete_server.add("b", value=7.0)
        await until(lambda: recorder.recovered == ["b"], "the recovery", task)
        await complete_server.put("b", 8.0, START_US)
        await until(lambda: recorder.has("b", START_US, 8.0), "its value", task)
    assert [name for name, _ in recorder.failed] == ["b"]
    assert recorder.failed[0][1].startswith("BadNodeIdUnknown")
    assert [row["sensor_id"] for row in recorder.rejects()] == ["b"]


async def test_run_when_tags_have_deadbands_then_the_server_holds_small_changes_back(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a", "absolute")
    await complete_server.add("percent", analog=True)
    tags = [tag("a"), tag("absolute", server_deadband=1.5), tag("percent", server_deadband_percent=2)]
    client, recorder = ready(complete_server.port, tags=tags)
    async with running(client, recorder) as task:
        for number, value in enumerate((10.0, 11.0, 12.0, 22.0)):
            at = START_US + number * SECOND_US
            for name in ("absolute", "percent", "a"):
                await complete_server.put(name, value, at)
            await until(lambda at=at, value=value: recorder.has("a", at, value), "the tag without a deadband", task)
    assert values_of(recorder, "a") == [10.0, 11.0, 12.0, 22.0]
    assert values_of(recorder, "absolute") == [10.0, 22.0]
    assert values_of(recorder, "percent") == [10.0, 22.0]


async def test_run_when_the_server_refuses_a_deadband_then_every_change_comes(complete_server: CompleteServer) -> None:
    await complete_server.add("plain")
    client, recorder = ready(complete_server.port, tags=[tag("plain", server_deadband_percent=50)])
    async with running(client, recorder) as task:
        await complete_server.put("plain", 1.0, START_US)
        await until(lambda: recorder.has("plain", START_US, 1.0), "a small change", task)
    assert recorder.failed == []


async def test_run_when_tags_have_settings_of_their_own_then_the_server_is_asked_for_them(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a", "b")
    tags = [tag("a"), tag("b", sampling_interval="50ms", queue_size=7)]
    client, recorder = ready(complete_server.port, tags=tags, discard="newest", queue_size=9)
    async with running(client, recorder):
        first, second = complete_server.seen.parameters
    assert (first.SamplingInterval, first.QueueSize, first.DiscardOldest) == (10.0, 9, False)
    assert (second.SamplingInterval, second.QueueSize) == (50.0, 7)


async def test_run_when_keep_alive_and_lifetime_are_set_then_the_server_is_asked_for_their_counts(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a")
    times = {"publishing_interval": "50ms", "keep_alive_interval": "1s", "subscription_lifetime": "10s"}
    client, recorder = ready(complete_server.port, "a", **times)
    async with running(client, recorder):
        (granted,) = complete_server.granted()
    assert (granted.RevisedPublishingInterval, granted.RevisedMaxKeepAliveCount) == (50.0, 20)
    assert granted.RevisedLifetimeCount == 200


@pytest.mark.parametrize(("discard", "kept"), [("oldest", [4.0, 5.0]), ("newest", [1.0, 5.0])])
async def test_run_when_a_queue_is_full_then_the_chosen_values_are_dropped_and_counted(
    complete_server: CompleteServer, discard: str, kept: list[float]
) -> None:
    await complete_server.add("a")
    client, recorder = ready(complete_server.port, "a", queue_size=2, publishing_interval="1s", discard=discard)
    async with running(client, recorder) as task:
        await until(lambda: seen(recorder, "a"), "the first value", task)

        async def burst() -> None:
            for number in range(1, 6):
                await _show(complete_server, "a", float(number))

        await complete_server.do(burst())
        await until(lambda: 5.0 in values_of(recorder, "a"), "the last value", task)
    assert values_of(recorder, "a") == kept
    assert recorder.counts["overflows"] == 1


async def _show(server: CompleteServer, name: str, value: float) -> None:
    from asyncua import ua

    data = ua.DataValue(ua.Variant(value, ua.VariantType.Double))
    await server.server.iserver.write_attribute_value(server.node(name), data)


@pytest.mark.parametrize("count", [1_000, 10_000])
async def test_run_when_there_are_many_items_then_all_first_values_and_a_change_of_each_arrive(
    complete_server: CompleteServer, count: int
) -> None:
    names = [f"n{number}" for number in range(count)]
    await complete_server.add(*names)
    client, recorder = ready(
        complete_server.port, *names, publishing_interval="500ms", connect_timeout="60s", max_items_per_call=1000
    )
    task = asyncio.create_task(client.run(recorder.emit, recorder))
    try:
        await until(lambda: bool(recorder.facts), "the connection", task, 120)
        await until(lambda: _rows(recorder, True) == count, "every first value", task, 120)

        async def change() -> None:
            for number, name in enumerate(names):
                await _show(complete_server, name, float(number + 1))

        await complete_server.do(change())
        await until(lambda: _rows(recorder, False) == count, "every change", task, 120)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert recorder.counts["sent"] == count
    assert recorder.facts[0]["items"] == str(count)
    assert recorder.failed == []


def _rows(recorder: Recorder, first: bool) -> int:
    return sum(batch.rows for batch in recorder.batches if batch.only_if_newer is first)


async def test_read_when_a_node_of_several_is_not_there_then_the_others_are_read(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a")
    elsewhere = {"sensor_id": "b", "unit": "Cel", "node_id": "nsu=urn:nowhere;s=b"}
    client, recorder = ready(complete_server.port, tags=[tag("a"), elsewhere])
    recorder.batches.append(await client.read())
    assert [row.sensor_id for row in recorder.rows()] == ["a"]
    (reject,) = recorder.rejects()
    assert "no namespace urn:nowhere" in reject["reasons"][0]
    with pytest.raises(ProtocolError, match="no namespace urn:nowhere"):
        await client.read(["b"])
