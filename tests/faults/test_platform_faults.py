"""The whole platform while its parts are killed: afterwards nothing is lost and nothing stands twice, by the counts.

What a dead collector could not have received stands as a gap; everything else arrives.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gl_assets.cli.running.demo_run import DemoRun
from gl_assets.cli.running.platform import Options, Platform
from gl_assets.cli.running.supervision import Supervision
from resources.embedded.programs import ServerPrograms

pytestmark = [pytest.mark.slow, pytest.mark.platform, pytest.mark.timeout(3600)]

_DOWN_S = 60
_BETWEEN_S = 5
_SOURCES = 4


class Saboteur:
    """Does its worst while the demo runs; what went wrong on the way is in `error`."""

    def __init__(self, supervision: Supervision, metrics_url: str) -> None:
        self._supervision, self._metrics_url = supervision, metrics_url
        self.did: list[str] = []
        self.error: BaseException | None = None

    def work(self) -> None:
        try:
            self._kill("collector")
            self._restart("mqtt-broker")
            self._kill("postgres")
            self._kill("dagster-daemon")
            self._stop_database_for_a_minute()
            self._kill("collector")
            # the counts are taken next: a collector that is still starting would miss what waits for it
            self._until(self._all_sources_are_up)
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            self.error = error

    def _kill(self, name: str) -> None:
        pid = self._pid(name)
        os.kill(pid, signal.SIGKILL)
        self._until(lambda: self._pid(name) not in (0, pid))
        self.did.append(f"killed {name}")
        time.sleep(_BETWEEN_S)

    def _restart(self, name: str) -> None:
        self._supervision.stop_program(name)
        self._supervision.start_program(name)
        self._until(lambda: self._pid(name) != 0)
        self.did.append(f"restarted {name}")
        time.sleep(_BETWEEN_S)

    def _stop_database_for_a_minute(self) -> None:
        self._supervision.stop_program("postgres")
        time.sleep(_DOWN_S)
        self._supervision.start_program("postgres")
        self.did.append("database away")
        time.sleep(_BETWEEN_S)

    def _all_sources_are_up(self) -> bool:
        try:
            page = httpx.get(self._metrics_url, timeout=5).text
        except httpx.HTTPError:
            return False
        up = [line.rpartition(" ")[2] for line in page.splitlines() if line.startswith("gl_source_up{")]
        return len(up) == _SOURCES and set(up) == {"1.0"}

    def _pid(self, name: str) -> int:
        return int(self._supervision.states()[name]["pid"])

    @staticmethod
    def _until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 400
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="module")
def outcome(programs: ServerPrograms) -> Iterator[tuple[dict[str, Any], Saboteur]]:
    with tempfile.TemporaryDirectory(prefix="gl-faults-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        platform = Platform(Path(folder), Options(demo=True, ui_port=0), lambda _: None)
        for name in ("GL_CONFIG", "GL_DATABASE_URL", "GL_DAGSTER_POSTGRES_URL"):
            platform.env.pop(name, None)
        try:
            platform.start()
            assert platform.supervision is not None
            saboteur = Saboteur(platform.supervision, platform.health_url.replace("/healthz", "/metrics"))
            worker = threading.Thread(target=saboteur.work)

            def done() -> bool:
                # a killed database fails the runs that need it: what is measured here is the way of the readings
                if worker.ident is None:
                    worker.start()
                return not worker.is_alive()

            result = DemoRun(platform, lambda _: None).run(30, until=done)
            worker.join()
            yield result, saboteur
        finally:
            platform.stop()


def test_platform_when_everything_was_killed_once_loses_and_doubles_nothing(outcome):
    result, saboteur = outcome
    assert saboteur.error is None
    assert saboteur.did == [
        "killed collector", "restarted mqtt-broker", "killed postgres", "killed dagster-daemon", "database away",
        "killed collector",
    ]  # fmt: skip
    sources = result["sources"]
    # what a collector had on disk and not acknowledged when it died comes again: counted as sent once, and deduplicated
    sent_again = {name: source["deduplicated"] if source["kind"] == "mqtt" else 0 for name, source in sources.items()}
    lost = {name: source["lost"] + sent_again[name] for name, source in sources.items()}
    assert lost == dict.fromkeys(sources, 0)
    assert result["duplicated"] == 0


def test_platform_when_the_collector_was_dead_shows_gaps_and_loses_no_message(outcome):
    result, _ = outcome
    assert result["sources"]["boiler_house"]["in_gaps"] > 0
    assert result["sources"]["utility_meters"]["in_gaps"] == 0
    assert result["sources"]["utility_meters"]["stored"] == result["sources"]["utility_meters"]["sent"]
