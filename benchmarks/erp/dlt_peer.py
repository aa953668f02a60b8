"""The same records through the newest dlt with its `rest_api` source, into the same columns of the same PostgreSQL.

dlt lives in a virtual environment of its own under GL_HOME (`bench/dlt`), made here and kept: it never meets the
platform's packages. What is timed is `pipeline.run` alone, in that environment, each run into an empty data set.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from benchmarks.erp.pull import Ours
from benchmarks.erp.server import PAGE, BenchServer
from resources.core.errors import ConfigError

_PACKAGES = ("dlt[postgres]",)
_LIMIT_S = 900


def measure(
    ours: Ours, server: BenchServer, url: str, python: Path, repeats: int, progress: Callable[[str], None]
) -> dict[str, float | int | str]:
    """Return `pull_vs_dlt`, `pull_vs_dlt_delayed` and rates; `python` is what `environment` returned.

    The first without a delay: what either does with the pages. Where each page takes 100 ms, as in the second, both
    wait for the server most of their time, and the faster a machine is, the less there is to gain: a client that
    follows the pages and does nothing with them is itself only twice as fast as dlt.
    """
    mine, theirs, version = dict[str, float](), dict[str, float](), ""
    for kind in ("Direct", "Delayed"):
        seconds: tuple[list[float], list[float]] = ([], [])
        for number in range(repeats):
            progress(f"dlt, {kind.lower()}, {number + 1} of {repeats}")
            for dlt_turn in (number % 2 == 0, number % 2 == 1):
                if dlt_turn:
                    took, version = dlt_seconds(python, server, f"{kind}{server.pages}", url)
                    seconds[1].append(took)
                else:
                    ours.clear()
                    seconds[0].append(ours.land(f"{kind}{server.pages}"))
        mine[kind], theirs[kind] = statistics.median(seconds[0]), statistics.median(seconds[1])
    return {
        "pull_vs_dlt": round(theirs["Direct"] / mine["Direct"], 2),
        "pull_vs_dlt_delayed": round(theirs["Delayed"] / mine["Delayed"], 2),
        "dlt_per_s": round(server.pages * PAGE / theirs["Direct"]),
        "dlt_version": version,
    }


def environment(folder: Path, progress: Callable[[str], None]) -> Path:
    """Return the interpreter of the environment in `folder`, with the newest dlt that can be had.

    Raises:
        ConfigError: It has none, and none can be installed.
    """
    python = folder / "bin" / "python"
    progress("installing dlt into an environment of its own")
    if not python.exists():
        venv.create(folder, with_pip=True, clear=True)
    installed = _run([str(python), "-m", "pip", "install", "--quiet", "--upgrade", *_PACKAGES])
    # without the package index, one that was installed before serves as well
    if installed is None and _run([str(python), "-c", "import dlt, psycopg2"]) is None:
        raise ConfigError(
            f"{' '.join(_PACKAGES)} could not be installed into {folder}; is the package index reachable? The "
            "other parts need none: --only pull --only land --only memory"
        )
    return python


def dlt_seconds(python: Path, server: BenchServer, entity_set: str, url: str) -> tuple[float, str]:
    """Return how long dlt takes for a set, and its version."""
    said = _run([str(python), str(Path(__file__).with_name("dlt_pipeline.py")), server.base, entity_set, url])
    if said is None:
        raise RuntimeError(f"dlt did not load {entity_set}: run benchmarks/erp/dlt_pipeline.py by {python} by hand")
    found = json.loads(said.splitlines()[-1])
    if found["rows"] != int(entity_set.removeprefix("Delayed").removeprefix("Direct")) * PAGE:
        raise RuntimeError(f"dlt loaded {found['rows']} rows: a figure of this run says nothing")
    return float(found["seconds"]), str(found["version"])


def _run(command: list[str]) -> str | None:
    """Return what a command of the other environment says, None if it fails."""
    # nothing of this environment's packages and settings is to be seen there
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GL_", "DLT"))}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
            env={**surroundings, "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"},
        )
    except FileNotFoundError:
        return None
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:])
        return None
    return done.stdout
