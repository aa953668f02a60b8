"""A serial line as an asyncio transport (POSIX): pyserial sets it up and locks it, the event loop reads and writes."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import termios
from dataclasses import dataclass
from typing import Any

import serial

_CHARACTER_BITS = 11
"""Start, eight data bits, parity or a second stop bit, stop."""
_FIXED_SILENCE_S = 0.00175
_FIXED_ABOVE_BAUD = 19_200
_CHUNK = 1024


@dataclass(frozen=True, slots=True)
class LineSettings:
    """How a line is set; a character has always eight data bits."""

    device: str
    """Device file (`/dev/ttyUSB0`)."""
    baudrate: int
    parity: str
    """E, O or N."""
    stop_bits: int

    @property
    def silence_s(self) -> float:
        """The least silence between two frames: 3.5 characters, above 19,200 baud 1.75 ms.

        Source: MODBUS over Serial Line V1.02, 2.5.1.1.
        """
        if self.baudrate > _FIXED_ABOVE_BAUD:
            return _FIXED_SILENCE_S
        return 3.5 * _CHARACTER_BITS / self.baudrate


class SerialTransport(asyncio.Transport):
    """Carries bytes between a line and a protocol; `open_line` makes it."""

    def __init__(self, line: serial.Serial, protocol: asyncio.Protocol) -> None:
        """Begin to read."""
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._line: serial.Serial | None = line
        self._protocol = protocol
        self._waiting = bytearray()
        self._descriptor = line.fileno()
        protocol.connection_made(self)
        self._loop.add_reader(self._descriptor, self._readable)

    def write(self, data: Any) -> None:
        """Send as the line takes it."""
        if self._line is None:
            return
        self._waiting += data
        self._writable()

    def _writable(self) -> None:
        if self._line is None:
            return
        try:
            del self._waiting[: os.write(self._descriptor, self._waiting)]
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            self._end(error)
            return
        if self._waiting:
            self._loop.add_writer(self._descriptor, self._writable)
        else:
            self._loop.remove_writer(self._descriptor)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            # readable, and nothing there: the adapter was unplugged
            self._end(OSError(errno.ENODEV, os.strerror(errno.ENODEV)))

    def _end(self, error: OSError | None) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        with contextlib.suppress(OSError):
            line.close()
        self._loop.call_soon(self._protocol.connection_lost, error)

    def close(self) -> None:
        """Close the line; what is not sent yet is not sent."""
        self._end(None)

    def abort(self) -> None:
        """The same."""
        self._end(None)

    def is_closing(self) -> bool:
        """Return whether it is closed."""
        return self._line is None

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the default: a line has no TLS and no peer name."""
        return default


def open_line(settings: LineSettings, protocol: asyncio.Protocol) -> SerialTransport:
    """Return an open line, locked against other programs that lock it too.

    Raises:
        OSError: There is no such device, or somebody else has it (serial.SerialException is one).
        ValueError: The device cannot be set so.
    """
    try:
        line = serial.Serial(
            settings.device,
            baudrate=settings.baudrate,
            parity=settings.parity,
            stopbits=settings.stop_bits,
            timeout=0,
            write_timeout=0,
            exclusive=True,
        )
    except termios.error as error:
        raise ValueError(
            f"it takes no {settings.baudrate} baud, parity {settings.parity}, {settings.stop_bits} stop bits: {error}"
        ) from error
    return SerialTransport(line, protocol)
