"""One connection to a Modbus server: registers and bits as words, errors as errors of the platform."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any, Self

import numpy as np
from pymodbus import FramerType, ModbusException
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.pdu import ModbusPDU
from pymodbus.transport import CommParams, CommType

from resources.core.errors import ProtocolError, UnreachableError
from resources.scada.modbus.codec import Words
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.exceptions import words
from resources.scada.modbus.planner import Block
from resources.scada.tls import TlsFiles, client_context, explain

_GOODBYE_S = 3.0
"""Longest wait for a server to take the end of TLS."""


class RefusedBlockError(Exception):
    """The device answered a request with an exception code; its connection is fine."""

    def __init__(self, code: int) -> None:
        """Keep the code."""
        super().__init__(words(code))
        self.code = code


class _Client(AsyncModbusTcpClient):
    """The client of pymodbus over TCP or TLS, without its own reconnecting and retrying.

    pymodbus' TLS client takes every TLS record for one whole frame. Modbus/TCP Security frames are those of Modbus TCP,
    length included, so the socket framer is right for both, and waits for the rest of a frame.
    """

    def __init__(self, config: ModbusConfig, context: ssl.SSLContext | None) -> None:
        self.comm_params = CommParams(
            comm_type=CommType.TLS if context is not None else CommType.TCP,
            comm_name=config.host,
            host=config.host,
            port=config.port,
            sslctx=context,
            reconnect_delay=0.0,
            timeout_connect=config.connect_timeout.total_seconds(),
        )
        super().__init__(config.host, framer=FramerType.SOCKET, retries=0, trace_connect=self._on_connect)
        self.lost: asyncio.Event = asyncio.Event()

    def _on_connect(self, connected: bool) -> None:
        if not connected:
            self.lost.set()


class ModbusConnection:
    """Reads blocks from one unit; make it with `open`."""

    def __init__(self, source: str, config: ModbusConfig) -> None:
        """Prepare; nothing is opened yet."""
        self._source, self._config = source, config
        self.endpoint = (
            f"{'modbus+tls' if config.tls else 'modbus'}://{config.host}:{config.port} unit {config.unit_id}"
        )
        files = TlsFiles(
            config.ca_certificate,
            config.client_certificate,
            config.client_key,
            config.allow_tls_1_2,
            config.pinned_sha256,
        )
        self._client = _Client(config, client_context(source, files) if config.tls else None)
        self._loss: BaseException | None = None
        self._closed = asyncio.Event()

    async def open(self) -> Self:
        """Connect; return self.

        Raises:
            UnreachableError: No connection.
            AuthError: A certificate was refused.
            ProtocolError: TLS where there is none.
        """
        manager: Any = self._client.ctx
        create, lost = manager.call_create, manager.connection_lost

        # pymodbus logs why a connection failed or was lost and goes on; we want to say why
        async def remembering() -> Any:
            try:
                return await create()
            except BaseException as error:
                self._loss = error
                raise

        def remembering_loss(error: Exception | None) -> None:
            self._loss = error
            self._closed.set()
            lost(error)

        manager.call_create, manager.connection_lost = remembering, remembering_loss
        if not await self._client.connect():
            loss = TimeoutError() if isinstance(self._loss, asyncio.CancelledError) else self._loss
            raise explain(loss or TimeoutError(), source=self._source, peer=self.endpoint)
        return self

    async def read(self, block: Block) -> Words:
        """Return the registers of a block, or its bits as 0 and 1, as words.

        Raises:
            RefusedBlockError: The device answered with an exception code.
            UnreachableError: No answer in time, or the connection is gone.
            AuthError: The server refused our certificate (TLS 1.3 says so only after the handshake).
            ProtocolError: An answer that does not fit the request.
        """
        try:
            answer = await self._ask(block)
        except ModbusException as error:
            if self._loss is not None or self._client.lost.is_set():
                raise explain(self._loss, source=self._source, peer=self.endpoint, doing="reading") from error
            raise UnreachableError(
                f"source {self._source}: {self.endpoint}: no reply to read {block.count} of {block.table} "
                f"from {block.address} on in {self._config.timeout.total_seconds():g} s: check unit_id, "
                "cabling and load of the device",
                source=self._source,
            ) from error
        if answer.isError():
            raise RefusedBlockError(int(getattr(answer, "exception_code", 0)))
        found = answer.registers if answer.registers else answer.bits
        if len(found) < block.count:
            raise ProtocolError(
                f"source {self._source}: {self.endpoint}: asked for {block.count} of {block.table} from "
                f"{block.address} on, {len(found)} came back: lower max_registers, or check the device",
                source=self._source,
            )
        return np.array(found[: block.count], dtype=np.uint16)

    async def _ask(self, block: Block) -> ModbusPDU:
        client = self._client
        if client.lost.is_set() or not client.connected:
            raise explain(self._loss, source=self._source, peer=self.endpoint, doing="reading")
        ask = {
            "holding_register": client.read_holding_registers,
            "input_register": client.read_input_registers,
            "coil": client.read_coils,
            "discrete_input": client.read_discrete_inputs,
        }[block.table]
        answering = asyncio.ensure_future(ask(block.address, count=block.count, device_id=self._config.unit_id))
        lost = asyncio.ensure_future(client.lost.wait())
        try:
            # pymodbus lets a request whose connection broke wait for its time-out
            await asyncio.wait({answering, lost}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                raise explain(self._loss, source=self._source, peer=self.endpoint, doing="reading")
            return answering.result()
        finally:
            for task in (answering, lost):
                task.cancel()
            await asyncio.gather(answering, lost, return_exceptions=True)

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The TLS of the connection, None if it is plain or closed."""
        transport: Any = self._client.ctx.transport
        return transport.get_extra_info("ssl_object") if transport is not None else None

    async def close(self) -> None:
        """Close; returns once the socket is closed."""
        transport: Any = self._client.ctx.transport
        self._client.close()
        if transport is not None:
            try:
                await asyncio.wait_for(self._closed.wait(), _GOODBYE_S)
            except TimeoutError:
                transport.abort()

    async def __aenter__(self) -> Self:
        """Open."""
        return await self.open()

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()
