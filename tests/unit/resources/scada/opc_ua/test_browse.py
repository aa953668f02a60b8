"""What a real OPC UA server offers: paths, types, units, elements, fields; limits, continuation points, circles."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.structures104 import new_struct, new_struct_field
from asyncua.ua.uaerrors import BadTooManyOperations

from resources.scada.connector import CanDiscover, FoundItem, HasHistory
from resources.scada.opc_ua.address_space.browse import Walk
from resources.scada.opc_ua.address_space.eu_units import common_code, ucum
from resources.scada.opc_ua.address_space.paths import parse_path, path_text
from resources.scada.opc_ua.client import OpcUaClient
from resources.scada.opc_ua.sessions.session import session_of
from resources.scada.opc_ua.wire.nodes import UnknownNodeError
from tests.opc_ua_server import NAMESPACE, PlainServer, catalog_of, node_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PlainServer]:
    """A boiler with a drum, an array, a structure, a unit, a circle, and a node that may not be read."""
    running = PlainServer()
    await running.start()
    index, objects = running.index, running.server.nodes.objects
    boiler = await objects.add_object(ua.NodeId("Boiler1", index), f"{index}:Boiler1")
    drum = await boiler.add_object(ua.NodeId("Drum", index), f"{index}:Drum")
    flow = await running.add("Boiler1.Flow", 1.0, boiler)
    await flow.write_attribute(
        ua.AttributeIds.Description, ua.DataValue(ua.Variant(ua.LocalizedText("live steam flow")))
    )
    unit = ua.EUInformation(
        NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact",
        UnitId=int.from_bytes(b"E18"),
        DisplayName=ua.LocalizedText("t/h"),
    )
    await flow.add_property(ua.NodeId("eu", index), "0:EngineeringUnits", unit)
    level = await running.add("Level", 1, drum)
    await level.set_writable()
    await running.add("Mode", "auto", drum)
    await running.add("Temperatures", [1.0, 2.0, 3.0], drum)
    status, _ = await new_struct(
        running.server,
        index,
        "PumpStatus",
        [new_struct_field("Speed", ua.VariantType.Double), new_struct_field("Running", ua.VariantType.Boolean)],
    )
    types = await running.server.load_data_type_definitions()
    await running.add("Pump", types["PumpStatus"](Speed=1480.0, Running=True), drum, datatype=status.nodeid)
    hidden = await running.add("Hidden", 1.0, drum)
    for attribute in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
        await hidden.unset_attr_bit(attribute, ua.AccessLevel.CurrentRead)
    await drum.add_reference(boiler, ua.ObjectIds.Organizes)
    yield running
    await running.stop()


def client(server: PlainServer, *tags: dict[str, Any]) -> OpcUaClient:
    config = server.config([{"sensor_id": f"s{n}", "unit": "1", **tag} for n, tag in enumerate(tags)])
    return OpcUaClient("plant", config, catalog_of(config))


async def discovered(server: PlainServer) -> dict[str, FoundItem]:
    found = await client(server, {"node_id": node_id("Level")}).discover()
    return {item.path: item for item in found}


async def test_discover_when_walked_then_each_value_has_its_path_type_and_unit(server: PlainServer):
    found = await discovered(server)
    assert set(found) == {
        "Boiler1/Boiler1.Flow",
        "Boiler1/Drum/Level",
        "Boiler1/Drum/Mode",
        "Boiler1/Drum/Temperatures[0]",
        "Boiler1/Drum/Temperatures[1]",
        "Boiler1/Drum/Temperatures[2]",
        "Boiler1/Drum/Pump.Speed",
        "Boiler1/Drum/Pump.Running",
    }
    flow = found["Boiler1/Boiler1.Flow"]
    assert flow == FoundItem(
        {"node_id": node_id("Boiler1.Flow")}, flow.path, "Double", "t/h", description="live steam flow"
    )
    assert (found["Boiler1/Drum/Level"].writable, found["Boiler1/Drum/Level"].data_type) == (True, "Int64")
    assert found["Boiler1/Drum/Mode"].is_text
    assert found["Boiler1/Drum/Temperatures[2]"].address == {"node_id": node_id("Temperatures"), "element": "2"}
    assert found["Boiler1/Drum/Pump.Running"].address == {"node_id": node_id("Pump"), "field": "Running"}
    assert found["Boiler1/Drum/Pump.Running"].data_type == "Boolean"


class PagingServices:
    """A fake between us and the real server, whose asyncua knows no BrowseNext: it gives references two by two."""

    def __init__(self, services: Any, *, most_points: int, most_nodes: int) -> None:
        self.services, self.most_points, self.most_nodes = services, most_points, most_nodes
        self.points: dict[bytes, list[Any]] = {}
        self.asked: list[int] = []

    async def browse(self, parameters: Any) -> Any:
        self.asked.append(len(parameters.NodesToBrowse))
        if len(parameters.NodesToBrowse) > self.most_nodes:
            raise BadTooManyOperations()
        results = await self.services.browse(parameters)
        for result in results:
            self._cut(result, result.References)
        return results

    async def browse_next(self, parameters: Any) -> Any:
        results = []
        for point in parameters.ContinuationPoints:
            result = ua.BrowseResult()
            self._cut(result, self.points.pop(point))
            results.append(result)
        return results

    def _cut(self, result: Any, references: list[Any]) -> None:
        result.References = references[:2]
        if len(references) > 2 and len(self.points) >= self.most_points:
            result.References, result.StatusCode = [], ua.StatusCode(ua.StatusCodes.BadNoContinuationPoints)
        elif len(references) > 2:
            result.ContinuationPoint = f"{len(self.asked)}/{len(self.points)}".encode()
            self.points[result.ContinuationPoint] = references[2:]


async def test_walk_when_the_server_limits_everything_then_the_same_is_found(server: PlainServer):
    async with session_of("plant", server.config([{"sensor_id": "s", "unit": "1", "node_id": "i=1"}])) as session:
        whole = [place.path async for place in Walk("plant", session.services).places()]
        paging = PagingServices(session.services, most_points=1, most_nodes=2)
        found = [place.path async for place in Walk("plant", paging, nodes_per_call=3).places()]
    assert sorted(found) == sorted(whole)
    assert "Boiler1/Boiler1.Flow/EngineeringUnits" in found
    assert max(paging.asked) == 3


async def test_discover_when_the_server_names_limits_then_the_same_is_found(server: PlainServer):
    whole = await discovered(server)
    limits = (
        ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerBrowse,
        ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
    )
    for limit in limits:
        await server.limit(limit, 2)
    found = await discovered(server)
    for limit in limits:
        await server.limit(limit, 0)
    assert found == whole


async def test_read_when_a_tag_names_its_node_by_path_then_it_is_found(server: PlainServer):
    reader = client(
        server,
        {"node_path": f"nsu={NAMESPACE};Boiler1/Drum/Level"},
        {"node_path": f"nsu={NAMESPACE};Boiler1/Drum/Nowhere"},
        {"node_path": "nsu=urn:nowhere;Boiler1"},
    )
    batch = await reader.read()
    assert batch.readings is not None
    assert batch.readings.column("value").to_pylist() == [1.0]
    assert batch.rejects is not None
    reasons = [row["reasons"][0] for row in batch.rejects.to_pylist()]
    assert any("BadNoMatch" in reason for reason in reasons)
    assert any("no namespace urn:nowhere" in reason for reason in reasons)


async def test_read_when_many_paths_are_asked_for_then_the_servers_limit_is_kept(server: PlainServer):
    identifier = ua.ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerTranslateBrowsePathsToNodeIds
    await server.limit(identifier, 2)
    reader = client(server, *[{"node_path": f"nsu={NAMESPACE};Boiler1/Drum/Level"}] * 5)
    batch = await reader.read()
    await server.limit(identifier, 0)
    assert batch.readings is not None
    assert batch.readings.num_rows == 5


async def test_client_when_asked_then_it_can_discover_and_read_history(server: PlainServer):
    found = client(server, {"node_id": node_id("Level")})
    assert isinstance(found, CanDiscover)
    assert isinstance(found, HasHistory)


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("nsu=urn:a;Boiler1/Drum", [(1, "Boiler1"), (1, "Drum")]),
        ("nsu=urn:a;Boiler1/{urn:b/c}Drum/A&/B&&C", [(1, "Boiler1"), (2, "Drum"), (1, "A/B&C")]),
        ("Server", [(0, "Server")]),
    ],
)
async def test_path_when_parsed_then_it_is_written_the_same(path: str, names: list[tuple[int, str]]):
    namespaces = ["http://opcfoundation.org/UA/", "urn:a", "urn:b/c"]
    found = parse_path(path, namespaces)
    assert [(name.NamespaceIndex, name.Name) for name in found] == names
    assert path_text(found, namespaces) == path


@pytest.mark.parametrize(
    ("path", "words"),
    [("nsu=urn:a;", "is not a path"), ("nsu=urn:a;A//B", "is not a path"), ("nsu=urn:x;A", "no namespace urn:x")],
)
async def test_path_when_it_is_none_then_the_reason_is_plain(path: str, words: str):
    with pytest.raises(UnknownNodeError, match=words):
        parse_path(path, ["", "urn:a"])


async def test_unit_when_told_by_code_or_by_name_then_it_is_ucum():
    assert common_code(0x43454C) == "CEL"
    assert ucum(0x43454C, "whatever") == "Cel"
    assert ucum(-1, "°C") == "Cel"
    assert ucum(-1, "kW") == "kW"
    assert ucum(-1, "furlongs per fortnight") is None
    assert ucum(-1, None) is None
    assert ucum(-1, "µx") is None
