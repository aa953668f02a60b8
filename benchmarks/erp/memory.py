"""How much memory pulling ERP records takes: 10,000 and 100,000 of them, each in processes of their own.

What counts is the highest size of the process during the pull, less its size when everything is loaded and connected
and nothing was read yet. `python -m benchmarks.erp.memory SERVER PAGES`, GL_DATABASE_URL set, is the child.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import psutil

from benchmarks.erp.server import BenchServer

PROCESSES = 3
"""Processes by size, in turns, of which the median counts: how far ahead the threads of one pull get is chance."""
_MIB = 1_048_576
_LOOK_S = 0.002
"""How often the size is looked at where the kernel cannot be asked for the highest."""


def measure(server: BenchServer, url: str, progress: Callable[[str], None]) -> dict[str, float]:
    """Return `rss_growth_mb` of all records, `rss_growth_tenth_mb` of a tenth, and `rss_growth_ratio` of the two."""
    tenth = max(1, server.pages // 10)
    growth: dict[int, list[float]] = {tenth: [], server.pages: []}
    for number in range(PROCESSES):
        for pages, found in growth.items():
            progress(f"memory, {pages:,} pages, process {number + 1} of {PROCESSES}")
            found.append(_growth(server, url, pages))
    whole, part = (statistics.median(growth[pages]) for pages in (server.pages, tenth))
    return {
        "rss_growth_mb": round(whole, 1),
        "rss_growth_tenth_mb": round(part, 1),
        "rss_growth_ratio": round(whole / part, 3),
    }


def _growth(server: BenchServer, url: str, pages: int) -> float:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.erp.memory", server.base, str(pages)],
        # not as an argument: everybody on the machine sees those, and the password is in it
        env={**os.environ, "GL_DATABASE_URL": url},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    return float(json.loads(done.stdout.splitlines()[-1])["growth_mb"])


class _Highest:
    """The highest size of this process between `begin` and `end`."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._end = threading.Event()
        self._seen = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> int:
        """Forget what was before, and return the size now."""
        gc.collect()
        try:
            # Linux, proc(5): 5 resets the highest size to the present one
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            self._thread = threading.Thread(target=self._look, daemon=True)
            self._thread.start()
        return int(self._process.memory_info().rss)

    def end(self) -> int:
        """Return the highest size."""
        self._end.set()
        if self._thread is not None:
            self._thread.join()
            return self._seen
        status = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))

    def _look(self) -> None:
        while not self._end.wait(_LOOK_S):
            self._seen = max(self._seen, self._process.memory_info().rss)


def _child(base: str, url: str, pages: int) -> None:
    import psycopg
    import structlog

    from benchmarks.erp.pull import SECRET_VARIABLE, Ours

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    os.environ[SECRET_VARIABLE] = "bench"
    with tempfile.TemporaryDirectory() as home, psycopg.connect(url) as connection:
        os.environ["GL_HOME"] = home
        ours = Ours(connection, BenchServer(base, pages))
        ours.clear()
        # one page first: what is imported and allocated at the first pull is there in every pull of every process
        ours.land("Direct1")
        ours.clear()
        highest = _Highest()
        idle = highest.begin()
        ours.land(f"Direct{pages}")
        growth = highest.end() - idle
    sys.stdout.write(json.dumps({"growth_mb": growth / _MIB, "idle_mb": idle / _MIB}) + "\n")


if __name__ == "__main__":
    _child(sys.argv[1], os.environ["GL_DATABASE_URL"], int(sys.argv[2]))
