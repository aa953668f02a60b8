"""Runs that die, and a database that goes away, under a real daemon and code server."""

import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import dagster as dg
import psutil
import psycopg
import pytest

from benchmarks.dagster_stack import DagsterStack
from gl_assets.scada.run import open_instance, run_windows
from resources.databases.timescale.migrate import migrate
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms
from tests.integration.dagster_plant import HOUR, Plant, configuration, configuration_text

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

QUARTER = timedelta(minutes=15)
WINDOW_LOCK = 0x474C574E


@dataclass
class Site:
    """A platform of buffer, database and Dagster."""

    home: Path
    postgres: EmbeddedPostgres
    plant: Plant
    stack: DagsterStack

    def count(self, query: str) -> int:
        with psycopg.connect(self.postgres.url()) as connection:
            return connection.execute(query).fetchone()[0]

    def runs(self) -> list[dg.DagsterRun]:
        with open_instance(self.home) as instance:
            return [run for run in instance.get_runs() if run.job_name == "sensor_readings_job"]

    def pid_of(self, run: dg.DagsterRun) -> int | None:
        with open_instance(self.home) as instance:
            texts = [
                entry.user_message + (entry.dagster_event.message or "") for entry in instance.all_logs(run.run_id)
            ]
        found = [match for text in texts for match in re.findall(r"in process \(pid: (\d+)\)", text)]
        return int(found[0]) if found else None


def wait_for(condition: Callable[[], object], what: str, timeout_s: float = 240.0) -> object:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.2)
    raise AssertionError(f"not in {timeout_s:.0f} s: {what}")


@pytest.fixture
def site(
    programs: ServerPrograms, server_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    postgres = EmbeddedPostgres(server_folder / tmp_path.name, programs)
    postgres.start()
    migrate(postgres.url())
    (tmp_path / "integrations.yaml").write_text(configuration_text())
    env = {
        "GL_CONFIG": str(tmp_path / "integrations.yaml"),
        "GL_DATABASE_URL": postgres.url(),
        "GL_DAGSTER_POSTGRES_URL": postgres.url("dagster").replace("postgresql://", "postgresql+psycopg2://"),
    }
    stack = DagsterStack(tmp_path, env, webserver=False)
    for name, value in {**env, "DAGSTER_HOME": str(stack.folder)}.items():
        monkeypatch.setenv(name, value)
    found = Site(tmp_path, postgres, Plant(tmp_path, configuration()), stack)
    stack.start()
    try:
        yield found
    finally:
        stack.stop()
        postgres.stop()


def test_run_when_killed_mid_write_then_its_window_is_asked_for_again_and_stored_once(site: Site):
    with psycopg.connect(site.postgres.url(), autocommit=True) as guard:
        # the run waits for this lock in the middle of its transaction
        guard.execute("SELECT pg_advisory_lock(%s, %s)", (WINDOW_LOCK, int(HOUR.timestamp()) // 60))
        site.plant.close_windows(HOUR)
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        wait_for(lambda: site.count(waits), "a run that waits for the window")
        (run,) = site.runs()
        pid = wait_for(lambda: site.pid_of(run), "the pid of the run")
        psutil.Process(int(str(pid))).send_signal(signal.SIGKILL)
        wait_for(lambda: site.runs()[-1].status == dg.DagsterRunStatus.FAILURE, "the dead run to be noticed")
        assert site.count("SELECT count(*) FROM scada.window_ledger") == 0
        guard.execute("SELECT pg_advisory_unlock_all()")
    wait_for(lambda: site.count("SELECT count(*) FROM scada.window_ledger"), "the window to be stored")
    wait_for(lambda: site.runs()[0].status == dg.DagsterRunStatus.SUCCESS, "the second run to end")
    assert site.runs()[0].tags["gl/attempt"] == "2"
    assert site.count("SELECT count(*) FROM scada.sensor_readings") == 90
    assert site.count("SELECT stored_revision FROM scada.window_ledger") == 1
    failed = "SELECT count(*) FROM scada.events WHERE event_type = 'run_failed'"
    wait_for(lambda: site.count(failed), "the failure to be recorded")


def test_database_when_restarted_under_the_daemon_then_windows_are_stored_again(site: Site):
    site.plant.close_windows(HOUR)
    wait_for(lambda: site.count("SELECT count(*) FROM scada.window_ledger") == 1, "the first window")
    site.postgres.kill()
    site.plant.close_windows(HOUR + QUARTER)
    site.postgres.start()
    wait_for(lambda: site.count("SELECT count(*) FROM scada.window_ledger") == 2, "the window closed meanwhile")
    site.plant.close_windows(HOUR + 2 * QUARTER)
    wait_for(lambda: site.count("SELECT count(*) FROM scada.window_ledger") == 3, "the window closed afterwards")
    assert site.count("SELECT count(*) FROM scada.sensor_readings") == 270
    assert site.stack.processes["daemon"].poll() is None
    assert site.stack.processes["code"].poll() is None


def test_runs_when_two_work_on_one_window_and_the_older_revision_commits_last_then_it_writes_nothing(
    tmp_path: Path, database_url: str
):
    config = configuration()
    plant = Plant(tmp_path, config)
    plant.close_windows(HOUR)
    outcomes = {}
    reached, go_on = threading.Event(), threading.Event()
    original = ReadingsStore.replace_window

    def held_up(store: ReadingsStore, window):
        if window.revision == 1:
            reached.set()
            assert go_on.wait(60)
        return original(store, window)

    def older() -> None:
        outcomes["older"] = run_windows(config, tmp_path, database_url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReadingsStore, "replace_window", held_up)
        thread = threading.Thread(target=older)
        thread.start()
        assert reached.wait(60)
        plant.send(HOUR, every_s=45)
        plant.move_to(plant.clock.now() + timedelta(minutes=6))
        outcomes["newer"] = run_windows(config, tmp_path, database_url, [("2026-11-21T10:00", "2026-11-21T10:00")])
        go_on.set()
        thread.join(60)
    assert outcomes["newer"].stored["2026-11-21T10:00"]["revision"] == 2
    assert "the newer revision 2" in outcomes["older"].stored["2026-11-21T10:00"]["not_written"]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT stored_revision FROM scada.window_ledger").fetchall() == [(2,)]
        assert connection.execute("SELECT count(*) FROM scada.sensor_readings").fetchone() == (180,)
