"""The embedded database: TimescaleDB (or plain PostgreSQL from a wheel) on loopback, with a generated password.

`prepare()` makes the cluster; then either `start()` runs it as a child of this process, or a supervisor runs
`command()`. Data survive kill -9: fsync is on, and PostgreSQL recovers from its log at the next start.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg import sql

from resources.core.errors import PlatformError, UnreachableError
from resources.embedded.ports import remembered_port
from resources.embedded.privileges import drop_prefix, give_to_server
from resources.embedded.process import ServerProcess, is_run_with
from resources.embedded.programs import ServerPrograms

USER = "gl"
DATABASES = ("gl", "dagster")
"""The platform's database and the one of Dagster's own storage."""

ATTACH_TIMEOUT_S = 60.0
"""How long a server that runs, and takes no connections yet, is waited for."""

_CONF = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
fsync = {fsync}
synchronous_commit = {fsync}
full_page_writes = {fsync}
"""
_TIMESCALE_CONF = """
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
# the Apache edition has no jobs; with 0 workers a template database can be cloned, too
timescaledb.max_background_workers = 0
"""
_ENV = {"LC_ALL": "C.UTF-8", "TZ": "UTC"}


class EmbeddedPostgres:
    """A PostgreSQL cluster in `home/data`; `url()` is complete once `prepare()` has run."""

    def __init__(
        self, home: Path, programs: ServerPrograms, *, port: int = 0, insecure_lose_data_on_power_cut: bool = False
    ) -> None:
        """Remember where; nothing happens yet.

        Args:
            home: Folder of data, log, password and port.
            programs: From `find_programs`.
            port: 0 keeps the last port where it is free, else takes another.
            insecure_lose_data_on_power_cut: True switches fsync off: for tests alone.
        """
        self.home = home.absolute()
        self.data = self.home / "data"
        self._programs = programs
        self._wanted_port = port
        self._fsync = not insecure_lose_data_on_power_cut
        self._prefix: list[str] = []
        self._process: ServerProcess | None = None
        self.port = 0

    def url(self, database: str = DATABASES[0]) -> str:
        """Return `postgresql://user:password@127.0.0.1:port/database`: a secret."""
        password = (self.home / "password").read_text().strip()
        return f"postgresql://{USER}:{password}@127.0.0.1:{self.port}/{database}"

    def prepare(self) -> None:
        """Make the cluster if it is not there, choose the port, write the configuration.

        Raises:
            PlatformError: initdb failed; the message holds its words. Or a server runs on the cluster.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        self._prefix = drop_prefix(self.data, self._programs.bin_dir)
        running = self._running_pid()
        if running:
            raise UnreachableError(
                f"a database server (process {running}) already runs on {self.data}: try again, or stop it",
                source="postgres",
            )
        if not (self.data / "PG_VERSION").exists():
            self._initdb()
        self.port = remembered_port(self.home / "port", self._wanted_port)
        conf = _CONF.format(port=self.port, fsync="on" if self._fsync else "off")
        (self.data / "gl.conf").write_text(conf + (_TIMESCALE_CONF if self._programs.has_timescaledb else ""))
        give_to_server(self.data, prefix=self._prefix)

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground; SIGINT is its fast, clean stop."""
        return [*self._prefix, str(self._programs.postgres), "-D", str(self.data)]

    def start(self) -> None:
        """Run the server as a child, and return when it takes connections and both databases exist.

        Raises:
            UnreachableError: It did not come up; the message holds the end of its log. Or one runs already.
        """
        self.prepare()
        self._process = ServerProcess("postgres", self.command(), log=self.home / "server.log", env=_ENV)
        self._process.start(self.is_ready)
        self.create_databases()

    def attach(self, *, timeout_s: float = ATTACH_TIMEOUT_S) -> bool:
        """Take up the server that another process already runs on this cluster; return whether there is one.

        One that starts, recovers or has no connection left is waited for: it is somebody's, and never ended here.

        Raises:
            UnreachableError: It runs, and took no connection in `timeout_s`; the message holds its last answer.
        """
        deadline = time.monotonic() + timeout_s
        while pid := self._running_pid():
            refusal = self._refusal()
            if not refusal:
                return True
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"the database server (process {pid}) on {self.data} took no connection in {timeout_s:.0f} s "
                    f"({refusal}) and was left running: try again; its log says what it does",
                    source="postgres",
                )
            time.sleep(0.1)
        return False

    def end_forgotten(self) -> None:
        """Stop a server that an earlier, killed process left running on this cluster.

        For `gl up` alone, under its lock: to everyone else such a server is the running platform's.

        Raises:
            UnreachableError: It does not stop.
        """
        pid = self._running_pid()
        if not pid:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
        deadline = time.monotonic() + 30
        while self._is_server(pid):
            if time.monotonic() > deadline:
                raise UnreachableError(
                    f"an earlier database server (process {pid}) on {self.data} does not stop: end it by hand",
                    source="postgres",
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the child cleanly."""
        if self._process is not None:
            self._process.stop(signal.SIGINT)

    def kill(self) -> None:
        """End the server and all its backends as a power cut would."""
        if self._process is not None:
            self._process.kill()

    def is_ready(self) -> bool:
        """Return whether the server takes connections."""
        return not self._refusal()

    def create_databases(self) -> None:
        """Create the databases that are not there yet."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            existing = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
            for name in DATABASES:
                if name not in existing:
                    connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _running_pid(self) -> int:
        """Return the process of the server that runs on this cluster, 0 if none does; its port is known from now on."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
            pid, port = int(lines[0]), int(lines[3])
        except (OSError, ValueError, IndexError):
            return 0
        if not self._is_server(pid):
            return 0
        self.port = port
        return pid

    def _is_server(self, pid: int) -> bool:
        return is_run_with(pid, "postgres", "-D", self.data)

    def _refusal(self) -> str:
        """Return why the server takes no connection, empty if it does."""
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError as error:
            return " ".join(str(error).split())[-200:]
        return ""

    def _initdb(self) -> None:
        password_file = self.home / "password"
        if not password_file.exists():
            with os.fdopen(os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_urlsafe(24))
        # initdb in a folder of its own, moved into place when it is complete: a half-made cluster is never used
        fresh = self.home / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        fresh.mkdir()
        handed = fresh.with_name("password.initdb")
        shutil.copy(password_file, handed)
        give_to_server(fresh, prefix=self._prefix)
        if self._prefix[:1] == ["setpriv"]:
            shutil.chown(handed, "nobody")
        command = [
            *self._prefix, str(self._programs.bin_dir / "initdb"), "-D", str(fresh), "-U", USER, "-A", "scram-sha-256",
            f"--pwfile={handed}", "-E", "UTF8", "--locale=C.UTF-8",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **_ENV}, check=False)
        handed.unlink()
        if done.returncode:
            raise PlatformError(
                f"initdb in {self.home} ended with {done.returncode}: {' '.join(done.stderr.split())[-400:]}; "
                "check that the folder is on a local disk with room, or set GL_DATABASE_URL"
            )
        with (fresh / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude_if_exists = 'gl.conf'\n")
        fresh.rename(self.data)
