"""Elements of arrays, fields of structures, enumerations, booleans and texts of a real OPC UA server as tags."""

import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field

from resources.core.readings import STATUS_NAMES
from resources.scada.opc_ua.address_space.data_types import DataType, DataTypes, FieldType
from resources.scada.opc_ua.address_space.structures import UndecodableError, decode_structure
from resources.scada.opc_ua.client import OpcUaClient
from tests.contract.scada.recorder import Recorder, running, until
from tests.opc_ua_server import PlainServer, catalog_of, node_id

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


class Pump:
    """The pump's structure as raw bytes: what a server sends whose types this process has not loaded."""

    def __init__(self, encoding: Any) -> None:
        self.encoding = encoding

    def value(self, speed: float, running: bool, temperatures: list[float], mode: int) -> ua.ExtensionObject:
        body = struct.pack("<d?i", speed, running, len(temperatures))
        body += struct.pack(f"<{len(temperatures)}d", *temperatures) + struct.pack("<i", mode)
        return ua.ExtensionObject(TypeId=self.encoding, Body=body)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[PlainServer]:
    running_server = PlainServer()
    await running_server.start()
    index = running_server.index
    mode = await new_enum(running_server.server, index, "Mode", ["Off", "Manual", "Auto"])
    fields = [
        new_struct_field("Speed", ua.VariantType.Double),
        new_struct_field("Running", ua.VariantType.Boolean),
        new_struct_field("Temperatures", ua.VariantType.Double, array=True),
        new_struct_field("Mode", mode),
    ]
    kind, (encoding,) = await new_struct(running_server.server, index, "Pump", fields)
    running_server.pump = Pump(encoding.nodeid)  # type: ignore[attr-defined]
    first = ua.Variant(running_server.pump.value(1480.0, True, [60.0, 61.5], 2))  # type: ignore[attr-defined]
    await running_server.add("Pump", first, datatype=kind.nodeid)
    await running_server.add("Array", [1.0, 2.0, 3.0])
    await running_server.add("Mode", ua.Variant(1, ua.VariantType.Int32), datatype=mode.nodeid)
    await running_server.add("Flag", True)
    await running_server.add("Text", ua.LocalizedText("läuft"))
    await running_server.add("State", "CLOSED")
    yield running_server
    await running_server.stop()


def tag(sensor_id: str, node: str, **more: Any) -> dict[str, Any]:
    return {"sensor_id": sensor_id, "unit": "1", "node_id": node_id(node), **more}


PARTS = [
    tag("a0", "Array", element=0),
    tag("a2", "Array", element=2, scale=10),
    tag("a9", "Array", element=9),
    tag("speed", "Pump", field="Speed"),
    tag("running", "Pump", field="Running"),
    tag("t1", "Pump", field="Temperatures[1]"),
    tag("pump_mode", "Pump", field="Mode"),
    tag("nothing", "Pump", field="Nothing"),
    tag("mode", "Mode"),
    tag("flag", "Flag"),
]


def client(server: PlainServer, tags: list[dict[str, Any]]) -> tuple[OpcUaClient, Recorder]:
    config = server.config(tags)
    return OpcUaClient("plant", config, catalog_of(config)), Recorder(catalog_of(config))


async def test_read_when_tags_are_parts_then_each_has_its_value(server: PlainServer):
    reader, recorder = client(server, PARTS)
    batch = await reader.read()
    recorder.batches.append(batch)
    assert {row.sensor_id: row.value for row in recorder.rows()} == {
        "a0": 1.0,
        "a2": 30.0,
        "speed": 1480.0,
        "running": 1.0,
        "t1": 61.5,
        "pump_mode": 2.0,
        "mode": 1.0,
        "flag": 1.0,
    }
    reasons = {row["sensor_id"]: row["reasons"][0] for row in recorder.rejects()}
    assert reasons["a9"] == "no part [9]: the array has 3 elements"
    assert "no part Nothing: the structure has no field Nothing" in reasons["nothing"]


async def test_run_when_tags_share_a_node_then_one_item_brings_them_all(server: PlainServer):
    reader, recorder = client(server, PARTS)
    pump = server.pump  # type: ignore[attr-defined]
    async with running(reader, recorder):
        await until(lambda: len(recorder.rows()) >= 8, "the first values")
        assert recorder.facts[0]["items"] == "4"  # array, pump, mode, flag
        for node, value in (
            (server.added[1], [7.0, 8.0, 9.0]),
            (server.added[0], pump.value(0.0, False, [1.0, 2.0], 0)),
        ):
            await node.write_value(ua.DataValue(ua.Variant(value), SourceTimestamp=AT))
        await until(
            lambda: len({row.sensor_id for row in recorder.rows() if row.time_us == _us(AT)}) == 6, "the values"
        )
    now = {row.sensor_id: row.value for row in recorder.rows() if row.time_us == _us(AT)}
    assert now == {"a0": 7.0, "a2": 90.0, "speed": 0.0, "running": 0.0, "t1": 2.0, "pump_mode": 0.0}
    await server.added[1].write_value([1.0, 2.0, 3.0])
    await server.added[0].write_value(pump.value(1480.0, True, [60.0, 61.5], 2))


async def test_run_when_the_value_is_bad_then_all_its_parts_are(server: PlainServer):
    reader, recorder = client(server, PARTS[:2])
    async with running(reader, recorder):
        await until(lambda: len(recorder.rows()) >= 2, "the first values")
        bad = ua.DataValue(ua.Variant(None), ua.StatusCode(ua.StatusCodes.BadSensorFailure), SourceTimestamp=AT)
        await server.added[1].write_value(bad)
        await until(lambda: sum(row.time_us == _us(AT) for row in recorder.rows()) == 2, "the bad ones")
    assert {(row.sensor_id, row.value, row.status) for row in recorder.rows() if row.time_us == _us(AT)} == {
        ("a0", None, "bad"),
        ("a2", None, "bad"),
    }
    await server.added[1].write_value([1.0, 2.0, 3.0])


async def test_run_when_a_shared_node_is_unknown_then_each_tag_is_named(server: PlainServer):
    reader, recorder = client(server, [tag("x0", "None", element=0), tag("x1", "None", element=1), tag("flag", "Flag")])
    async with running(reader, recorder):
        await until(lambda: len(recorder.rows()) == 1, "the good one")
    assert {sensor for sensor, _ in recorder.failed} == {"x0", "x1"}


async def test_read_when_a_tag_is_a_text_then_it_is_kept_as_one_and_states_are_numbers(server: PlainServer):
    text = {"sensor_id": "text", "data": "text", "node_id": node_id("Text")}
    count = {"sensor_id": "count", "data": "text", "node_id": node_id("Mode")}
    reader, _ = client(server, [text, count, tag("state", "State", states={"CLOSED": 0, "OPEN": 1})])
    batch = await reader.read()
    assert batch.texts is not None
    assert batch.texts.column("value").to_pylist() == ["läuft", "1"]
    assert [STATUS_NAMES[code] for code in batch.texts.column("status").to_pylist()] == ["good", "good"]
    assert batch.readings is not None
    assert batch.readings.column("value").to_pylist() == [0.0]
    assert batch.rejects is None


def types(layout: Any, *fields: FieldType) -> tuple[DataTypes, Any]:
    """Types of a server with one structure, `S`, of doubles."""
    known = DataTypes(None)
    double, encoding = ua.NodeId(11), ua.NodeId(5001, 2)
    known._known[double] = DataType("Double", "number", 11)
    known._known[ua.NodeId(99, 3)] = DataType("Odd", "other", 0)
    kind = DataType("S", "structure", 22, fields, layout, encoding)
    known._known[ua.NodeId(1, 2)] = known.by_encoding[encoding] = kind
    return known, encoding


DOUBLE = ua.NodeId(11)


async def test_structure_when_fields_are_optional_then_those_that_are_there_are_read():
    known, encoding = types(
        "optional", FieldType("a", DOUBLE, -1, True), FieldType("b", DOUBLE, -1), FieldType("c", DOUBLE, -1, True)
    )
    body = struct.pack("<Idd", 0b10, 1.0, 2.0)
    assert decode_structure(ua.ExtensionObject(encoding, body), known) == {"b": 1.0, "c": 2.0}


async def test_structure_when_it_is_a_union_then_the_chosen_field_is_read():
    known, encoding = types("union", FieldType("a", DOUBLE, -1), FieldType("b", DOUBLE, -1))
    assert decode_structure(ua.ExtensionObject(encoding, struct.pack("<Id", 2, 5.0)), known) == {"b": 5.0}
    assert decode_structure(ua.ExtensionObject(encoding, struct.pack("<I", 0)), known) == {}


async def test_structure_when_it_holds_structures_then_they_are_read_too():
    known, encoding = types("plain", FieldType("inner", ua.NodeId(7, 2), 1))
    known._known[ua.NodeId(7, 2)] = DataType("I", "structure", 22, (FieldType("v", DOUBLE, -1),), "plain")
    body = struct.pack("<idd", 2, 1.0, 2.0)
    assert decode_structure(ua.ExtensionObject(encoding, body), known) == {"inner": [{"v": 1.0}, {"v": 2.0}]}


@pytest.mark.parametrize(
    ("field", "body", "words"),
    [
        (FieldType("a", DOUBLE, -1), b"\x00", "is not as the server says"),
        (FieldType("a", DOUBLE, 2), b"", "2 dimensions"),
        (FieldType("a", ua.NodeId(99, 3), -1), b"", "type Odd is unknown"),
        (FieldType("a", DOUBLE, 1), struct.pack("<i", 2**31 - 1), "elements"),
    ],
)
async def test_structure_when_it_cannot_be_read_then_the_reason_is_plain(field: FieldType, body: bytes, words: str):
    known, encoding = types("plain", field)
    with pytest.raises(UndecodableError, match=words):
        decode_structure(ua.ExtensionObject(encoding, body), known)
    with pytest.raises(UndecodableError, match="has no DataTypeDefinition"):
        decode_structure(ua.ExtensionObject(ua.NodeId(1, 9), b""), known)


def _us(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000
