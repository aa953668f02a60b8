"""Where handlers run: a few threads and one queue in which the more urgent overtakes the less urgent."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable

import structlog

from resources.agents.wire.message import URGENCY, Priority

log = structlog.get_logger(__name__)

Work = Callable[[], object]


class PriorityExecutor:
    """Threads that take the most urgent work first, and the longest waiting of the same urgency.

    One thread more takes critical work alone, so that an emergency waits for nobody whose handler has already begun.
    The threads start with the first work; several agents of a process may share one executor.
    """

    def __init__(self, threads: int = 4) -> None:
        """Prepare `threads` threads for anything and one for critical work."""
        self._lock = threading.Lock()
        self._any = threading.Condition(self._lock)
        self._critical = threading.Condition(self._lock)
        self._queue: list[tuple[int, int, Work]] = []
        self._numbers = itertools.count()
        self._ending = False
        self._threads = [
            threading.Thread(target=self._serve, args=(self._any, URGENCY["low"]), name=f"agent-{n}", daemon=True)
            for n in range(threads)
        ]
        self._threads.append(
            threading.Thread(
                target=self._serve, args=(self._critical, URGENCY["critical"]), name="agent-critical", daemon=True
            )
        )
        self._started = False

    def submit(self, priority: Priority, work: Work) -> None:
        """Have `work` done in a thread, before everything that waits with a lower priority.

        Raises:
            RuntimeError: The executor was shut down.
        """
        rank = URGENCY[priority]
        with self._lock:
            if self._ending:
                raise RuntimeError("work was given to an executor that is shut down")
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()
            heapq.heappush(self._queue, (rank, next(self._numbers), work))
            self._any.notify()
            if rank == URGENCY["critical"]:
                self._critical.notify()

    def waiting(self) -> int:
        """Return how much work has not begun."""
        with self._lock:
            return len(self._queue)

    def shutdown(self, *, wait: bool = True) -> None:
        """Take no more work, do what is queued and end the threads."""
        with self._lock:
            self._ending = True
            self._any.notify_all()
            self._critical.notify_all()
        if wait and self._started:
            for thread in self._threads:
                thread.join()

    def _serve(self, mine: threading.Condition, lowest: int) -> None:
        while (work := self._next(mine, lowest)) is not None:
            try:
                work()
            except Exception:
                # the threads serve every agent of the process: a fault in one agent's work must not end them
                log.exception("agent_work_failed")

    def _next(self, mine: threading.Condition, lowest: int) -> Work | None:
        with mine:
            while True:
                if self._queue and self._queue[0][0] <= lowest:
                    return heapq.heappop(self._queue)[2]
                if self._ending:
                    return None
                mine.wait()


class Jobs:
    """What one agent has in an executor that it may share: its own work can be counted, waited for and given back."""

    def __init__(self, executor: PriorityExecutor) -> None:
        """Put work into `executor`."""
        self._executor = executor
        self._idle = threading.Condition()
        self._open = 0
        self._leaving = False

    def submit(self, priority: Priority, run: Work, give_back: Work) -> None:
        """Have `run` called in a thread, or `give_back` if `leave` was called before its turn came.

        Raises:
            RuntimeError: The executor was shut down.
        """

        def work() -> None:
            try:
                (give_back if self._leaving else run)()
            finally:
                self._end_one()

        with self._idle:
            self._open += 1
        try:
            self._executor.submit(priority, work)
        except RuntimeError:
            self._end_one()
            raise

    def leave(self, timeout_s: float) -> bool:
        """Give back what has not begun and wait for what has; return whether it ended in time."""
        self._leaving = True
        with self._idle:
            return self._idle.wait_for(lambda: self._open == 0, timeout_s)

    def _end_one(self) -> None:
        with self._idle:
            self._open -= 1
            self._idle.notify_all()
