"""How the calls to foreign systems went: a small durable file that outlives the runs which made the calls.

Runs come and go while the collector serves `/metrics` and `/healthz`; so a run leaves its figures in
`GL_HOME/metrics/erp.json`, replaced as a whole, and whoever serves metrics reads it with `read_stats`::

    {"version": 1,
     "systems": {
       "sap": {
         "last_call_at":     "2026-11-22T02:15:07.123456+00:00",   last request sent, RFC 3339 UTC
         "last_ok_at":       "2026-11-22T02:15:07.223456+00:00",   last answer that was data; null: never
         "last_error_at":    null,                                 last request that failed; null: never
         "last_error":       null,                                 kind of that failure: AuthError, ...
         "token_expires_at": "2026-11-22T03:15:00+00:00",          expiry of the last token fetched; null: none
         "calls": 12, "errors": 0,                                 since the file began
         "response_time_s": {"count": 12, "sum": 1.84, "p95": 0.31},   sum since the file began, p95 of `recent`
         "recent": [0.12, 0.31],                                   last 256 response times, oldest first
         "requests": 14, "connections_opened": 1, "reuse": 0.93,   since the file began; reuse = 1 - opened / requests
         "waited_s": 0.0,                                          waited for their turn (rate limit, pauses), as above
         "pool": {"active": 0, "idle": 1, "maximum": 50}           connections when the file was last written
       }}}

A system is healthy as long as `last_error_at` is null or before `last_ok_at`. Tokens live in the memory of a run: one
that has expired between two runs is no fault, one that expired before `last_ok_at` was used up to its end.
"""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from resources.core.clock import Clock, SystemClock
from resources.core.process.durable_file import replace_file

RECENT = 256
"""How many response times p95 looks back on."""

FLUSH_INTERVAL_S = 2.0
"""Figures are written this often while calls are made, and at the end."""


def stats_path(home: Path) -> Path:
    """Return where the figures lie under GL_HOME."""
    return home / "metrics" / "erp.json"


def read_stats(home: Path) -> dict[str, dict[str, Any]]:
    """Return system -> figures as the module describes; empty if none were written, or the file is damaged."""
    try:
        held = json.loads(stats_path(home).read_text(encoding="utf-8"))
        systems = held["systems"] if held["version"] == 1 else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return systems if isinstance(systems, dict) else {}


@dataclass(slots=True)
class _Pending:
    """What this process has seen since it last wrote."""

    calls: int = 0
    errors: int = 0
    times_s: list[float] = field(default_factory=list)
    latest: dict[str, str | None] = field(default_factory=dict)
    wire: dict[str, float] = field(default_factory=dict)
    """Requests, connections opened and seconds waited since it last wrote."""
    pool: dict[str, float] = field(default_factory=dict)


_WIRE = {"requests": "requests", "opened": "connections_opened", "waited_s": "waited_s"}
"""Figures of a client that only grow -> their names in the file."""


class CallStats:
    """Collects the figures of one system in this process and merges them into the file; threads may share it."""

    def __init__(self, system: str, home: Path, *, clock: Clock | None = None) -> None:
        """Prepare; the file is touched only after the first call."""
        self.home = home
        self._system = system
        self._path = stats_path(home)
        self._clock: Clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._pending = _Pending()
        self._written_at = self._clock.monotonic()
        self._figures: Callable[[], dict[str, float]] | None = None
        self._counted: dict[str, float] = {}

    def watch(self, figures: Callable[[], dict[str, float]]) -> None:
        """Write what `figures` gives of the client's connections beside the rest (`Exchange.figures`)."""
        self._figures = figures

    def answered(self, seconds: float) -> None:
        """Count a call that brought data after `seconds`."""
        with self._lock:
            self._note(last_call_at=self._clock.now(), last_ok_at=self._clock.now())
            self._pending.calls += 1
            self._pending.times_s.append(seconds)
            self._maybe_flush()

    def failed(self, kind: str) -> None:
        """Count a call that brought none; `kind` is the error's class."""
        with self._lock:
            self._note(last_call_at=self._clock.now(), last_error_at=self._clock.now())
            self._pending.latest["last_error"] = kind
            self._pending.calls += 1
            self._pending.errors += 1
            self._maybe_flush()

    def token_until(self, expires_at: datetime | None) -> None:
        """Remember when the token in use expires."""
        if expires_at is not None:
            with self._lock:
                self._note(token_expires_at=expires_at)

    def flush(self) -> None:
        """Write what is pending."""
        with self._lock:
            self._flush()

    def _note(self, **instants: datetime) -> None:
        self._pending.latest.update({name: instant.isoformat() for name, instant in instants.items()})

    def _maybe_flush(self) -> None:
        if self._clock.monotonic() - self._written_at >= FLUSH_INTERVAL_S:
            self._flush()

    def _flush(self) -> None:
        self._written_at = self._clock.monotonic()
        if not self._look_at_pool() and not self._pending.latest:
            return
        pending, self._pending = self._pending, _Pending()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(self._path.with_suffix(".lock")):
            systems = read_stats(self._path.parent.parent)
            systems[self._system] = _merged(systems.get(self._system, {}), pending)
            replace_file(self._path, {"version": 1, "systems": systems})

    def _look_at_pool(self) -> bool:
        """Take the figures of the client's connections; return whether they changed."""
        now = self._figures() if self._figures is not None else {}
        if now == self._counted:
            return False
        for name, written in _WIRE.items():
            self._pending.wire[written] = now[name] - self._counted.get(name, 0)
        self._pending.pool = {name: now[name] for name in ("active", "idle", "maximum")}
        self._counted = now
        return True


def _merged(held: dict[str, Any], new: _Pending) -> dict[str, Any]:
    recent = [*held.get("recent", []), *new.times_s][-RECENT:]
    before = held.get("response_time_s", {})
    figures: dict[str, Any] = {
        name: _later(held.get(name), new.latest.get(name))
        for name in ("last_call_at", "last_ok_at", "last_error_at", "token_expires_at")
    }
    figures["last_error"] = new.latest.get("last_error", held.get("last_error"))
    figures["calls"] = held.get("calls", 0) + new.calls
    figures["errors"] = held.get("errors", 0) + new.errors
    figures["response_time_s"] = {
        "count": before.get("count", 0) + len(new.times_s),
        "sum": before.get("sum", 0.0) + sum(new.times_s),
        "p95": _p95(recent),
    }
    figures["recent"] = recent
    for name in _WIRE.values():
        figures[name] = held.get(name, 0) + new.wire.get(name, 0)
    figures["reuse"] = 1 - figures["connections_opened"] / figures["requests"] if figures["requests"] else None
    figures["pool"] = new.pool or held.get("pool", {})
    return figures


def _later(held: str | None, new: str | None) -> str | None:
    # all are RFC 3339 in UTC, but their fractions differ in length, so they are compared as instants
    if held is None or new is None:
        return new or held
    return max(held, new, key=datetime.fromisoformat)


def _p95(times_s: list[float]) -> float | None:
    return sorted(times_s)[min(len(times_s) - 1, int(0.95 * len(times_s)))] if times_s else None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
