"""Reading what an OPC UA server has kept: pages, limits, statuses, nodes without history."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import BadResponseTooLarge

from resources.core.clock import SystemClock
from resources.core.errors import ProtocolError, UnreachableError
from resources.core.readings import STATUS_NAMES
from resources.embedded.ports import free_port
from resources.scada.opc_ua.history import HistoryReader, Span
from resources.scada.opc_ua.resource import OpcUaResource
from resources.scada.opc_ua.stored_values import StoredValues
from tests.opc_ua_server import PlainServer, catalog_of, node_id

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[PlainServer]:
    running = PlainServer(page=7)
    await running.start()
    yield running
    await running.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def server(running: PlainServer) -> AsyncIterator[PlainServer]:
    """The one server, emptied: to start one takes a second."""
    yield running
    await running.clear()


async def _filled(server: PlainServer, name: str, values: int) -> None:
    node = await server.add(name)
    await server.historize(node)
    for number in range(values):
        await server.keep(node, START + number * SECOND, float(number))


def _tag(name: str, **more: Any) -> dict[str, Any]:
    return {"sensor_id": name, "unit": "kW", "node_id": node_id(name), **more}


async def _read(server: PlainServer, tags: list[dict[str, Any]], **changes: Any) -> tuple[dict[str, Any], StoredValues]:
    """Return sensor -> [(seconds since START, value, status)], and the reader."""
    config = server.config(tags, **changes)
    catalog = catalog_of(config)
    stored = StoredValues("plant", config, catalog, SystemClock())
    found: dict[str, Any] = {}
    async for batch in stored.read([tag["sensor_id"] for tag in tags], START, START + 60 * SECOND):
        assert not batch.only_if_newer
        for row in batch.readings.to_pylist() if batch.readings is not None else ():
            place = found.setdefault(catalog.sensors[row["sensor_key"]].sensor_id, [])
            place.append(((row["time"] - START) / SECOND, row["value"], STATUS_NAMES[row["status"]]))
    return found, stored


async def test_read_when_history_is_longer_than_a_page_then_continuation_points_are_followed(server: PlainServer):
    await _filled(server, "a", 20)
    await _filled(server, "b", 3)

    found, _ = await _read(server, [_tag("a", scale=2, offset=1), _tag("b")])

    assert found["a"] == [(n, 2.0 * n + 1, "good") for n in range(20)]
    assert found["b"] == [(n, float(n), "good") for n in range(3)]
    assert server.history_calls == [2, 1, 1]


async def test_read_when_the_server_cuts_a_full_page_in_silence_then_nothing_is_missing(server: PlainServer):
    await _filled(server, "a", 12)

    found, _ = await _read(server, [_tag("a")], history_values_per_node=5)

    # where a page was cut without a word, the read goes on from its last value
    assert sorted(set(found["a"])) == [(n, float(n), "good") for n in range(12)]


async def test_read_when_values_share_an_instant_then_it_still_ends(server: PlainServer):
    node = await server.add("a")
    await server.historize(node)
    for number in (0, 0, 0, 1):
        await server.keep(node, START + number * SECOND, float(number))

    found, _ = await _read(server, [_tag("a")], history_values_per_node=1)

    assert sorted(set(found["a"])) == [(0, 0.0, "good"), (1, 1.0, "good")]


async def test_read_when_the_server_names_a_limit_then_no_request_exceeds_it(server: PlainServer):
    await server.limit(ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerHistoryReadData, 2)
    for name in "abcde":
        await _filled(server, name, 2)

    found, _ = await _read(server, [_tag(name) for name in "abcde"])

    assert sorted(found) == list("abcde")
    assert server.history_calls == [2, 2, 1]


async def test_read_when_the_server_refuses_so_many_nodes_then_fewer_are_asked_for(server: PlainServer):
    server.most_history_nodes = 1
    for name in "abc":
        await _filled(server, name, 2)

    found, _ = await _read(server, [_tag(name) for name in "abc"])

    assert sorted(found) == list("abc")
    assert server.history_calls == [3, 1, 1, 1]


async def test_read_when_a_node_has_no_history_then_it_is_named_and_the_others_are_read(server: PlainServer):
    await _filled(server, "a", 2)
    await server.add("plain")

    found, stored = await _read(server, [_tag("a"), _tag("plain"), _tag("missing")])

    assert sorted(found) == ["a"]
    assert "AccessLevel without HistoryRead" in stored.without["plain"]
    assert set(stored.without) == {"plain", "missing"}


async def test_read_when_values_are_bad_or_uncertain_then_their_status_is_kept(server: PlainServer):
    node = await server.add("a")
    await server.historize(node)
    await server.keep(node, START, 1.0, ua.StatusCodes.UncertainSensorNotAccurate)
    await server.keep(node, START + SECOND, ua.Variant(None, ua.VariantType.Null), ua.StatusCodes.BadSensorFailure)
    await server.keep(node, START + 60 * SECOND, 9.0)  # the end itself is not wanted

    found, _ = await _read(server, [_tag("a")])

    assert found["a"] == [(0, 1.0, "uncertain"), (1, None, "bad")]


async def test_read_when_the_server_is_away_then_unreachable():
    away = PlainServer()
    with pytest.raises(UnreachableError, match="refused"):
        await _read(away, [_tag("a")])


async def test_resource_when_one_endpoint_is_away_then_history_comes_from_the_other(server: PlainServer):
    await _filled(server, "a", 3)
    await server.add("plain")
    config = server.config([_tag("a"), _tag("plain")], endpoint_url=f"opc.tcp://127.0.0.1:{free_port()}/gl")
    both = config.model_copy(update={"other_endpoints": (server.url,)})
    history = await asyncio.to_thread(OpcUaResource.of("plant", both).read_history, START, START + 2 * SECOND)
    assert (history.rows, set(history.without)) == (2, {"plain"})
    assert [sensor.sensor_id for sensor in history.sensors] == ["a", "plain"]
    with pytest.raises(UnreachableError, match="refused"):
        await asyncio.to_thread(OpcUaResource.of("plant", config).read_history, START, START + SECOND)


class StubbornServer:
    """A fake for what asyncua's server never does: it answers HistoryRead as it is told to, one answer a request."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[list[tuple[Any, bytes | None]]] = []

    async def _send_request(self, request: Any) -> bytes:
        nodes = request.Parameters.NodesToRead
        self.asked.append([(node.NodeId.Identifier, node.ContinuationPoint) for node in nodes])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        response = ua.HistoryReadResponse()
        response.Results = answer
        return bytes(struct_to_binary(response)) if not isinstance(answer, bytes) else answer


def page(*seconds: int, status: int = 0, point: bytes | None = None) -> Any:
    found = ua.HistoryReadResult()
    found.StatusCode = ua.StatusCode(status)
    found.ContinuationPoint = point
    found.HistoryData = ua.HistoryData()
    found.HistoryData.DataValues = [
        ua.DataValue(ua.Variant(float(n)), SourceTimestamp=START + n * SECOND) for n in seconds
    ]
    return found


async def _pages(server: StubbornServer, *names: str, values: int = 1000) -> tuple[list[float], HistoryReader]:
    reader = HistoryReader("plant", server)
    nodes = {number: ua.NodeId(name, 2) for number, name in enumerate(names)}
    found = [
        value
        async for columns in reader.pages(nodes, Span(START, START + 60 * SECOND, values))
        for value in columns.values
    ]
    return found, reader


async def test_pages_when_the_server_lacks_continuation_points_then_fewer_nodes_are_asked_at_a_time():
    lacking = page(status=ua.StatusCodes.BadNoContinuationPoints)
    server = StubbornServer([page(0, 1, point=b"p"), lacking], [page(2)], [page(7)])
    found, reader = await _pages(server, "a", "b")
    assert (found, reader.refused) == ([0.0, 1.0, 2.0, 7.0], {})
    assert server.asked == [[("a", None), ("b", None)], [("a", b"p")], [("b", None)]]


async def test_pages_when_a_continuation_point_is_dropped_then_it_goes_on_from_the_last_value():
    gone = page(status=ua.StatusCodes.BadContinuationPointInvalid)
    server = StubbornServer([page(0, 1, point=b"p")], [gone], [page(1, 2)])
    found, _ = await _pages(server, "a")
    assert found == [0.0, 1.0, 1.0, 2.0]
    assert server.asked[2] == [("a", None)]


async def test_pages_when_continuation_points_are_never_there_then_the_node_is_given_up():
    lacking = [page(status=ua.StatusCodes.BadNoContinuationPoints)]
    server = StubbornServer(*[lacking] * 9)
    found, reader = await _pages(server, "a")
    assert (found, list(reader.refused)) == ([], [0])
    assert "BadNoContinuationPoints" in reader.refused[0]


async def test_pages_when_even_one_node_is_too_much_then_fewer_values_are_asked_for():
    server = StubbornServer(BadResponseTooLarge(), [page(0)], [page(0)], [page()])
    found, _ = await _pages(server, "a", values=2)
    assert found == [0.0, 0.0]
    with pytest.raises(BadResponseTooLarge):
        await _pages(StubbornServer(BadResponseTooLarge(), BadResponseTooLarge()), "a", values=2)


@pytest.mark.parametrize("answer", [b"rubbish", []], ids=["no message", "another number of results"])
async def test_pages_when_the_answer_is_none_then_protocol_error(answer: Any):
    with pytest.raises(ProtocolError, match="not a HistoryReadResponse"):
        await _pages(StubbornServer(answer), "a")


async def test_pages_when_a_result_has_no_body_or_is_of_another_kind_then_it_holds_nothing():
    bare, events = ua.HistoryReadResult(), ua.HistoryReadResult()
    events.HistoryData = ua.HistoryEvent()
    found, reader = await _pages(StubbornServer([bare, events]), "a", "b")
    assert (found, reader.refused) == ([], {})
