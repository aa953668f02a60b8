"""How much memory 1,000 readings, or 1,000 records, take at most on their whole way into the table.

The larger of two figures: how far a process grows beyond its size before, and what Python and NumPy have allocated at
most, which also counts what fits into memory that the process holds already. A few thousand go before, so that nothing
counts that a process needs once.
`python -m benchmarks.targets.memory readings|records FOLDER BASE`, GL_DATABASE_URL set, is what is measured.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path

import psutil

from benchmarks.targets.place import Place

WARM = 3
_LOOK_S = 0.001
_MB = 1e6


def taken_mb(kind: str, here: Place, base: str) -> float:
    """Return the megabytes that a thousand takes in a process of its own.

    Args:
        kind: readings or records.
        here: Folder and database.
        base: Address of the ERP service.
    """
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.targets.memory", kind, str(here.folder), base],
        # not as an argument: everybody on the machine sees those, and the password is in it
        env={**os.environ, "GL_DATABASE_URL": here.database_url},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).resolve().parents[2],
    )
    return float(json.loads(done.stdout.splitlines()[-1])["taken_mb"])


def highest_mb(work: Callable[[], object]) -> float:
    """Return the memory that `work` takes at most, once it has been done WARM times."""
    for _ in range(WARM):
        work()
    grown = _grown_mb(work)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    work()
    allocated = (tracemalloc.get_traced_memory()[1] - before) / _MB
    tracemalloc.stop()
    return max(grown, allocated)


def _grown_mb(work: Callable[[], object]) -> float:
    gc.collect()
    process, ended, seen = psutil.Process(), threading.Event(), []
    before = process.memory_info().rss

    def look() -> None:
        while not ended.wait(_LOOK_S):
            seen.append(process.memory_info().rss)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        work()
    finally:
        ended.set()
        thread.join()
    return float(max([*seen, process.memory_info().rss]) - before) / _MB


def _readings(folder: Path, url: str) -> float:
    from benchmarks.targets import plant
    from gl_assets.scada.persist import persist_window
    from resources.databases.timescale.window_store.readings import ReadingsStore

    config, revisions = plant.configuration(1_000), count(1)
    (held,) = plant.windows(folder / "memory", config, plant.seconds(1_000, 1))
    with ReadingsStore(url) as store:
        return highest_mb(
            lambda: persist_window(replace(held, revision=next(revisions)), store, config, run_id="memory")
        )


def _records(folder: Path, url: str, base: str) -> float:
    from benchmarks.targets import erp_server as stand_in
    from benchmarks.targets.erp import Pulling
    from resources.databases.timescale.connection import connect

    config, day = stand_in.configuration(base, folder), stand_in.full_day()
    with connect(url) as connection:
        pulling = Pulling(connection, config)

        def pull() -> None:
            pulling.clear()
            pulling.pull("financial_transactions", day)

        return highest_mb(pull)


def _main(kind: str, folder: Path, url: str, base: str) -> None:
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    taken = _readings(folder, url) if kind == "readings" else _records(folder, url, base)
    sys.stdout.write(json.dumps({"taken_mb": round(taken, 2)}) + "\n")


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), os.environ["GL_DATABASE_URL"], sys.argv[3])
