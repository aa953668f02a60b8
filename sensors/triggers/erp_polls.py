"""Looking at the changes of ERP systems, several at once, in threads that may outlive the tick that began them.

A slow system thus holds up neither the others nor the daemon. What a look found is collected by the next tick.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter

import structlog

from gl_assets.erp.feeds import Feed
from resources.erp.connector import ErpClient
from resources.erp.kinds import connector
from resources.erp.pulling.peek import ChangeWatch, Connect, Days, Peek
from sensors.triggers.planning import LONGEST_PAUSE as LONGEST_PAUSE_OF_RUNS

log = structlog.get_logger(__name__)

READ_S = 60.0
"""How long a look reads; what does not come in that time is left to the run that lands it."""

LONGEST_PAUSE = timedelta(hours=1)
"""Longest time between two looks at a system that fails."""

Look = Callable[[Feed, ErpClient], Peek]
"""Looks at the changes of a feed, by the client of its system."""


@dataclass(frozen=True, slots=True)
class Polled:
    """When a feed was looked at last, how often in a row that failed, and the run that was asked for by what it saw."""

    at: float
    failures: int = 0
    asked_until: str = ""
    """Up to where that run lands changes, an instant by the system's clock; empty where none was asked for."""
    asks: int = 0
    """How often in a row a run was asked for: each before the last one failed."""

    def next_at(self, every: timedelta) -> float:
        """Return when it is looked at again; the pause doubles with each failure of a look or of a run."""
        of_looks = min(every * 2.0 ** min(self.failures, 10), max(every, LONGEST_PAUSE))
        of_runs = min(every * 2.0 ** min(max(self.asks - 1, 0), 10), max(every, LONGEST_PAUSE_OF_RUNS))
        return self.at + max(of_looks, of_runs).total_seconds()

    def runs_failed(self, position: datetime) -> int:
        """Return how many runs in a row left the cursor, which stands at `position`, before the end of their changes.

        No run works on the feed while it is looked at: one that has not moved the cursor has failed.
        """
        return self.asks if self.asked_until and position < datetime.fromisoformat(self.asked_until) else 0


def due_feeds(feeds: list[Feed], memory: Mapping[str, Polled], now: float) -> list[Feed]:
    """Return the feeds whose changes are to be looked at now, the one that waits longest first."""
    waiting = [
        (memory[str(feed)].next_at(feed.declared.poll_every) if str(feed) in memory else 0.0, feed)
        for feed in feeds
        if feed.declared.poll_every is not None
    ]
    return [feed for at, feed in sorted(waiting, key=itemgetter(0)) if at <= now]


@dataclass
class Looks:
    """The looks under way; one object a process, shared by all ticks."""

    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(8, thread_name_prefix="erp-look"))
    _clients: dict[str, ErpClient] = field(default_factory=dict)
    _under_way: dict[str, tuple[Feed, Future[Peek]]] = field(default_factory=dict)

    def begin(self, feeds: list[Feed], look: Look) -> None:
        """Begin to look at the changes of `feeds`, without those that are being looked at.

        Raises:
            ConfigError: A client cannot be built as the configuration says.
        """
        for feed in feeds:
            if str(feed) not in self._under_way:
                self._under_way[str(feed)] = (feed, self.threads.submit(look, feed, self._client(feed)))

    def collect(self, seconds: float) -> list[tuple[Feed, Future[Peek]]]:
        """Return the looks that are over; wait for them at most so long."""
        wait([future for _, future in self._under_way.values()], timeout=seconds)
        over = [(feed, future) for feed, future in self._under_way.values() if future.done()]
        for feed, _ in over:
            del self._under_way[str(feed)]
        return over

    def close(self) -> None:
        """End the threads, then close the clients."""
        self.threads.shutdown(cancel_futures=True)
        for client in self._clients.values():
            client.close()

    @property
    def waiting(self) -> list[str]:
        """Names of the feeds that are being looked at."""
        return sorted(self._under_way)

    def _client(self, feed: Feed) -> ErpClient:
        # kept open: a token lasts for many looks
        if feed.system not in self._clients:
            self._clients[feed.system] = connector(feed.settings.kind).client_factory(feed.system, feed.settings)
        return self._clients[feed.system]


def look_by(connect: Connect, days: Callable[[Feed], Days]) -> Look:
    """Return what looks at the changes of a feed, of the days that `days` says count."""

    def look(feed: Feed, client: ErpClient) -> Peek:
        return ChangeWatch(connect, client, feed.settings, feed.dataset, days(feed)).peek(READ_S)

    return look
