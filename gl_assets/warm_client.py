"""The launcher's side of the warm process: start it, ask it for runs, end it."""

import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import structlog
from dagster import serialize_value
from dagster._core.instance.ref import InstanceRef

from resources.core.errors import PlatformError

log = structlog.get_logger(__name__)

SWITCH_VARIABLE = "GL_WARM_RUNS"
"""`0` starts every run by the code server."""

_ANSWER_S = 10.0
_REPOSITORY = Path(__file__).resolve().parent.parent


class WarmProcess:
    """A warm process, started in the background when it is first wanted; safe in several threads."""

    def __init__(self) -> None:
        """Start nothing yet."""
        self._process: subprocess.Popen[bytes] | None = None
        self._version = ""
        self._ready = False
        self._lock = threading.Lock()

    def ensure(self, version: str) -> bool:
        """Return whether runs can be asked for now; start the process, and say no for now, where it does not run.

        Args:
            version: Names the code server's load of the code, empty where that is not known yet. Another one than last
                time means that configuration or code were loaded anew: the process is replaced, since what it holds
                is old.
        """
        if os.environ.get(SWITCH_VARIABLE) == "0":
            return False
        with self._lock:
            if not self._version:
                self._version = version  # it was started ahead, before anyone had asked for a run
            if self._process is not None and (self._process.poll() is not None or version != self._version):
                self._end()
            if self._process is None:
                self._start(version)
            if not self._ready and self._read(0.0) is not None:
                self._ready = True
                log.info("warm_process_ready")
            return self._ready

    def launch(self, run_id: str, instance_ref: InstanceRef) -> tuple[int, str] | None:
        """Return pid and start mark of the process that executes a run now, None if nobody could be asked.

        Raises:
            PlatformError: It was asked and does not answer: whether it executes the run is not known.
        """
        request = json.dumps({"run_id": run_id, "instance": serialize_value(instance_ref)})
        with self._lock:
            if self._process is None or self._process.stdin is None:
                return None
            try:
                self._process.stdin.write(request.encode() + b"\n")
                self._process.stdin.flush()
            except OSError:
                self._end()
                return None
            answer = self._read(_ANSWER_S)
            if answer is None:
                self._end()
                raise PlatformError(
                    f"run {run_id}: the warm process did not say within {_ANSWER_S:.0f} s whether it executes the run; "
                    "the run counts as failed, and what it did not store is asked for again"
                )
            return int(answer["pid"]), str(answer["started"])

    def close(self) -> None:
        """End the process, if there is one; runs that were forked from it go on."""
        with self._lock:
            self._end()

    def _start(self, version: str) -> None:
        self._version, self._ready = version, False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gl_assets.warm_process"],
            cwd=_REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def _end(self) -> None:
        if self._process is None:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process, self._ready = None, False

    def _read(self, timeout_s: float) -> Any:
        """Return the next answer, None if none came in time or the process has ended."""
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], timeout_s)[0]:
            return None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None
