"""Writes of the OPC UA connector, against a real server."""

from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua

from resources.core.errors import ProtocolError
from tests.contract.scada.complete_opc_ua_rig import ready, tag
from tests.contract.scada.complete_opc_ua_server import CompleteServer


@pytest.mark.parametrize(
    ("kind", "initial", "value", "settings", "stored"),
    [
        ("Double", 0.0, 21.0, {"scale": 2, "offset": 1}, 10.0),
        ("Float", 0.0, 1.5, {}, 1.5),
        ("Boolean", False, 1.0, {}, True),
        ("SByte", 0, -128.0, {}, -128),
        ("Byte", 0, 255.0, {}, 255),
        ("Int16", 0, 20.5, {"scale": 0.1}, 205),
        ("UInt32", 0, 4_294_967_295.0, {}, 4_294_967_295),
        ("Int64", 0, -5.0, {}, -5),
    ],
)
async def test_write_when_the_value_fits_then_the_node_holds_it_in_its_own_type(
    complete_server: CompleteServer, kind: str, initial: Any, value: float, settings: dict[str, Any], stored: Any
) -> None:
    await complete_server.add("a", value=initial, kind=getattr(ua.VariantType, kind))
    client, _ = ready(complete_server.port, tags=[tag("a", **settings)])
    await client.write("a", value)
    assert await complete_server.value("a") == stored
    batch = await client.read(["a"])
    assert batch.readings is not None
    assert batch.readings["value"].to_pylist() == [pytest.approx(value)]


async def test_write_when_the_node_holds_text_then_text_is_written(complete_server: CompleteServer) -> None:
    await complete_server.add("a", value="off")
    client, _ = ready(complete_server.port, "a")
    await client.write("a", "on")
    assert await complete_server.value("a") == "on"
    with pytest.raises(ProtocolError, match="the node holds a String, and a float was given"):
        await client.write("a", 1.0)


@pytest.mark.parametrize(
    ("kind", "initial", "value", "said"),
    [
        ("Int16", 0, 40_000.0, "the node holds a Int16: -32768 to 32767, not 40000"),
        ("Byte", 0, -1.0, "0 to 255, not -1"),
        ("Int32", 0, 1.5, "1.5 is no whole number"),
        ("Boolean", False, 2.0, "0 to 1, not 2"),
        ("Double", 0.0, float("nan"), "nan is no number that can be written"),
        ("Double", 0.0, "on", "the node holds a Double, and a str was given"),
        ("DateTime", datetime(2026, 1, 1, tzinfo=UTC), 1.0, "the node holds a DateTime, which cannot be written"),
    ],
)
async def test_write_when_the_value_does_not_fit_then_protocol_error_and_nothing_is_sent(
    complete_server: CompleteServer, kind: str, initial: Any, value: Any, said: str
) -> None:
    await complete_server.add("a", value=initial, kind=getattr(ua.VariantType, kind))
    client, _ = ready(complete_server.port, "a")
    with pytest.raises(ProtocolError, match=f"writing a .*{said}"):
        await client.write("a", value)


async def test_write_when_the_server_has_no_value_yet_then_the_data_type_decides(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a", value=0, kind=ua.VariantType.Int16)

    async def forget() -> None:
        value = complete_server.server.iserver.aspace[complete_server.node("a")].attributes[ua.AttributeIds.Value]
        value.value = ua.DataValue(ua.Variant(None, ua.VariantType.Null))

    await complete_server.do(forget())
    client, _ = ready(complete_server.port, "a")
    await client.write("a", 7.0)
    assert await complete_server.value("a") == 7


async def test_write_when_the_node_is_read_only_or_unknown_or_an_array_then_protocol_error_says_so(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a", "list")
    await complete_server.do(complete_server.server.get_node(complete_server.node("a")).set_read_only())
    await complete_server.do(complete_server.server.get_node(complete_server.node("list")).write_value([1.0, 2.0]))
    client, _ = ready(complete_server.port, "a", "list", "nowhere")
    with pytest.raises(ProtocolError, match="the node cannot be written"):
        await client.write("a", 1.0)
    with pytest.raises(ProtocolError, match="the node is an array"):
        await client.write("list", 1.0)
    with pytest.raises(ProtocolError, match="BadNodeIdUnknown"):
        await client.write("nowhere", 1.0)


async def test_write_when_only_a_part_of_the_value_is_meant_or_no_node_is_found_then_protocol_error(
    complete_server: CompleteServer,
) -> None:
    elsewhere = {"sensor_id": "b", "unit": "Cel", "node_id": "nsu=urn:nowhere;s=b"}
    client, _ = ready(complete_server.port, tags=[tag("a", element=1), elsewhere])
    with pytest.raises(ProtocolError, match="only whole values can be written"):
        await client.write("a", 1.0)
    with pytest.raises(ProtocolError, match="no namespace urn:nowhere"):
        await client.write("b", 1.0)


async def test_write_when_the_server_refuses_then_its_answer_is_in_plain_words(
    complete_server: CompleteServer,
) -> None:
    await complete_server.add("a")

    def refuse(*_: Any) -> None:
        raise ua.uaerrors.BadOutOfRange

    async def guard() -> None:
        complete_server.server.iserver.set_attribute_value_setter(complete_server.node("a"), refuse)

    await complete_server.do(guard())
    client, _ = ready(complete_server.port, "a")
    with pytest.raises(ProtocolError, match="writing a at .*out of range"):
        await client.write("a", 1.0)
