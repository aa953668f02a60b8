"""Loopback ports: a remembered one where it is still free, else another."""

from __future__ import annotations

import socket
from pathlib import Path


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Return whether `port` of 127.0.0.1 can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def is_listening(port: int, *, timeout_s: float = 1.0) -> bool:
    """Return whether someone accepts connections on `port` of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout_s):
            return True
    except OSError:
        return False


def remembered_port(file: Path, wanted: int = 0) -> int:
    """Return `wanted`, else the port kept in `file` if it is still free, else a free one; `file` keeps the result.

    A taken port is no error: the port is nowhere configured, everyone asks the server for it.
    """
    if wanted:
        port = wanted
    else:
        kept = file.read_text().strip() if file.exists() else ""
        port = int(kept) if kept.isdigit() and is_free(int(kept)) else free_port()
    file.write_text(f"{port}\n")
    return port
