"""Sends what is written to a device: once, and never again. Only `ModbusClient.write` uses it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

from resources.core.errors import ProtocolError, UnreachableError
from resources.scada.modbus.connection import ModbusConnection
from resources.scada.modbus.planner import block_of
from resources.scada.modbus.registers import RegisterMap
from resources.scada.modbus.wire.exceptions import NO_SUCH_FUNCTION, STILL_WORKING, RefusedError
from resources.scada.modbus.wire.pdu import (
    MOST_REGISTERS_EXCHANGED,
    MOST_REGISTERS_READ,
    MalformedAnswerError,
    Request,
    read_write,
    words_of,
)
from resources.scada.modbus.writing import UnwritableError, write_requests

_Answer = TypeVar("_Answer")


class Writer:
    """Writes over one connection."""

    def __init__(self, source: str, registers: RegisterMap, connection: ModbusConnection) -> None:
        """Write to the tags of `registers`."""
        self._source, self._registers, self._connection = source, registers, connection

    async def write(self, position: int, value: float | str) -> None:
        """Write an engineering value to the tag at `position`; raises as `ModbusClient.write`."""
        tag = self._registers.tags[position]
        power = await self._power(position)
        try:
            requests = write_requests(tag, value, power)
        except UnwritableError as error:
            raise ProtocolError(
                f"source {self._source}: writing {tag.sensor_id}: {error}", source=self._source
            ) from error
        unit = self._registers.items[position].unit_id
        for number, request in enumerate(requests):
            what = f"write {tag.sensor_id} (function {request.function_code}, {tag.where} {tag.first_address})"
            if await self._send(unit, request, what, is_last=number + 1 == len(requests)):
                return

    async def _power(self, position: int) -> int:
        """Return what the tag's scale factor holds, 0 if it has none."""
        scale = self._registers.scale_of.get(position)
        if scale is None:
            return 0
        block = block_of(self._registers, [scale])
        word = await self._refusable(self._connection.read(block), block.unit_id, "reading its scale factor")
        swapped = word.byteswap() if self._registers.tags[position].byte_order == "little" else word
        return int(swapped.view("i2")[0])

    async def _send(self, unit: int, request: Request, what: str, *, is_last: bool) -> bool:
        """Send a request; return False if the device does not know its function and there is another to try."""
        try:
            await self._connection.ask(unit, request, what)
        except RefusedError as refused:
            if refused.code == NO_SUCH_FUNCTION and not is_last:
                return False
            message = f"{self._at(unit)}: {what}: {refused}"
            if refused.code == STILL_WORKING:
                raise UnreachableError(
                    f"{message}: it was taken and may still be carried out; read the value back before anything is "
                    "written again",
                    source=self._source,
                ) from refused
            raise ProtocolError(message, source=self._source) from refused
        except MalformedAnswerError as error:
            raise self._in_doubt(unit, what, error) from error
        return True

    async def read_write(self, unit: int, read: tuple[int, int], written: tuple[int, Sequence[int]]) -> list[int]:
        """Write registers (address, words), then read others (address, count), in one request (function 23).

        Raises:
            ValueError: More than function 23 takes, or nothing.
            SourceError: As `ModbusClient.read_write_registers`.
        """
        (read_address, count), (write_address, registers) = read, written
        if not (1 <= count <= MOST_REGISTERS_READ and 1 <= len(registers) <= MOST_REGISTERS_EXCHANGED):
            raise ValueError(f"function 23 reads 1 to {MOST_REGISTERS_READ} and writes 1 to {MOST_REGISTERS_EXCHANGED}")
        request = read_write(read_address, count, write_address, registers)
        what = f"write {len(registers)} registers from {write_address} on and read {count} from {read_address} on"
        data = await self._refusable(self._connection.ask(unit, request, what), unit, what)
        return [int(word) for word in words_of("holding_register", count, data)]

    async def _refusable(self, answering: Awaitable[_Answer], unit: int, what: str) -> _Answer:
        try:
            return await answering
        except RefusedError as refused:
            raise ProtocolError(f"{self._at(unit)}: {what}: {refused}", source=self._source) from refused
        except MalformedAnswerError as error:
            raise self._in_doubt(unit, what, error) from error

    def _in_doubt(self, unit: int, what: str, error: Exception) -> UnreachableError:
        return UnreachableError(
            f"{self._at(unit)}: {what}: {error}: whether it was carried out is not known; read the value back",
            source=self._source,
        )

    def _at(self, unit: int) -> str:
        return f"source {self._source}: {self._connection.endpoint} unit {unit}"
