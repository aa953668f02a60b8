from __future__ import annotations

import socket

import pytest
from pymodbus.client import AsyncModbusTcpClient

from resources.core.errors import UnreachableError
from resources.demo_plant.addresses import registers
from resources.demo_plant.plant import MODBUS, MODBUS_TLS
from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer, Register
from resources.embedded.ports import free_port


@pytest.mark.parametrize(
    ("register", "value", "words", "read"),
    [
        (Register("holding_register", 0, "int16", 0.1), 21.5, [0x00D7], 21.5),
        (Register("holding_register", 0, "int16", 0.1), -0.1, [0xFFFF], -0.1),
        (Register("holding_register", 0, "float32"), 1.0, [0x3F80, 0x0000], 1.0),
        (Register("holding_register", 0, "float32", word_order="little"), 1.0, [0x0000, 0x3F80], 1.0),
        (Register("holding_register", 0, "uint64"), 1_772_360_073_000_001, [0x6, 0x4BF4, 0xBCB6, 0xAE41], None),
        (Register("coil", 0, "bool"), 1.0, None, 1.0),
    ],
    ids=["scaled", "negative", "float", "swapped", "time", "bit"],
)
def test_register_when_a_value_is_encoded_then_reads_back(
    register: Register, value: float, words: list[int] | None, read: float | None
) -> None:
    if words is not None:
        encoded = register.encode(value)
        assert len(encoded) == register.length == len(words)
        if register.data_type != "uint64":
            assert encoded == words
    assert register.as_read(value) == pytest.approx(value if read is None else read, rel=1e-12)


@pytest.mark.parametrize("source", [MODBUS, MODBUS_TLS])
def test_registers_when_laid_out_then_do_not_overlap(source: str) -> None:
    taken = [(register.table, register.address + n) for register in registers(source) for n in range(register.length)]
    assert len(taken) == len(set(taken))


async def test_server_when_the_port_is_taken_then_says_so() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = ModbusServer(ModbusEndpoint("127.0.0.1", other.getsockname()[1]), [])
        with pytest.raises(UnreachableError, match="cannot listen"):
            await server.start()


async def test_server_when_written_to_or_asked_beyond_its_registers_then_refuses() -> None:
    port = free_port()
    server = ModbusServer(ModbusEndpoint("127.0.0.1", port), [Register("coil", 3, "bool")])
    server.set(0, 1.0)
    assert server.poison_next(1) == 0
    await server.start()
    client = AsyncModbusTcpClient("127.0.0.1", port=port)
    try:
        assert await client.connect()
        assert (await client.write_register(0, 1)).isError()
        assert (await client.read_holding_registers(60_000)).isError()
        assert (await client.read_coils(3)).bits[0] is True
        assert server.drop_connections() == 1
    finally:
        client.close()
        await server.stop()
        await server.stop()
    assert server.drop_connections() == 0
