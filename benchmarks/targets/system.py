"""Memory and CPU of the whole platform, as they are: `gl up --demo` in a home of its own, looked at for two minutes.

Memory is the proportional set size: a page that several processes share is counted once. The simulated plant and its 99
agents are counted apart, since they stand for devices and agents that run elsewhere.
"""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from resources.embedded.programs import servers_home

Progress = Callable[[str], None]

SETTLE_S = 30.0
"""After everything has started: the first windows are closed and stored, first runs have loaded their code."""

LOOK_S = 120.0
EVERY_S = 1.0
_READY_S = 300.0
_STOP_S = 120.0
_MB = 1e6

PROGRAMS = (
    ("simulated", ("resources.demo_plant",)),
    ("dagster", ("dagster",)),
    ("orchestrator", ("agents", "serve")),
    ("collector", ("collect",)),
    ("database", ("postgres",)),
    ("broker", ("mosquitto",)),
)
"""Part of the system -> words in the command of its programs; the first that fits counts."""

_LAST_STARTED = "dagster._daemon"


def measure(progress: Progress) -> dict[str, float]:
    """Return memory and CPU of the platform without what is simulated, and of Dagster and the collector alone."""
    progress("starting the whole platform with its demo plant")
    with tempfile.TemporaryDirectory(prefix="gl_bench_system_") as name, _platform(Path(name)) as platform:
        watch = Watch(psutil.Process(platform.pid))
        watch.wait_until_up(platform)
        time.sleep(SETTLE_S)
        progress(f"looking at it for {LOOK_S:g} s")
        cores = watch.look()
    memory = {part: statistics.median(seen) for part, seen in watch.memory.items()}
    whole = [sum(seen) for seen in zip(*(m for part, m in watch.memory.items() if part != "simulated"), strict=True)]
    return {
        "system_memory_mb": round(statistics.median(whole), 1),
        "system_memory_peak_mb": round(max(whole), 1),
        "system_memory_dagster_mb": round(memory["dagster"], 1),
        "system_memory_collector_mb": round(memory["collector"], 1),
        "system_cpu_cores": round(sum(used for part, used in cores.items() if part != "simulated"), 2),
        "system_cpu_dagster_cores": round(cores["dagster"], 2),
    }


@contextmanager
def _platform(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield `gl up --demo`; it is stopped as Ctrl-C stops it."""
    home.chmod(0o755)  # the database's user has to reach its folder
    own = {"GL_HOME": str(home), "GL_SERVERS_HOME": str(servers_home())}
    # whatever is configured here is not what is measured
    env = {name: value for name, value in os.environ.items() if not name.startswith("GL_")} | own
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gl_assets.cli.main", "up", "--demo", "--port", "0"],
            cwd=Path(__file__).resolve().parents[2],
            env=env,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(_STOP_S)
            finally:
                process.kill()


@dataclass(slots=True)
class Watch:
    """What the processes below one process take, by part of the system."""

    root: psutil.Process
    memory: dict[str, list[float]] = field(default_factory=lambda: {part: [] for part, _ in PROGRAMS})
    """Part -> megabytes at every look."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Part -> CPU seconds that its processes have used so far, those that have ended included."""

    def wait_until_up(self, platform: subprocess.Popen[bytes]) -> None:
        """Return once the program that starts last runs.

        Raises:
            RuntimeError: It ended, or did not come up in time.
        """
        deadline = time.monotonic() + _READY_S
        while not any(_LAST_STARTED in command for command in self._commands().values()):
            if platform.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the platform did not come up: run `gl up --demo` to see why")
            time.sleep(EVERY_S)

    def look(self) -> dict[str, float]:
        """Look for LOOK_S; return the cores that each part has used on average."""
        self._look()
        for seen in self.memory.values():
            seen.clear()
        begun, before = time.monotonic(), self.cpu
        while (spent := time.monotonic() - begun) < LOOK_S:
            self._look()
            time.sleep(EVERY_S)
        return {part: (used - before[part]) / spent for part, used in self.cpu.items()}

    def _commands(self) -> Mapping[psutil.Process, str]:
        """Return the processes below the root, each with its own command and those of its forebears."""
        found: dict[psutil.Process, str] = {}
        below = [(self.root, "")]
        while below:
            process, above = below.pop()
            try:
                children, words = process.children(), " ".join(process.cmdline())
            except psutil.Error:
                continue
            if process.pid != self.root.pid:
                # a run belongs to the program that launched it, a database's worker to the database
                found[process] = f"{above} {words}".strip()
            below += [(child, found.get(process, "")) for child in children]
        return found

    def _look(self) -> None:
        memory, cpu = ({part: 0.0 for part, _ in PROGRAMS} for _ in range(2))
        for process, command in self._commands().items():
            part = part_of(command)
            if part is None:
                continue
            try:
                times, taken = process.cpu_times(), process.memory_full_info()
            except psutil.Error:
                continue
            # what a run has used is its parent's once it has ended: no run is too short to be seen
            cpu[part] += times.user + times.system + times.children_user + times.children_system
            memory[part] += getattr(taken, "pss", taken.uss) / _MB
        self.cpu = cpu
        for part, megabytes in memory.items():
            self.memory[part].append(megabytes)


def part_of(command: str) -> str | None:
    """Return the part of the system that a command belongs to; None of those that only keep it running."""
    return next((part for part, words in PROGRAMS if all(word in command for word in words)), None)
