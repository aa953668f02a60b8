"""Code server, webserver and daemon as `gl up` runs them, without the rest: for benchmarks and fault tests."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import yaml

from resources.embedded.ports import free_port, is_listening

REPOSITORY = Path(__file__).resolve().parent.parent


class DagsterStack:
    """The three processes of Dagster in `home`; each can be killed and started again."""

    def __init__(self, home: Path, env: dict[str, str], *, webserver: bool = True) -> None:
        """Prepare the folder; nothing runs yet. `env` adds to this process's environment."""
        self.home = home
        self.folder = home / "dagster"
        self.folder.mkdir(parents=True, exist_ok=True)
        link = self.folder / "dagster.yaml"
        link.unlink(missing_ok=True)
        link.symlink_to(REPOSITORY / "dagster.yaml")
        self.env = {**os.environ, "GL_HOME": str(home), "DAGSTER_HOME": str(self.folder), **env}
        self.code_port, self.ui_port = free_port(), free_port()
        self._webserver = webserver
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start what does not run, each once the one before is ready."""
        self.start_one("code", self._code(), lambda: is_listening(self.code_port))
        if self._webserver:
            self.start_one("webserver", self._ui(), self._ui_answers)
        self.start_one("daemon", self._daemon(), lambda: True)

    def start_one(self, name: str, command: list[str], ready: Callable[[], bool], timeout_s: float = 120.0) -> None:
        """Start one process and wait until it is ready."""
        running = self.processes.get(name)
        if running is not None and running.poll() is None:
            return
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self.processes[name].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not come up: {self.log(name)[-2000:]}")
            time.sleep(0.1)

    def log(self, name: str) -> str:
        """Return what a process has written."""
        path = self.home / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, name: str) -> None:
        """End one process and its children as a power cut would."""
        self._signal(name, signal.SIGKILL)
        self.processes[name].wait(10)

    def stop(self) -> None:
        """End everything, in reverse order."""
        for name in reversed(list(self.processes)):
            self._signal(name, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.processes[name].wait(15)
            self._signal(name, signal.SIGKILL)
            self.processes[name].wait(10)

    def _signal(self, name: str, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.processes[name].pid, number)

    def _workspace(self) -> str:
        path = self.folder / "workspace.yaml"
        location = {"host": "127.0.0.1", "port": self.code_port, "location_name": "gl"}
        path.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}))
        return str(path)

    def _code(self) -> list[str]:
        return [
            sys.executable, "-m", "dagster", "api", "grpc", "-m", "gl_assets.definitions", "-d", str(REPOSITORY),
            "-h", "127.0.0.1", "-p", str(self.code_port), "--location-name", "gl", "--inject-env-vars-from-instance",
            "--max-workers", "16",
        ]  # fmt: skip

    def _ui(self) -> list[str]:
        return [sys.executable, "-m", "dagster_webserver", "-w", self._workspace(), "-p", str(self.ui_port)]

    def _daemon(self) -> list[str]:
        return [sys.executable, "-m", "dagster._daemon", "run", "-w", self._workspace()]

    def _ui_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.ui_port}/server_info", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False
