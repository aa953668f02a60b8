"""Reading what an OPC UA server has kept: pages, limits, statuses, nodes without history."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua

from resources.core.clock import SystemClock
from resources.core.errors import UnreachableError
from resources.core.readings import STATUS_NAMES
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
