"""One thread that moves the bytes of any number of MQTT connections, and a few that connect them.

paho's own loop takes a thread for each client and `select`, which ends at 1,024 files; this takes epoll and one thread
for a hundred agents or a thousand.
"""

from __future__ import annotations

import heapq
import itertools
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)

_MISC_EVERY_S = 1.0


class Connection(Protocol):
    """What the network asks of a connection."""

    def on_readable(self) -> None:
        """Read what is there."""
        ...

    def on_writable(self) -> None:
        """Write what waits."""
        ...

    def on_second(self) -> None:
        """Look after keep-alive."""
        ...


class Network:
    """The event loop of the buses of one process; started by the first bus that is added."""

    def __init__(self, *, connecting_threads: int = 8) -> None:
        """Prepare; nothing runs yet."""
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._connections: set[Connection] = set()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._soon: deque[Callable[[], None]] = deque()
        self._to_write: deque[Connection] = deque()
        self._awake = False
        self._numbers = itertools.count()
        self._connectors = ThreadPoolExecutor(connecting_threads, thread_name_prefix="mqtt-connect")
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._selector.register(self._wake_reader, selectors.EVENT_READ, None)
        self._running = False
        self._thread: threading.Thread | None = None

    def add(self, connection: Connection) -> None:
        """Look after a connection from now on."""
        with self._lock:
            self._connections.add(connection)
            if self._thread is None:
                self._running = True
                self._thread = threading.Thread(target=self._run, name="mqtt-network", daemon=True)
                self._thread.start()

    def remove(self, connection: Connection) -> None:
        """Forget a connection."""
        with self._lock:
            self._connections.discard(connection)

    def connect_after(self, delay_s: float, connect: Callable[[], None]) -> None:
        """Run `connect`, which may block, in a connecting thread after a delay."""

        def submit() -> None:
            if self._running:
                self._connectors.submit(connect)

        self.call_after(delay_s, submit)

    def call_after(self, delay_s: float, call: Callable[[], None]) -> None:
        """Run `call`, which must not block, in the network's thread after a delay."""
        with self._lock:
            heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._numbers), call))
        self._wake()

    def call_soon(self, call: Callable[[], None]) -> None:
        """Run `call`, which must not block, in the network's thread as soon as it has served what is there."""
        self._soon.append(call)
        self._wake()

    def write_soon(self, connection: Connection) -> None:
        """Call a connection's `on_writable` as soon as what is there has been served, without asking the kernel first.

        Almost always the socket takes it; that spares two system calls and a turn of the loop for each packet.
        """
        self._to_write.append(connection)
        if threading.current_thread() is not self._thread:
            self._wake()

    def watch(self, sock: Any, connection: Connection) -> None:
        """Watch a socket for reading."""
        with self._lock:
            self._selector.register(sock, selectors.EVENT_READ, connection)

    def unwatch(self, sock: Any) -> None:
        """Stop watching a socket; must be called before it is closed."""
        with self._lock:
            try:
                self._selector.unregister(sock)
            except (KeyError, ValueError):
                log.debug("socket_was_not_watched")

    def want_write(self, sock: Any, connection: Connection, *, wanted: bool) -> None:
        """Watch a socket for writing too, or no longer."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if wanted else 0)
        with self._lock:
            try:
                self._selector.modify(sock, events, connection)
            except (KeyError, ValueError):
                log.debug("socket_was_not_watched")

    def close(self) -> None:
        """Stop the threads; every bus should have been stopped before."""
        self._running = False
        self._wake()
        if self._thread is not None:
            self._thread.join()
        self._connectors.shutdown(wait=True, cancel_futures=True)
        self._selector.close()
        self._wake_reader.close()
        self._wake_writer.close()

    def _wake(self) -> None:
        # written before it is looked at by the other side: a call that was put in before is seen either way
        if self._awake:
            return
        self._awake = True
        try:
            self._wake_writer.send(b"\0")
        except (BlockingIOError, OSError):
            log.debug("network_already_awake")

    def _run(self) -> None:
        second = time.monotonic()
        while self._running:
            for key, mask in self._selector.select(self._pause()):
                self._serve(key.data, mask)
            self._run_soon()
            self._run_timers()
            self._write_what_waits()
            if time.monotonic() - second >= _MISC_EVERY_S:
                second = time.monotonic()
                with self._lock:
                    connections = list(self._connections)
                for connection in connections:
                    _guarded(connection.on_second)

    def _serve(self, connection: Connection | None, mask: int) -> None:
        if connection is None:
            self._wake_reader.recv(65536)
            self._awake = False
            return
        if mask & selectors.EVENT_READ:
            _guarded(connection.on_readable)
        if mask & selectors.EVENT_WRITE:
            _guarded(connection.on_writable)

    def _pause(self) -> float:
        if self._soon or self._to_write:
            return 0.0
        with self._lock:
            due = self._timers[0][0] if self._timers else None
        return _MISC_EVERY_S if due is None else min(_MISC_EVERY_S, max(0.0, due - time.monotonic()))

    def _run_soon(self) -> None:
        # what these calls ask for themselves has its turn after the sockets
        for _ in range(len(self._soon)):
            _guarded(self._soon.popleft())

    def _write_what_waits(self) -> None:
        for _ in range(len(self._to_write)):
            _guarded(self._to_write.popleft().on_writable)

    def _run_timers(self) -> None:
        now = time.monotonic()
        while True:
            with self._lock:
                if not self._timers or self._timers[0][0] > now:
                    return
                call = heapq.heappop(self._timers)[2]
            _guarded(call)


def _guarded(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        # one thread serves every connection of the process: a fault in one must not end the others
        log.exception("network_callback_failed")
