"""How long a closed window takes to its committed row, under the processes of `gl up`.

`python -m benchmarks.window_to_table --windows 10` prints the figures: windows of one minute, 200 sensors at 1 s.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg

from benchmarks.dagster_stack import DagsterStack
from resources.core.clock import to_micros
from resources.core.configuration.settings import parse_yaml
from resources.core.readings import ReadingBatch, readings_batch
from resources.databases.timescale.migrate import migrate
from resources.databases.timescale.window_store.ledger import entries
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import find_programs
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.reader import BufferReader

SENSORS = 200
_HEAD = """
site: bench
start: {start}
window: 1m
collector: {{name: bench}}
sources:
  line:
    kind: mqtt
    broker: {{host: 127.0.0.1, port: 1883}}
    client_id: bench
    topic_filters: ["t/#"]
    tags:
"""


def run(
    *,
    windows: int = 10,
    folder: Path | None = None,
    webserver: bool = True,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Return `window_to_table_s` with p50, p95 and max, and of how many `windows`.

    Args:
        windows: How many windows of one minute to wait for, after a first one that warms everything up.
        folder: Where the servers live; a temporary folder if None.
        webserver: Whether the web UI runs, too, as under `gl up`.
        progress: Called with a line per window.
    """
    say = progress or (lambda line: None)
    with tempfile.TemporaryDirectory(dir=folder, prefix="gl-bench-") as scratch:
        home = Path(scratch)
        home.chmod(0o755)  # the unprivileged user of the server has to reach its folder
        postgres = EmbeddedPostgres(home / "postgres", find_programs(say))
        postgres.start()
        try:
            migrate(postgres.url())
            return _measure(home, postgres, windows, webserver, say)
        finally:
            postgres.stop()


def _measure(
    home: Path, postgres: EmbeddedPostgres, windows: int, webserver: bool, say: Callable[[str], None]
) -> dict[str, Any]:
    text = configuration_text()
    (home / "integrations.yaml").write_text(text)
    config = parse_yaml(text, Integrations, name="integrations.yaml")
    stack = DagsterStack(
        home,
        {
            "GL_CONFIG": str(home / "integrations.yaml"),
            "GL_DATABASE_URL": postgres.url(),
            "GL_DAGSTER_POSTGRES_URL": postgres.url("dagster").replace("postgresql://", "postgresql+psycopg2://"),
        },
        webserver=webserver,
    )
    with Feed(home / "buffer", config):
        try:
            stack.start()
            seconds = _wait_for(home, postgres.url(), windows, say)
        finally:
            stack.stop()
    p50, p95 = (round(float(np.percentile(seconds, share)), 2) for share in (50, 95))
    return {
        "window_to_table_s": {"p50": p50, "p95": p95, "max": round(max(seconds), 2)},
        "windows": len(seconds),
    }


def _wait_for(home: Path, url: str, windows: int, say: Callable[[str], None]) -> list[float]:
    """Wait until so many windows, closed after Dagster came up, are stored; return how long each took."""
    since, reader = datetime.now(UTC), BufferReader(home / "buffer")
    deadline = time.monotonic() + 60.0 * (windows + 3)
    found: dict[datetime, float] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        while len(found) < windows + 1:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {len(found)} of {windows + 1} windows were stored; logs in {home}")
            closed = {w.window_start: w.closed_at for w in reader.windows() if w.closed_at > since and w.revision == 1}
            for entry in entries(connection, sorted(set(closed) - set(found))):
                found[entry.window_start] = (entry.stored_at - closed[entry.window_start]).total_seconds()
                say(f"window {entry.window_start:%H:%M}: {found[entry.window_start]:.2f} s, {entry.rows} rows")
            time.sleep(0.5)
    return [found[start] for start in sorted(found)][1:]


def configuration_text() -> str:
    """Return a configuration of 200 tags whose first window begins now."""
    tags = "".join(f"      - {{sensor_id: S{n:03}, unit: Cel, topic: t/{n}}}\n" for n in range(SENSORS))
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=1)
    return _HEAD.format(start=start.isoformat()) + tags


class Feed:
    """A thread that does the collector's part: one reading per sensor and second, a tick five times a second."""

    def __init__(self, folder: Path, config: Integrations) -> None:
        """Open the buffer."""
        self._catalog = config.catalog()
        self._buffer = WindowBuffer(
            folder,
            collector=config.collector.name,
            grid=config.grid,
            start=config.start,
            catalog=self._catalog,
            grace=config.grace,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feed", daemon=True)

    def __enter__(self) -> None:
        """Begin."""
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        """End."""
        self._stop.set()
        self._thread.join(10)
        self._buffer.close()

    def _work(self) -> None:
        keys, beat = np.arange(len(self._catalog)), 0
        while not self._stop.wait(0.2):
            beat += 1
            if beat % 5 == 0:
                now = to_micros(datetime.now(UTC))
                values = 20 + 5 * np.sin(keys + beat / 50)
                self._buffer.append(
                    ReadingBatch(
                        "line", readings=readings_batch(np.full(len(keys), now), keys, values, np.zeros(len(keys)), now)
                    )
                )
                self._buffer.commit()
            self._buffer.tick()


def _say(line: str) -> None:
    os.write(2, f"{line}\n".encode())


def main() -> None:
    """Print the figures as JSON; progress goes to stderr."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--no-webserver", action="store_true")
    options = parser.parse_args()
    found = run(
        windows=options.windows,
        webserver=not options.no_webserver,
        progress=_say,
    )
    os.write(1, f"{json.dumps(found)}\n".encode())


if __name__ == "__main__":
    main()
