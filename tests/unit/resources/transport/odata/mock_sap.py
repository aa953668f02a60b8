"""mock-sap, an independent stand-in for SAP Gateway (V2, V4, CSRF, $batch), as a process on a free port."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from resources.embedded.ports import free_port


@contextmanager
def mock_sap(*options: str) -> Iterator[str]:
    """Run it with `options`; yield its address."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "mocksap", "--port", str(port), "--quiet", *options])
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "mock-sap did not start"
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
