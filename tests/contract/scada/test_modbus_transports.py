"""Modbus over every transport: the same units, read and written by every function, refused, cut and silent."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from pymodbus.constants import ExcCodes

from resources.core.errors import ProtocolError, UnreachableError
from tests.contract.scada.modbus_rigs import RIGS, RtuOverTcpUnits, SerialUnits, TcpUnits, UnitsRig
from tests.contract.scada.recorder import Recorder, running, until


async def _started(rig: UnitsRig) -> AsyncIterator[Any]:
    await rig.start()
    yield rig
    await rig.stop()


@pytest_asyncio.fixture(params=list(RIGS))
async def units(request: pytest.FixtureRequest) -> AsyncIterator[UnitsRig]:
    async for rig in _started(RIGS[request.param]()):
        yield rig


@pytest_asyncio.fixture
async def tcp() -> AsyncIterator[TcpUnits]:
    async for rig in _started(TcpUnits()):
        yield rig


@pytest_asyncio.fixture
async def rtu_over_tcp() -> AsyncIterator[RtuOverTcpUnits]:
    async for rig in _started(RtuOverTcpUnits()):
        yield rig


@pytest_asyncio.fixture
async def serial() -> AsyncIterator[SerialUnits]:
    async for rig in _started(SerialUnits()):
        yield rig


def _values(recorder: Recorder) -> dict[str, float | None]:
    return {row.sensor_id: row.value for row in recorder.rows()}


async def test_run_when_units_and_tables_differ_then_every_value_arrives(units: UnitsRig) -> None:
    units.units[1].registers[100:102] = struct.unpack(">2H", struct.pack(">f", 21.5))
    units.units[2].registers[5] = 65_000
    units.units[3].coils[17] = True
    client, recorder = units.ready(
        {"address": 100, "data_type": "float32"},
        {"address": 5, "unit_id": 2, "table": "input_register"},
        {"address": 16, "unit_id": 3, "table": "coil", "data_type": "bool"},
        {"address": 17, "unit_id": 3, "table": "discrete_input", "data_type": "bool"},
    )
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 12, "three polls", task)
    assert _values(recorder) == {"s0": 21.5, "s1": 65_000, "s2": 0, "s3": 1}
    assert recorder.failed == []
    assert recorder.facts[0]["security"] == ("serial line" if units.transport == "rtu" else "plain TCP")


async def test_run_when_a_register_is_refused_then_the_others_stay_and_it_comes_back(units: UnitsRig) -> None:
    units.units[2].refused = {3: ExcCodes.ILLEGAL_ADDRESS}
    client, recorder = units.ready(*({"address": n, "unit_id": 2} for n in range(6)), retry_bad_items_after="100ms")
    async with running(client, recorder) as task:
        await until(lambda: [sensor for sensor, _ in recorder.failed] == ["s3"], "the refusal", task)
        units.units[2].refused = {}
        await until(lambda: recorder.recovered == ["s3"], "the recovery", task)
        units.units[2].requests.clear()
        await until(lambda: len(units.units[2].requests) >= 5, "more polls", task)
        # healed: one request reads them all again
        await until(lambda: units.units[2].requests[-1] == (3, 0, 6), "the merged request", task)
    assert set(_values(recorder)) == {f"s{n}" for n in range(6)}


async def test_run_when_the_connection_is_cut_then_unreachable_error(units: UnitsRig) -> None:
    client, recorder = units.ready({"address": 1})
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 2, "readings", task)
        units.cut()
        with pytest.raises(UnreachableError, match="source rig: .*connection lost"):
            await asyncio.wait_for(asyncio.shield(task), 30)


async def test_run_when_cancelled_then_the_line_is_free_for_the_next(units: UnitsRig) -> None:
    for _ in range(2):
        client, recorder = units.ready({"address": 1})
        async with running(client, recorder) as task:
            await until(lambda recorder=recorder: len(recorder.rows()) >= 2, "readings", task)


async def test_run_when_one_unit_is_silent_then_the_others_are_read_and_it_comes_back(units: UnitsRig) -> None:
    units.units[2].silent = True
    client, recorder = units.ready(
        *({"address": 4, "unit_id": unit} for unit in (1, 2, 3)),
        timeout="150ms",
        retry_silent_units_within="1s",
        retries=0,
    )
    async with running(client, recorder) as task:
        await until(lambda: {"s0", "s2"} <= _values(recorder).keys(), "the others", task)
        before = units.asked[2]
        seen = len(recorder.rows())
        await until(lambda: len(recorder.rows()) >= seen + 40, "twenty polls of the others", task)
        # a silent unit is not asked in every poll
        assert units.asked[2] - before < 10
        assert [sensor for sensor, _ in recorder.failed] == ["s1"]
        assert "no reply to read 1 of holding_register from 4 on in 0.15 s" in recorder.failed[0][1]
        units.units[2].silent = False
        await until(lambda: recorder.recovered == ["s1"], "the recovery", task)
        await until(lambda: "s1" in _values(recorder), "its value", task)
    rows = sum(batch.rows for batch in recorder.batches)
    assert recorder.counts["sent"] - recorder.counts["in_gaps"] == rows
    assert any("unit 2 did not answer" in reason for _, _, reason in recorder.gaps)


async def test_run_when_every_unit_is_silent_then_unreachable_error(units: UnitsRig) -> None:
    client, recorder = units.ready(*({"address": 4, "unit_id": unit} for unit in (1, 2, 3)), timeout="150ms", retries=1)
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 3, "a poll", task)
        for unit in units.units.values():
            unit.silent = True
        with pytest.raises(UnreachableError, match=r"no reply to .* in 0\.15 s \(2 times\)"):
            await asyncio.wait_for(asyncio.shield(task), 30)


async def test_run_when_a_gateway_says_that_a_unit_is_silent_then_it_counts_as_silent(tcp: TcpUnits) -> None:
    client, recorder = tcp.ready(*({"address": 4, "unit_id": unit} for unit in (1, 2, 3)))
    tcp.units[2].busy = ExcCodes.GATEWAY_NO_RESPONSE
    tcp.units[3].busy = ExcCodes.GATEWAY_PATH_UNAVIABLE
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.failed) == 2, "both silent units", task)
        await until(lambda: len(recorder.rows()) >= 10, "polls of the other", task)
    reasons = dict(recorder.failed)
    assert "Modbus exception 11, gateway target failed to respond" in reasons["s1"]
    assert "Modbus exception 10, gateway path unavailable" in reasons["s2"]
    assert recorder.rejects() == []


@pytest_asyncio.fixture
async def nine() -> AsyncIterator[TcpUnits]:
    async for rig in _started(TcpUnits(range(1, 10))):
        yield rig


async def test_run_when_many_units_are_silent_from_the_start_then_the_one_that_answers_is_read(nine: TcpUnits) -> None:
    for number in range(1, 9):
        nine.units[number].silent = True
    client, recorder = nine.ready(*({"address": 4, "unit_id": unit} for unit in nine.units), timeout="100ms")
    async with running(client, recorder) as task:
        await until(lambda: len(recorder.rows()) >= 50, "fifty polls of the one that answers", task)
        assert {row.sensor_id for row in recorder.rows()} == {"s8"}
    # known from now on: it is asked first
    seen = len(nine.order)
    async with running(client, recorder):
        assert nine.order[seen] == 9


WRITES = [
    ({"table": "coil", "data_type": "bool"}, 1, (5, [True])),
    ({"data_type": "int16", "scale": 0.1, "offset": -5}, 20.0, (6, [250])),
    ({"data_type": "bcd16"}, 1234, (6, [0x1234])),
    ({"data_type": "float32", "word_order": "little"}, 1.0, (16, [0, 0x3F80])),
    ({"data_type": "uint32", "byte_order": "little"}, 0x01020304, (16, [0x0201, 0x0403])),
    ({"data_type": "int64"}, -2, (16, [0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE])),
    ({"data_type": "string", "length": 3}, "Öl 5".replace("Ö", "O"), (16, [0x4F6C, 0x2035, 0])),
]


@pytest.mark.parametrize(("tag", "value", "sent"), WRITES, ids=lambda v: str(v)[:40])
async def test_write_when_a_tag_has_a_type_then_its_function_is_used_and_it_reads_back(
    serial: SerialUnits, tag: dict[str, Any], value: float | str, sent: tuple[int, list[Any]]
) -> None:
    client, recorder = serial.ready({"address": 50, "unit_id": 2} | tag)
    await client.write("s0", value)
    assert serial.units[2].written == [(sent[0], 50, sent[1])]
    batch = await client.read(["s0"])
    part = batch.readings if batch.texts is None else batch.texts
    assert part is not None
    assert part.column("value").to_pylist() == [value]
    assert recorder.rows() == []


async def test_write_when_a_bitfield_is_written_then_the_other_bits_stay(units: UnitsRig) -> None:
    units.units[1].registers[50] = 0xABCD
    client, _ = units.ready({"address": 50, "data_type": "bitfield", "bits": "4-7"})
    await client.write("s0", 5)
    assert units.units[1].registers[50] == 0xAB5D
    assert units.units[1].written[-1][0] == 22


async def test_write_when_a_function_is_unknown_then_the_one_for_several_is_used(tcp: TcpUnits) -> None:
    tcp.units[1].unknown_functions = {5, 6}
    client, _ = tcp.ready({"address": 50}, {"address": 7, "table": "coil", "data_type": "bool"})
    await client.write("s0", 7)
    await client.write("s1", 1)
    assert [function for function, _, _ in tcp.units[1].written] == [6, 16, 5, 15]
    assert (tcp.units[1].registers[50], tcp.units[1].coils[7]) == (7, True)


async def test_write_when_there_is_a_scale_factor_then_it_counts(tcp: TcpUnits) -> None:
    tcp.units[1].registers[60] = 0xFFFF
    client, _ = tcp.ready({"address": 50, "scale_register": 60})
    await client.write("s0", 21.5)
    assert tcp.units[1].registers[50] == 215


@pytest.mark.parametrize(
    ("tag", "value", "words"),
    [
        ({"data_type": "int16"}, 40_000, "40000 is 40000 in its registers, which as int16 hold -32768 to 32767"),
        ({"data_type": "uint16"}, -1, "-1 is -1 in its registers"),
        ({"data_type": "float32"}, 1e39, r"1e\+39 is too large for float32"),
        ({"data_type": "float32"}, float("nan"), "nan is no number"),
        ({"data_type": "float32"}, "warm", "'warm' is no number"),
        ({"data_type": "float32", "scale": 0}, 1, "its scale is 0"),
        ({"data_type": "bitfield", "bits": "4-7"}, 16, "16 is 16 in its registers, which as bitfield hold 0 to 15"),
        ({"table": "coil", "data_type": "bool"}, 2, "2 is neither 0 nor 1"),
        ({"data_type": "string", "length": 1}, "long", "'long' is longer than its 1 registers"),
        ({"data_type": "string", "length": 9}, "°C", "'°C' has characters that are not ascii"),
        ({"table": "input_register"}, 1, "a input_register cannot be written"),
    ],
)  # fmt: skip
async def test_write_when_the_value_does_not_fit_then_protocol_error_and_nothing_is_sent(
    tcp: TcpUnits, tag: dict[str, Any], value: float | str, words: str
) -> None:
    client, _ = tcp.ready({"address": 50} | tag)
    with pytest.raises(ProtocolError, match=f"source rig: writing s0: {words}"):
        await client.write("s0", value)
    assert tcp.units[1].written == []


async def test_write_when_the_device_refuses_then_protocol_error_and_when_it_works_on_it_in_doubt(
    tcp: TcpUnits,
) -> None:
    client, _ = tcp.ready({"address": 50}, {"address": 51, "scale_register": 52})
    tcp.units[1].refused = {50: ExcCodes.ILLEGAL_VALUE, 52: ExcCodes.ILLEGAL_ADDRESS}
    with pytest.raises(ProtocolError, match=r"write s0 \(function 6, holding_register 50\): Modbus exception 3"):
        await client.write("s0", 7)
    with pytest.raises(ProtocolError, match="reading its scale factor: Modbus exception 2"):
        await client.write("s1", 7)
    tcp.units[1].busy = ExcCodes.ACKNOWLEDGE
    with pytest.raises(UnreachableError, match="Modbus exception 5.*read the value back"):
        await client.write("s0", 7)


async def test_write_when_no_answer_comes_then_it_is_not_sent_again(units: UnitsRig) -> None:
    units.units[1].silent = True
    client, _ = units.ready({"address": 50}, timeout="200ms", retries=3)
    with pytest.raises(UnreachableError, match="no reply to write s0"):
        await client.write("s0", 7)
    assert len(units.units[1].written) == 1


async def test_write_when_the_source_is_running_then_its_connection_is_used(serial: SerialUnits) -> None:
    client, recorder = serial.ready({"address": 50})
    async with running(client, recorder) as task:
        await client.write("s0", 42)
        await until(lambda: any(row.value == 42 for row in recorder.rows()), "the written value", task)


async def test_exchange_when_registers_are_written_and_read_in_one_request_then_both_happen(units: UnitsRig) -> None:
    units.units[2].registers[10:12] = [7, 8]
    client, _ = units.ready({"address": 1})
    assert await client.read_write_registers(2, 10, 2, 20, [1, 2, 3]) == [7, 8]
    assert units.units[2].registers[20:23] == [1, 2, 3]
    with pytest.raises(ValueError, match="writes 1 to 121"):
        await client.read_write_registers(2, 10, 2, 20, [0] * 122)
    units.units[2].refused = {20: ExcCodes.ILLEGAL_ADDRESS}
    with pytest.raises(ProtocolError, match="write 1 registers from 20 on and read 1 from 10 on: Modbus exception 2"):
        await client.read_write_registers(2, 10, 1, 20, [1])


async def test_probe_when_units_differ_then_each_is_told(units: UnitsRig) -> None:
    units.units[2].refused = {4: ExcCodes.ILLEGAL_ADDRESS}
    units.units[3].silent = True
    client, _ = units.ready(*({"address": 4, "unit_id": unit} for unit in (1, 2, 3)), timeout="200ms", retries=0)
    facts = await client.probe()
    assert facts.details["unit 1"] == "answers"
    assert facts.details["unit 2"].startswith("answers with Modbus exception 2")
    assert "no reply" in facts.details["unit 3"]
    assert facts.details["requests per poll"] == "3"


async def test_health_when_the_source_runs_then_it_answers_also_where_polls_are_rare(units: UnitsRig) -> None:
    client, recorder = units.ready({"address": 1})
    with pytest.raises(UnreachableError, match="no connection"):
        await client.check_health()
    async with running(client, recorder):
        await client.check_health()
        client._connection.answered_at -= 60  # as if nothing had been asked for a minute
        before = len(units.units[1].requests)
        await client.check_health()
        assert len(units.units[1].requests) > before


# -- what only one of them has -------------------------------------------------------------------------------------------


async def test_run_when_the_line_is_noisy_then_the_answer_is_still_found(serial: SerialUnits) -> None:
    client, recorder = serial.ready({"address": 1}, timeout="1s")
    async with running(client, recorder) as task:
        for noise in (b"\x00", b"\x01\x03\x02", b"\xff" * 40):
            serial.cable.noise = noise
            seen = len(recorder.rows())
            await until(lambda seen=seen: not serial.cable.noise and len(recorder.rows()) > seen, "readings", task)
    assert recorder.counts["in_gaps"] == recorder.counts["overruns"]


async def test_run_when_one_answer_is_lost_on_a_line_then_the_request_is_repeated(serial: SerialUnits) -> None:
    serial.units[1].registers[1] = 5
    client, recorder = serial.ready({"address": 1}, timeout="200ms")
    async with running(client, recorder) as task:
        serial.cable.deaf = True
        asked = serial.asked[1]
        await until(lambda: serial.asked[1] > asked, "a request whose answer is lost", task)
        serial.cable.deaf = False
        seen = len(recorder.rows())
        await until(lambda: len(recorder.rows()) > seen + 3, "readings", task)
    assert {row.value for row in recorder.rows()} == {5.0}


async def test_open_when_the_port_is_not_there_or_taken_then_unreachable_error_says_so(serial: SerialUnits) -> None:
    client, recorder = serial.ready({"address": 1}, serial_port="/dev/does-not-exist")
    with pytest.raises(UnreachableError, match=r"opening /dev/does-not-exist failed .*check serial_port"):
        await client.run(recorder.emit, recorder)
    first, other = serial.ready({"address": 1})
    async with running(first, other):
        with pytest.raises(UnreachableError, match=r"failed .*no other program or source has it"):
            await serial.ready({"address": 1})[0].run(recorder.emit, recorder)
    # a pseudo terminal has no parity, and says so once everything else is as it was
    client, recorder = serial.ready({"address": 1}, parity="even")
    with pytest.raises(UnreachableError, match="it takes no 115200 baud, parity E, 2 stop bits"):
        await asyncio.wait_for(client.run(recorder.emit, recorder), 30)
    assert client.addresses() == ()


async def test_run_when_a_tcp_server_is_taken_for_an_rtu_one_or_the_reverse_then_the_message_helps(
    tcp: TcpUnits, rtu_over_tcp: RtuOverTcpUnits
) -> None:
    client, recorder = tcp.ready({"address": 1}, transport="rtu_over_tcp", timeout="200ms")
    with pytest.raises(UnreachableError, match="no reply"):
        await client.run(recorder.emit, recorder)
    client, recorder = rtu_over_tcp.ready({"address": 1}, transport="tcp", timeout="200ms")
    with pytest.raises((UnreachableError, ProtocolError)):
        await client.run(recorder.emit, recorder)


# -- late answers: a server whose every byte the test decides ------------------------------------------------------------


class Scripted:
    """Keeps the requests; the test answers them when and how it likes."""

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        while data := await reader.read(1024):
            self.requests.append(data)
        writer.close()

    def answer(self, request: bytes, *words: int) -> None:
        body = struct.pack(f">BB{len(words)}H", request[7], 2 * len(words), *words)
        self.send(request[:4] + struct.pack(">HB", len(body) + 1, request[6]) + body)

    def send(self, data: bytes) -> None:
        assert self._writer is not None
        self._writer.write(data)

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._writer is not None:
            self._writer.close()
        await self._server.wait_closed()


@pytest_asyncio.fixture
async def scripted() -> AsyncIterator[tuple[Scripted, TcpUnits, int]]:
    server = Scripted()
    port = await server.start()
    yield server, TcpUnits(), port
    await server.stop()


def _scripted_client(rig: TcpUnits, port: int, **changes: Any) -> tuple[Any, Recorder]:
    rig.place = lambda: {"host": "127.0.0.1", "port": port}  # type: ignore[method-assign]
    return rig.ready({"address": 1}, **changes)


async def test_run_when_a_late_answer_comes_then_it_is_not_taken_for_the_next(
    scripted: tuple[Scripted, TcpUnits, int],
) -> None:
    server, rig, port = scripted
    client, recorder = _scripted_client(rig, port, timeout="300ms", retries=5)
    task = asyncio.create_task(client.run(recorder.emit, recorder))
    await until(lambda: len(server.requests) == 2, "the request again", task)
    server.answer(server.requests[0], 111)
    server.answer(server.requests[1], 222)
    await until(lambda: len(recorder.rows()) == 1, "the reading", task)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [row.value for row in recorder.rows()] == [222.0]
    assert server.requests[0][:2] != server.requests[1][:2]


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", ProtocolError, "does not speak Modbus TCP.*check the port"),
        (b"\0\1\0\0\0\5\1\3\2\0", UnreachableError, "no reply"),
    ],
    ids=["http", "cut"],
)
async def test_run_when_the_answer_is_no_answer_then_the_message_says_what_came(
    scripted: tuple[Scripted, TcpUnits, int], reply: bytes, error: type[Exception], words: str
) -> None:
    server, rig, port = scripted
    client, recorder = _scripted_client(rig, port, timeout="1s")
    task = asyncio.create_task(client.run(recorder.emit, recorder))
    await until(lambda: len(server.requests) == 1, "the request", task)
    server.send(reply)
    with pytest.raises(error, match=words):
        await asyncio.wait_for(task, 30)


async def test_run_when_garbage_comes_between_answers_then_the_connection_is_given_up_for_another(
    scripted: tuple[Scripted, TcpUnits, int],
) -> None:
    server, rig, port = scripted
    client, recorder = _scripted_client(rig, port)
    task = asyncio.create_task(client.run(recorder.emit, recorder))
    await until(lambda: len(server.requests) == 1, "the request", task)
    server.answer(server.requests[0], 7)
    await until(lambda: len(server.requests) == 2, "the next request", task)
    server.send(b"garbage, and more of it")
    with pytest.raises(UnreachableError, match="came between two answers"):
        await asyncio.wait_for(task, 30)


async def test_run_when_an_answer_has_another_length_then_its_tag_is_refused_and_writes_are_in_doubt(
    scripted: tuple[Scripted, TcpUnits, int],
) -> None:
    server, rig, port = scripted
    client, recorder = _scripted_client(rig, port)
    async with _asked(client, recorder, server) as task:
        server.answer(server.requests[0], 7, 8)
        await until(lambda: len(recorder.rejects()) == 1, "the reject", task)
        assert "another length or function than was asked for" in recorder.rejects()[0]["reasons"][0]
        asked = len(server.requests)
        writing = asyncio.create_task(client.write("s0", 5))
        await until(lambda: len(server.requests) > asked, "the write", task)
        server.answer(server.requests[-1], 1)
        with pytest.raises(
            UnreachableError, match="does not repeat the request: whether it was carried out is not known"
        ):
            await asyncio.wait_for(writing, 30)
        exchanging = asyncio.create_task(client.read_write_registers(1, 0, 2, 0, [1]))
        await until(lambda: len(server.requests) > asked + 1, "the exchange", task)
        server.answer(server.requests[-1], 1)
        with pytest.raises(UnreachableError, match="4 bytes were asked for, 2 came back: whether it was carried out"):
            await asyncio.wait_for(exchanging, 30)


@contextlib.asynccontextmanager
async def _asked(client: Any, recorder: Recorder, server: Scripted) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(client.run(recorder.emit, recorder))
    try:
        await until(lambda: len(server.requests) == 1, "the first request", task)
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_is_alive_when_the_line_answers_refuses_or_is_silent_then_says_so(serial: SerialUnits) -> None:
    client, _ = serial.ready({"address": 3, "unit_id": 2}, timeout="200ms")
    assert await client.is_alive(5.0)
    serial.units[2].refused = {3: ExcCodes.ILLEGAL_ADDRESS}
    assert await client.is_alive(5.0)
    serial.units[2].silent = True
    assert not await client.is_alive(5.0)
