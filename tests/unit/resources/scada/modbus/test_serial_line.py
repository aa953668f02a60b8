"""The serial transport on a real pseudo terminal: a line that takes no more, and one that is gone."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from resources.scada.modbus.wire.framing import RtuFraming
from resources.scada.modbus.wire.link import Link, LinkLostError
from resources.scada.modbus.wire.pdu import read
from resources.scada.modbus.wire.serial_line import LineSettings, SerialTransport, open_line
from tests.contract.scada.recorder import until


@dataclass
class Heard(asyncio.Protocol):
    data: bytes = b""
    lost: list[Exception | None] = field(default_factory=list)

    def data_received(self, data: bytes) -> None:
        self.data += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


@dataclass
class Line:
    transport: SerialTransport
    heard: Heard
    far: int
    near: int

    def take(self) -> bytes:
        try:
            return os.read(self.far, 65_536)
        except BlockingIOError:
            return b""

    def unplug(self) -> None:
        os.close(self.near)
        os.close(self.far)
        self.near = self.far = -1


@pytest_asyncio.fixture
async def line() -> AsyncIterator[Line]:
    far, near = os.openpty()
    tty.setraw(near)
    os.set_blocking(far, False)
    heard = Heard()
    transport = open_line(LineSettings(os.ttyname(near), 9600, "N", 2), heard)
    yield Line(transport, heard, far, near)
    transport.close()
    for descriptor in (far, near):
        with suppress(OSError):
            os.close(descriptor)


async def test_write_when_the_line_takes_no_more_then_the_rest_follows_when_it_does(line: Line) -> None:
    content = bytes(range(256)) * 400
    line.transport.write(content)
    taken = bytearray()

    def all_of_it() -> bool:
        taken.extend(line.take())
        return len(taken) == len(content)

    await until(all_of_it, "the rest of what was written")
    assert bytes(taken) == content


async def test_read_when_the_adapter_is_unplugged_then_the_connection_is_lost(line: Line) -> None:
    os.write(line.far, b"\x01\x02")
    await until(lambda: line.heard.data == b"\x01\x02", "what was sent")
    line.unplug()
    await until(lambda: len(line.heard.lost) == 1, "the loss")
    assert isinstance(line.heard.lost[0], OSError)
    assert line.transport.is_closing()
    line.transport.write(b"nobody hears this")
    line.transport.abort()
    assert len(line.heard.lost) == 1


async def test_write_when_the_adapter_is_unplugged_then_the_connection_is_lost(line: Line) -> None:
    line.unplug()
    line.transport.write(b"\x01")
    await until(lambda: len(line.heard.lost) == 1, "the loss")


async def test_close_when_it_is_ours_then_there_is_no_error(line: Line) -> None:
    line.transport.close()
    await until(lambda: line.heard.lost == [None], "the end")
    assert line.transport.get_extra_info("ssl_object") is None


async def test_ask_when_there_is_no_connection_then_link_lost() -> None:
    with pytest.raises(LinkLostError):
        await Link(RtuFraming()).ask(1, read("coil", 0, 1), 1.0)
