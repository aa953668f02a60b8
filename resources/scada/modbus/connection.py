"""One connection to a Modbus server: requests to its units, errors as errors of the platform."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Self

from resources.core.errors import ProtocolError, SourceError, UnreachableError
from resources.scada.connector import Address, Exchange
from resources.scada.endpoints import parse_address
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.planner import Block
from resources.scada.modbus.wire.exceptions import NOT_AS_ASKED, UNIT_IS_SILENT, RefusedError
from resources.scada.modbus.wire.framing import FramingError, RtuFraming, TcpFraming
from resources.scada.modbus.wire.link import Link, LinkLostError
from resources.scada.modbus.wire.pdu import MalformedAnswerError, Request, Words, read, words_of
from resources.scada.tls import TlsFiles, client_context, explain

_SCHEMES = {"tcp": "modbus", "tls": "modbus+tls", "rtu_over_tcp": "modbus+rtu", "rtu": "modbus+serial"}
_PARITIES = {"even": "E", "odd": "O", "none": "N"}


class SilentUnitError(UnreachableError):
    """One unit gave no answer; the connection may be fine, and other units may answer."""

    def __init__(self, message: str, *, source: str, code: int | None = None) -> None:
        """Keep the exception code with which a gateway said so, None if nothing came."""
        super().__init__(message, source=source)
        self.code = code


def addresses(config: ModbusConfig) -> tuple[Address, ...]:
    """Return where the server may be reached, the preferred address first; nothing for a serial line."""
    if config.host is None:
        return ()
    return (Address(config.host, config.port), *(parse_address(text) for text in config.other_endpoints))


class ModbusConnection:
    """Asks the units behind one address; open it with `async with`."""

    def __init__(self, source: str, config: ModbusConfig, position: int = 0) -> None:
        """Prepare; nothing is opened yet. `position` is that of the address in `addresses`."""
        self._source, self._config = source, config
        known = addresses(config)
        self._address = known[position] if known else None
        place = config.serial_port if self._address is None else f"{self._address.host}:{self._address.port}"
        self.endpoint = f"{_SCHEMES[config.medium]}://{place}"
        self._context: ssl.SSLContext | None = None
        if config.medium == "tls":
            files = TlsFiles(
                config.ca_certificate,
                config.client_certificate,
                config.client_key,
                config.allow_tls_1_2,
                config.pinned_sha256,
            )
            self._context = client_context(source, files)
        self._timeouts: dict[int, float] = {}
        self._link: Link | None = None
        self.answered_at = 0.0
        """When the last answer came, in the loop's time."""
        self.last_exchange: Exchange | None = None
        """How the latest request fared."""

    async def open(self) -> Self:
        """Connect; return self.

        Raises:
            UnreachableError: No connection.
            AuthError: A certificate was refused.
            ProtocolError: TLS where there is none.
        """
        loop = asyncio.get_running_loop()
        try:
            if self._address is None:
                self._link = self._open_line()
                return self
            link = Link(RtuFraming() if self._config.has_line else TcpFraming())
            async with asyncio.timeout(self._config.connect_timeout.total_seconds()):
                await loop.create_connection(lambda: link, self._address.host, self._address.port, ssl=self._context)
        except OSError as error:
            raise self._lost(error, "connecting") from error
        self._link = link
        return self

    def _open_line(self) -> Link:
        # pyserial is loaded where a line is configured
        from resources.scada.modbus.wire.serial_line import LineSettings, open_line

        config = self._config
        assert config.serial_port is not None
        settings = LineSettings(config.serial_port, config.baudrate, _PARITIES[config.parity], config.stop_bits)
        link = Link(RtuFraming(), silence_s=settings.silence_s)
        try:
            open_line(settings, link)
        except (OSError, ValueError) as error:
            raise UnreachableError(
                f"source {self._source}: opening {config.serial_port} failed ({error}): check serial_port, that the "
                "adapter is plugged in, that this user may open it (group dialout), and that no other program or "
                "source has it",
                source=self._source,
            ) from error
        return link

    async def read(self, block: Block) -> Words:
        """Return the registers of a block, or its bits as 0 and 1, as words.

        Raises:
            RefusedError: The device answered with an exception code, or with something else than was asked for.
            SilentUnitError: No answer in time, or a gateway says that the unit gives none.
            UnreachableError: The connection is gone.
            AuthError: The server refused our certificate (TLS 1.3 says so only after the handshake).
            ProtocolError: The peer does not speak Modbus.
        """
        request = read(block.table, block.address, block.count)
        what = f"read {block.count} of {block.table} from {block.address} on"
        try:
            data = await self.ask(block.unit_id, request, what, self._config.attempts)
        except MalformedAnswerError as error:
            raise RefusedError(NOT_AS_ASKED) from error
        return words_of(block.table, block.count, data)

    async def ask(self, unit_id: int, request: Request, what: str, attempts: int = 1) -> bytes:
        """Return the data of the answer to any request; `what` names it in messages.

        Raises:
            MalformedAnswerError: An answer that is none to the request.
            SourceError: As `read`; so RefusedError.
        """
        timeout_s = self._timeouts.get(unit_id)
        if timeout_s is None:
            timeout_s = self._timeouts[unit_id] = self._config.limits(unit_id).timeout_s
        answer = await self._exchange(unit_id, request, attempts, timeout_s)
        if answer is None:
            times = "" if attempts == 1 else f" ({attempts} times)"
            raise SilentUnitError(
                f"{self._at(unit_id)}: no reply to {what} in {timeout_s:g} s{times}: check unit_id, cabling and load "
                "of the device",
                source=self._source,
            )
        try:
            return request.data(answer)
        except RefusedError as refused:
            if refused.code not in UNIT_IS_SILENT:
                raise
            message = f"{self._at(unit_id)}: no reply to {what}: {refused}"
            raise SilentUnitError(message, source=self._source, code=refused.code) from refused

    async def _exchange(self, unit_id: int, request: Request, attempts: int, timeout_s: float) -> bytes | None:
        """Return the answer, None if none came."""
        link, loop = self._opened(), asyncio.get_running_loop()
        for _ in range(attempts):
            began = loop.time()
            try:
                answer = await link.ask(unit_id, request, timeout_s)
            except TimeoutError:
                self._note_exchange(timeout_s, timeout_s, again=1)
                continue
            except LinkLostError as error:
                raise self._lost(error.__cause__, "reading") from error
            except FramingError as error:
                raise self._no_modbus(error) from error
            self.answered_at = loop.time()
            self._note_exchange(self.answered_at - began, timeout_s)
            return answer
        return None

    def _note_exchange(self, seconds: float, limit_s: float, *, again: int = 0) -> None:
        before = self.last_exchange.retries if self.last_exchange is not None else 0
        self.last_exchange = Exchange(seconds, limit_s, before + again)

    def _opened(self) -> Link:
        if self._link is None:
            raise UnreachableError(f"source {self._source}: {self.endpoint} is not connected", source=self._source)
        return self._link

    async def wait_until(self, when: float) -> None:
        """Return at `when` (monotonic seconds).

        Raises:
            UnreachableError: The connection was lost before.
        """
        link = self._opened()
        if when <= asyncio.get_running_loop().time() and not link.ended.is_set():
            await asyncio.sleep(0)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(when):
                await link.ended.wait()
            raise self._lost(link.loss, "reading")

    def _no_modbus(self, error: FramingError) -> SourceError:
        if self.answered_at:
            # it does speak Modbus, so the connection is out of step: another one will do
            return UnreachableError(
                f"source {self._source}: {self.endpoint}: {error} came between two answers: check the network and "
                "what is in between",
                source=self._source,
            )
        return ProtocolError(
            f"source {self._source}: {self.endpoint} does not speak Modbus TCP: {error} came back; check the port, and "
            "whether it wants transport: rtu_over_tcp",
            source=self._source,
        )

    def _at(self, unit_id: int) -> str:
        return f"source {self._source}: {self.endpoint} unit {unit_id}"

    def _lost(self, error: BaseException | None, doing: str) -> SourceError:
        return explain(error, source=self._source, peer=self.endpoint, doing=doing)

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The TLS of the connection, None if it is plain or closed."""
        found: ssl.SSLObject | None = self._link.ssl_object if self._link is not None else None
        return found

    async def close(self) -> None:
        """Close; returns once the socket is closed."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def __aenter__(self) -> Self:
        """Open."""
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()
