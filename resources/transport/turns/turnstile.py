"""The way to an endpoint: requests of all threads, and of all processes with the same GL_HOME, pass one by one.

The state of an endpoint is a small file under GL_HOME, read and written under its lock (about 0.1 ms a request);
without a folder it is kept in the memory of this process.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import stamina
import structlog

from resources.core.clock import Clock
from resources.core.errors import ThrottledError
from resources.transport.turns.rate_limit import Gate

log = structlog.get_logger(__name__)

_ASK_AGAIN_S = 1.0
"""Whoever waits asks again at least this often, so that it is known to be alive."""

_LARGEST = 1 << 20
"""No state is larger: a waiter takes some 50 bytes."""

_numbers = itertools.count()

Keeper = Callable[[], AbstractContextManager[Gate]]
"""Lends the state of an endpoint to one at a time, and keeps what was made of it."""


class Turnstile:
    """Lets requests to the endpoints of one system pass; threads may share it."""

    def __init__(  # all but the first two by name
        self,
        source: str,
        per_minute: int | None,
        *,
        folder: Path | None,
        clock: Clock,
        patience_s: float,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepare.

        Args:
            source: Name of the system in messages.
            per_minute: Most requests to an endpoint in a minute; None: as many as come.
            folder: Where processes share the state; None: this process alone.
            clock: Whose monotonic seconds count.
            patience_s: A pause longer than this is not waited for.
            sleep: For tests.
        """
        self._source, self._per_minute, self._folder = source, per_minute, folder
        self._clock, self._patience_s, self._sleep = clock, patience_s, sleep
        self._lock = threading.Lock()
        self._keepers: dict[str, Keeper] = {}
        self._strained: set[str] = set()
        self.waited_s = 0.0
        """Time that requests of this process have waited for their turn."""

    def pass_through(self, endpoint: str, lane: str) -> None:
        """Wait until it is the turn of a request of `lane`.

        Raises:
            ThrottledError: The system asked for a pause that is longer than is waited for.
        """
        keeper = self._keeper(endpoint)
        ticket = f"{os.getpid()}-{next(_numbers)}"
        try:
            while (wait_s := self._asked(keeper, endpoint, ticket, lane)) > 0:
                self.waited_s += wait_s
                self._sleep(wait_s)
        except BaseException:
            with keeper() as gate:
                gate.leave(ticket)
            raise

    def _asked(self, keeper: Keeper, endpoint: str, ticket: str, lane: str) -> float:
        with keeper() as gate:
            now = self._clock.monotonic()
            held_s = gate.held_s(now)
            if stamina.is_testing():
                gate.held_until = 0.0  # the tests of a caller wait for no pause, as stamina does not
            elif self._patience_s < held_s:
                raise ThrottledError(
                    f"{self._source}: {endpoint} asked for a pause that ends in {held_s:.0f} s; it is not asked before",
                    source=self._source,
                    retry_after_s=held_s,
                )
            wait_s = gate.enter(ticket, lane, now, self._per_minute)
            if not gate.is_calm:
                self._strained.add(endpoint)
        return min(wait_s, _ASK_AGAIN_S)

    def throttled(self, endpoint: str, asked_s: float | None) -> float:
        """Let all requests to `endpoint` pause; return for how long."""
        with self._keeper(endpoint)() as gate:
            # no two processes come back at the same instant
            spread = asked_s if asked_s is not None else None
            pause_s = gate.pause(self._clock.monotonic(), spread) * (1.0 if asked_s is not None else _jitter())
        self._strained.add(endpoint)
        log.info("endpoint_throttled", source=self._source, endpoint=endpoint, pause_s=round(pause_s, 1))
        return pause_s

    def answered(self, endpoint: str) -> None:
        """Note that `endpoint` serves us."""
        if endpoint not in self._strained:
            return
        with self._keeper(endpoint)() as gate:
            gate.answered()
            if gate.is_calm:
                self._strained.discard(endpoint)

    def _keeper(self, endpoint: str) -> Keeper:
        with self._lock:
            if endpoint not in self._keepers:
                self._keepers[endpoint] = _memory() if self._folder is None else _file(self._folder, endpoint)
            return self._keepers[endpoint]


def _jitter() -> float:
    return random.uniform(1.0, 1.25)


def _memory() -> Keeper:
    gate, lock = Gate(), threading.Lock()

    @contextmanager
    def lend() -> Iterator[Gate]:
        with lock:
            yield gate

    return lend


def _file(folder: Path, endpoint: str) -> Keeper:
    name = hashlib.sha256(endpoint.encode()).hexdigest()[:32]
    path, lock = folder / f"{name}.json", threading.Lock()
    folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lend() -> Iterator[Gate]:
        # the lock of a file is the process's: threads need one of their own
        with lock:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                held = os.pread(handle, _LARGEST, 0)
                gate = _loaded(held)
                try:
                    yield gate
                finally:
                    # written over in place: to cut the file off first would cost a wait for the disk
                    text = json.dumps(gate.dumped()).encode().ljust(len(held))
                    if text != held:
                        os.pwrite(handle, text, 0)
            finally:
                os.close(handle)

    return lend


def _loaded(text: bytes) -> Gate:
    try:
        return Gate.loaded(json.loads(text))
    except (ValueError, TypeError, KeyError):  # new, or torn by a crash: begin anew
        return Gate()
