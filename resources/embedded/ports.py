"""Loopback ports: a remembered one where it is still free, else another."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_USUAL_EPHEMERAL = (32_768, 65_535)
_LOWEST = 10_240
"""Below are the ports that programs are known by."""

_TRIES = 100


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at this moment, and that no outgoing connection will take.

    The system gives outgoing connections ports of a range of its own. A port from there that is free now may be some
    client's by the time its server has started: with hundreds of connections that happens.
    """
    candidates = _ports_of_servers(_EPHEMERAL)
    # not the shared generator: whoever seeds it would make every process choose the same
    for port in random.SystemRandom().sample(candidates, min(_TRIES, len(candidates))):
        if is_free(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ports_of_servers(ephemeral: Path) -> range:
    """Return the ports below, or else above, the range that a Linux system takes for outgoing connections."""
    try:
        first, last = map(int, ephemeral.read_text().split())
    except (OSError, ValueError):
        first, last = _USUAL_EPHEMERAL
    below, above = range(_LOWEST, first), range(last + 1, 65_536)
    return max(below, above, key=len)


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
