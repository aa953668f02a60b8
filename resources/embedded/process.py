"""One child process: started, waited for, stopped; its output in a log file. And one of an earlier run, found again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import psutil

from resources.core.errors import UnreachableError

_POLL_S = 0.02


class ServerProcess:
    """A server run as a child of this process."""

    def __init__(self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None) -> None:
        """Remember what to run; `env` is added to this process's environment."""
        self.name = name
        self.command = list(command)
        self.log = log
        self._env = {**os.environ, **(env or {})}
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running child, 0 if there is none."""
        return self._child.pid if self._child is not None and self._child.poll() is None else 0

    def start(self, ready: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Start the child and return once `ready()` is true.

        Raises:
            UnreachableError: It ended, or was not ready in time; the message holds the end of its log.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._env,
                # a Ctrl-C of the terminal is for the parent, which stops its servers in order
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + timeout_s
        while not ready():
            if self._child.poll() is not None:
                raise UnreachableError(
                    f"{self.name} ended with {self._child.returncode} at start: {self.tail()}", source=self.name
                )
            if time.monotonic() > deadline:
                self.stop()
                raise UnreachableError(
                    f"{self.name} was not ready in {timeout_s:.0f} s: {self.tail()}", source=self.name
                )
            time.sleep(_POLL_S)

    def stop(self, how: signal.Signals = signal.SIGTERM, *, timeout_s: float = 30.0) -> None:
        """Send `how`, wait, and kill what does not end in time; nothing happens if it does not run."""
        if self._child is None:
            return
        if self._child.poll() is None:
            self._child.send_signal(how)
        try:
            self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        self._child = None

    def kill(self) -> None:
        """End the child as `kill -9` does."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
            self._child = None

    def tail(self, characters: int = 600) -> str:
        """Return the end of the log, on one line."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return " | ".join(text[-characters:].split("\n")).strip(" |") or "no output"


def is_run_with(pid: int, program: str, option: str, path: Path) -> bool:
    """Return whether process `pid` lives, and is `program` started with `option` and then `path`.

    The number alone says nothing, nor does the name: after a restart of the machine a pid that was kept in a file
    belongs to whatever program came next.
    """
    try:
        words = psutil.Process(pid).cmdline()
    except (psutil.Error, ValueError, OverflowError):
        return False
    wanted = path.resolve()
    return any(program in word for word in words) and any(
        flag == option and Path(value).resolve() == wanted for flag, value in pairwise(words)
    )
