"""The processes of `gl up`, kept running by supervisord: started in order, restarted when they die, stopped in reverse.

supervisord does the work; here is its configuration, and the few calls of its XML-RPC interface that `gl` needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
import xmlrpc.client
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from resources.core.errors import ConfigError, PlatformError
from resources.embedded.privileges import is_root
from resources.embedded.process import is_run_with

_LONGEST_SOCKET_PATH = 90
"""The kernel takes 107 bytes, and supervisord adds its pid while it binds."""

_HEADER = """[supervisord]
nodaemon = true
logfile = {home}/logs/supervisord.log
logfile_maxbytes = 10MB
logfile_backups = 2
pidfile = {home}/supervisord.pid
childlogdir = {home}/logs
silent = true
{user}
[unix_http_server]
file = {socket}
chmod = 0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
"""
_PROGRAM = """
[program:{name}]
command = {command}
priority = {priority}
autostart = false
autorestart = true
startsecs = 0
startretries = 1000000
stopsignal = {stop_signal}
stopwaitsecs = {stop_wait_s}
stopasgroup = {stop_group}
killasgroup = true
redirect_stderr = true
stdout_logfile = {log}
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 3
"""


@dataclass(frozen=True, slots=True)
class Program:
    """One process: what runs, and how it is stopped. Lower priority starts first and stops last."""

    name: str
    command: Sequence[str]
    priority: int
    ready: Callable[[], bool]
    """True once it does its work; `gl up` waits for it before it starts the next."""
    then: Callable[[], None] = lambda: None
    """Called once it is ready, before the next one starts."""
    stop_signal: str = "TERM"
    stop_wait_s: int = 30
    stop_group: bool = False
    """True signals the children of the process too: for programs that leave theirs behind."""


class Supervision:
    """supervisord over a list of programs, with its state and logs in `home`."""

    def __init__(self, home: Path, programs: Sequence[Program], *, env: Mapping[str, str]) -> None:
        """Remember what to run; `env` is the whole environment of every program."""
        self.home = home
        self.programs = sorted(programs, key=lambda program: program.priority)
        self._env = dict(env)
        self._daemon: subprocess.Popen[bytes] | None = None

    @property
    def _configuration_file(self) -> Path:
        return self.home / "supervisord.conf"

    def log(self, name: str) -> Path:
        """Return the log file of a program."""
        return self.home / "logs" / f"{name}.log"

    def start(self, progress: Callable[[str], None], *, ready_timeout_s: float = 180.0) -> None:
        """Start supervisord, then every program in order, each once the one before is ready.

        Raises:
            ConfigError: The home's name cannot be used.
            PlatformError: A program was not ready in time; everything is stopped, the message holds the end of its log.
        """
        if "%" in str(self.home):
            raise ConfigError(
                f"{self.home}: supervisord cannot work in a folder with % in its name; set GL_HOME to another one"
            )
        (self.home / "logs").mkdir(parents=True, exist_ok=True)
        self.end_earlier()
        self._configuration_file.write_text(self._configuration())
        self._daemon = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "supervisor.supervisord", "-c", str(self._configuration_file)],
            env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            # Ctrl-C reaches `gl` alone, which then stops everything in order
            start_new_session=True,
        )  # fmt: skip
        self._wait("supervisord", self._answers, 20.0)
        for program in self.programs:
            progress(f"starting {program.name}")
            self._call("startProcess", program.name, False)
            self._wait(program.name, program.ready, ready_timeout_s)
            self._then(program)

    def _then(self, program: Program) -> None:
        try:
            program.then()
        except BaseException:
            self.stop()
            raise

    def stop(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Stop every program in reverse order, then supervisord; a second Ctrl-C meanwhile does not leave orphans."""
        if self._daemon is None:
            return
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            for program in reversed(self.programs):
                progress(f"stopping {program.name}")
                self.stop_program(program.name)
            self._daemon.terminate()
            self._daemon.wait(60)
        finally:
            signal.signal(signal.SIGINT, previous)
            self._daemon = None

    def stop_program(self, name: str) -> None:
        """Stop one program and wait until it has ended; one that does not run is left alone."""
        with contextlib.suppress(xmlrpc.client.Fault, OSError):
            self._call("stopProcess", name, True)

    def start_program(self, name: str) -> None:
        """Start one program again."""
        self._call("startProcess", name, False)

    def states(self) -> dict[str, dict[str, Any]]:
        """Return name -> {statename, pid, spawnerr, ...} of every program, as supervisord says."""
        return {state["name"]: state for state in self._call("getAllProcessInfo")}

    def is_alive(self) -> bool:
        """Return whether supervisord itself runs."""
        return self._daemon is not None and self._daemon.poll() is None

    def end_earlier(self) -> None:
        """Stop what an earlier `gl up`, killed before it could clean up, left running in this home."""
        file = self.home / "supervisord.pid"
        pid = int(file.read_text().strip() or 0) if file.exists() else 0
        if not pid or not self._is_daemon(pid):
            return
        os.kill(pid, signal.SIGTERM)
        self._wait("the end of an earlier run", lambda: not self._is_daemon(pid), 120.0)

    def _is_daemon(self, pid: int) -> bool:
        return is_run_with(pid, "supervisord", "-c", self._configuration_file)

    def _configuration(self) -> str:
        text = _HEADER.format(home=self.home, socket=self._socket(), user="user = root\n" if is_root() else "")
        for program in self.programs:
            text += _PROGRAM.format(
                name=program.name,
                command=_quoted(shlex.join(program.command)),
                priority=program.priority,
                stop_signal=program.stop_signal,
                stop_wait_s=program.stop_wait_s,
                stop_group=str(program.stop_group).lower(),
                log=self.log(program.name),
            )
        return text

    def _socket(self) -> Path:
        inside = self.home / "supervisor.sock"
        if len(str(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        folder = Path(tempfile.gettempdir()) / f"gl-{hashlib.sha256(str(self.home).encode()).hexdigest()[:12]}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder / "supervisor.sock"

    def _call(self, method: str, *arguments: object) -> Any:
        transport = SupervisorTransport(None, None, f"unix://{self._socket()}")
        with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self._socket()))
            except OSError:
                return False
        return bool(self._call("getState")["statename"] == "RUNNING")

    def _wait(self, name: str, ready: Callable[[], bool], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not ready():
            if time.monotonic() > deadline or (self._daemon is not None and self._daemon.poll() is not None):
                tail = self._tail(name)
                self.stop()
                raise PlatformError(f"{name} was not ready in {timeout_s:.0f} s; the end of its log: {tail}")
            time.sleep(0.1)

    def _tail(self, name: str) -> str:
        log = self.log(name)
        return log.read_text(errors="replace")[-1500:].strip() if log.exists() else "no log"


def _quoted(text: object) -> str:
    # supervisord expands %(name)s in its configuration
    return str(text).replace("%", "%%")
