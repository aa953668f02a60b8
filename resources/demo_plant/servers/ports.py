"""A port that is taken, said plainly: the libraries log it and try for ever, or end the program."""

from __future__ import annotations

import socket

from resources.core.errors import UnreachableError


def require_free(host: str, port: int, protocol: str) -> None:
    """Refuse a port that somebody listens on.

    Raises:
        UnreachableError: It is taken; the message says what to do.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UnreachableError(
                f"demo plant: cannot listen on {host}:{port} for {protocol} ({error.strerror}): end the other program, "
                "or delete plant.json in the demo's folder to take new ports"
            ) from error
