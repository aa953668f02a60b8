"""`gl up --demo` as a person runs it: doors answer, dead processes come back, Ctrl-C leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import psycopg
import pytest

from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms

pytestmark = [pytest.mark.slow, pytest.mark.platform, pytest.mark.timeout(1800)]


class Running:
    """`gl up` in a home of its own, with the demo plant or by the `environment` given."""

    def __init__(
        self, home: Path, programs: ServerPrograms, *, demo: bool = True, environment: Mapping[str, str] | None = None
    ) -> None:
        self.home = home
        kept = {name: value for name, value in os.environ.items() if name not in ("GL_CONFIG", "GL_DATABASE_URL")}
        whose = ["--demo"] if demo else []
        self.output = home / "up.out"
        with self.output.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gl_assets.cli.main", "up", *whose, "--port", "0"],
                env={**kept, **(environment or {}), "GL_HOME": str(home)},
                stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip
        self._programs = programs
        until(lambda: "Ctrl-C" in self.said() or self.process.poll() is not None, self.said)

    def said(self) -> str:
        return self.output.read_text()

    def url(self, name: str) -> str:
        found = re.search(rf"{name}\s+(http\S+)", self.said())
        assert found, self.said()
        return found.group(1)

    def pid(self, words: str) -> int:
        for process in psutil.Process(self.process.pid).children(recursive=True):
            if words in " ".join(_command(process)):
                return process.pid
        return 0

    def database(self) -> psycopg.Connection:
        server = EmbeddedPostgres(self.home / "postgres", self._programs)
        assert server.attach()
        return psycopg.connect(server.url())


def until(condition: Callable[[], object], why: Callable[[], str] = str) -> None:
    deadline = time.monotonic() + 600
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.2)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.fixture(scope="module")
def running(programs: ServerPrograms) -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="gl-up-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        platform = Running(Path(folder), programs)
        yield platform
        if platform.process.poll() is None:
            platform.process.terminate()
            platform.process.wait(120)


def test_up_when_ready_every_door_answers(running: Running):
    assert _status(running.url("Dagster UI")) == 200
    until(lambda: _status(running.url("health")) == 200)
    assert _status(running.url("metrics")) == 200


def test_up_when_a_second_one_is_started_in_the_same_home_refuses(running: Running):
    done = subprocess.run(
        [sys.executable, "-m", "gl_assets.cli.main", "up"],
        env={**os.environ, "GL_HOME": str(running.home)}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert f"process {running.process.pid} already runs the platform here" in done.stderr


def test_up_when_database_and_collector_are_killed_brings_them_back_and_goes_on(running: Running):
    with running.database() as connection:
        before = connection.execute("SELECT max(time) FROM scada.latest_readings").fetchone()
    collector, database = running.pid("gl_assets.cli.main collect"), running.pid("postgres -D")
    os.kill(collector, signal.SIGKILL)
    os.kill(database, signal.SIGKILL)
    until(lambda: running.pid("gl_assets.cli.main collect") not in (0, collector), running.said)
    until(lambda: EmbeddedPostgres(running.home / "postgres", running._programs).attach(), running.said)

    def goes_on() -> bool:
        try:
            with running.database() as connection:
                now = connection.execute("SELECT max(time) FROM scada.latest_readings").fetchone()
        except (psycopg.OperationalError, AssertionError):
            return False
        return (
            now is not None and before is not None and now[0] is not None and (before[0] is None or now[0] > before[0])
        )

    until(goes_on, running.said)
    until(lambda: _status(running.url("Dagster UI")) == 200)
    assert "collector ended and was started again" in running.said()


def test_up_when_interrupted_stops_everything(running: Running):
    children = psutil.Process(running.process.pid).children(recursive=True)
    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(180) == 0, running.said()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert [" ".join(_command(process)) for process in alive] == []
    assert "stopped" in running.said()
