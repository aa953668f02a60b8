from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gl_assets.cli.running.supervision import Program, Supervision
from resources.core.errors import ConfigError, PlatformError

_MARKING = "import pathlib,signal,sys,time;signal.signal(signal.SIGTERM,lambda *_:(open(sys.argv[2],'a').write(sys.argv[3]),sys.exit()));pathlib.Path(sys.argv[1]).write_text('up');time.sleep(300)"


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "a home").mkdir()
    return tmp_path / "a home"


def _program(home: Path, name: str, priority: int) -> Program:
    up = home / f"{name}.up"
    return Program(name, [sys.executable, "-c", _MARKING, str(up), str(home / "ended"), name], priority, up.exists)


@pytest.fixture
def running(home: Path) -> Iterator[Supervision]:
    made = Supervision(home, [_program(home, "b", 20), _program(home, "a", 10)], env=os.environ)
    made.start(lambda _: None)
    yield made
    made.stop()


def test_start_when_called_starts_in_order_of_priority(home: Path):
    said: list[str] = []
    supervision = Supervision(home, [_program(home, "b", 20), _program(home, "a", 10)], env=os.environ)
    supervision.start(said.append)
    supervision.stop()
    assert said == ["starting a", "starting b"]


def test_stop_when_called_ends_all_in_reverse(running: Supervision):
    running.stop()
    assert (running.home / "ended").read_text() == "ba"
    assert not running.is_alive()


def test_program_when_killed_is_started_again(running: Supervision):
    first = running.states()["a"]["pid"]
    os.kill(first, signal.SIGKILL)
    _until(lambda: running.states()["a"]["pid"] not in (0, first))


def test_stop_program_when_called_twice_leaves_the_others(running: Supervision):
    running.stop_program("b")
    running.stop_program("b")
    states = running.states()
    assert (states["a"]["statename"], states["b"]["statename"]) == ("RUNNING", "STOPPED")
    running.start_program("b")
    _until(lambda: running.states()["b"]["statename"] == "RUNNING")


def test_start_when_an_earlier_run_was_abandoned_ends_it(running: Supervision):
    abandoned = running.states()["a"]["pid"]
    second = Supervision(running.home, running.programs, env=os.environ)
    second.start(lambda _: None)
    assert second.states()["a"]["pid"] != abandoned
    _until(lambda: not Path(f"/proc/{abandoned}").exists())
    second.stop()


def test_end_earlier_when_the_pid_is_another_supervisords_by_now_leaves_it_alone(home: Path):
    words = [sys.executable, "-c", "input()", "supervisord", "-c", "/etc/supervisord.conf"]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as stranger:
        (home / "supervisord.pid").write_text(f"{stranger.pid}\n")
        Supervision(home, [], env={}).end_earlier()
        assert stranger.poll() is None
        stranger.communicate(b"\n")
    assert stranger.returncode == 0


def test_start_when_a_program_never_is_ready_says_the_end_of_its_log(home: Path):
    failing = Program(
        "failing", [sys.executable, "-c", "print('no such plant'); import time; time.sleep(60)"], 1, lambda: False
    )
    with pytest.raises(PlatformError, match="failing was not ready"):
        Supervision(home, [failing], env=os.environ).start(lambda _: None, ready_timeout_s=1.0)


def test_socket_when_the_home_is_deep_lies_elsewhere(tmp_path: Path):
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    supervision = Supervision(deep, [_program(deep, "a", 1)], env=os.environ)
    supervision.start(lambda _: None)
    assert supervision.states()["a"]["statename"] == "RUNNING"
    supervision.stop()


def test_start_when_the_home_has_a_percent_sign_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="set GL_HOME"):
        Supervision(tmp_path / "100%", [], env=os.environ).start(lambda _: None)
