"""What a look sends, held against the specification and against real servers."""

from __future__ import annotations

from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer, Register
from resources.demo_plant.servers.opc_ua import OpcUaEndpoint, OpcUaServer
from resources.embedded.ports import free_port
from resources.scada.modbus.greeting import read_request
from resources.scada.modbus.planner import Block
from resources.scada.opc_ua.wire.greeting import hello
from resources.transport.tcp_look import PortLooker

PATIENCE_S = 30.0


def test_hello_when_written_then_the_bytes_of_the_specification() -> None:
    written = hello("opc.tcp://a:1")
    assert written[:8] == bytes.fromhex("48454c462d000000")
    assert len(written) == 45
    assert written.endswith(b"\x0d\x00\x00\x00opc.tcp://a:1")


def test_request_when_written_then_the_bytes_of_the_specification() -> None:
    block = Block(1, "holding_register", 16, 10, (0,))
    assert read_request(block) == bytes.fromhex("474c00000006010300100001")


async def test_look_when_an_opc_ua_server_is_greeted_then_it_acknowledges() -> None:
    endpoint = OpcUaEndpoint("127.0.0.1", free_port())
    server = OpcUaServer(endpoint, [])
    await server.start()
    try:
        assert await PortLooker().is_alive("127.0.0.1", endpoint.port, PATIENCE_S, hello(endpoint.url))
    finally:
        await server.stop()


async def test_look_when_a_modbus_device_is_greeted_then_it_answers_also_where_there_is_no_such_register() -> None:
    endpoint = ModbusEndpoint("127.0.0.1", free_port())
    server = ModbusServer(endpoint, [Register("holding_register", 0, "uint16")])
    await server.start()
    try:
        for address in (0, 60_000):
            request = read_request(Block(1, "holding_register", address, 1, (0,)))
            assert await PortLooker().is_alive("127.0.0.1", endpoint.port, PATIENCE_S, request)
    finally:
        await server.stop()
