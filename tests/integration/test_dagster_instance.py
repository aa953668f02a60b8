import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster import DagsterEventType
from dagster._core.instance.config import PoolGranularity
from dagster._core.launcher import WorkerStatus
from dagster_postgres import PostgresEventLogStorage

import gl_assets
from gl_assets.asset_keys import SENSOR_READINGS
from gl_assets.event_log_pruning import KEPT, event_log_pruning_job, prune
from gl_assets.instance import PlatformInstance
from gl_assets.run_launcher import WatchedRunLauncher, own_process_tag, process_tag, start_mark
from gl_assets.scada.run import open_instance, run_windows
from gl_assets.warm_client import WarmProcess
from tests.integration.dagster_plant import HOUR, Plant, configuration

REPOSITORY = Path(gl_assets.__file__).resolve().parent.parent


@pytest.fixture
def home(tmp_path: Path, empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A GL_HOME whose Dagster keeps its runs in PostgreSQL, by the repository's own dagster.yaml."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").symlink_to(REPOSITORY / "dagster.yaml")
    url = empty_database_url.replace("postgresql://", "postgresql+psycopg2://")
    monkeypatch.setenv("GL_DAGSTER_POSTGRES_URL", url)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    return tmp_path


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with open_instance(home) as found:
        yield found


def test_instance_when_opened_then_it_is_configured_as_the_file_says(instance: dg.DagsterInstance):
    assert isinstance(instance, PlatformInstance)
    assert isinstance(instance.run_launcher, WatchedRunLauncher)
    assert isinstance(instance.event_log_storage, PostgresEventLogStorage)
    assert instance.run_monitoring_enabled
    assert instance.run_monitoring_max_resume_run_attempts == 0
    assert instance.get_settings("sensors")["use_threads"] is True
    assert instance.telemetry_enabled is False
    limits = instance.get_concurrency_config()
    assert limits.run_queue_config is not None
    assert limits.run_queue_config.max_concurrent_runs == 10
    assert (limits.pool_config.default_pool_limit, limits.pool_config.pool_granularity) == (2, PoolGranularity.RUN)


def test_run_when_executed_against_postgres_then_run_materialisations_and_checks_are_kept(
    home: Path, database_url: str
):
    config = configuration()
    Plant(home, config).close_windows(HOUR)
    run = run_windows(config, home, database_url)
    assert run.failed == []
    with open_instance(home) as instance:
        (kept,) = instance.get_runs()
        assert kept.status == dg.DagsterRunStatus.SUCCESS
        assert instance.get_materialized_partitions(SENSOR_READINGS) == {"2026-11-21T10:00"}
        assert instance.get_status_by_partition(
            SENSOR_READINGS, ["2026-11-21T10:00"], dg.TimeWindowPartitionsDefinition(
                start=HOUR, fmt="%Y-%m-%dT%H:%M", cron_schedule="*/15 * * * *", timezone="UTC"
            )
        )  # fmt: skip


def test_event_log_when_pruned_then_what_partitions_need_stays(home: Path, database_url: str):
    config = configuration()
    Plant(home, config).close_windows(HOUR)
    run_windows(config, home, database_url)
    with open_instance(home) as instance:
        (run,) = instance.get_runs()
        before = len(instance.all_logs(run.run_id))
        assert prune(instance.event_log_storage, datetime.now(UTC) - timedelta(days=1)) == 0
        deleted = prune(instance.event_log_storage, datetime.now(UTC) + timedelta(days=1))
        left = instance.all_logs(run.run_id)
        assert len(left) == before - deleted
        assert {entry.dagster_event.event_type for entry in left} == {
            DagsterEventType.ASSET_MATERIALIZATION,
            DagsterEventType.ASSET_CHECK_EVALUATION,
        }
        assert {entry.dagster_event.event_type for entry in left} <= KEPT
        assert instance.get_materialized_partitions(SENSOR_READINGS) == {"2026-11-21T10:00"}


def test_pruning_job_when_run_then_it_says_how_much_went(instance: dg.DagsterInstance):
    result = event_log_pruning_job.execute_in_process(instance=instance)
    assert result.output_for_node("prune_event_log") == 0


def test_pruning_job_when_events_live_elsewhere_then_it_does_nothing():
    with dg.DagsterInstance.ephemeral() as elsewhere:
        assert event_log_pruning_job.execute_in_process(instance=elsewhere).success


def health(instance: dg.DagsterInstance, **tags: str) -> WorkerStatus:
    run = dg.DagsterRun("job", tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    return instance.run_launcher.check_run_worker_health(run).status


def test_launcher_when_asked_then_it_knows_which_run_still_lives(instance: dg.DagsterInstance):
    ended = subprocess.Popen([sys.executable, "-c", "pass"])
    ended.wait()
    assert health(instance, **own_process_tag()) == WorkerStatus.RUNNING
    assert health(instance, **process_tag(ended.pid, start_mark(os.getpid()))) == WorkerStatus.NOT_FOUND
    ticks, boot = start_mark(os.getpid()).split()
    for other in (f"{int(ticks) - 1} {boot}", f"{ticks} 0b9d0000-0000-4000-8000-000000000000"):
        assert health(instance, **process_tag(os.getpid(), other)) == WorkerStatus.NOT_FOUND
    assert health(instance, **{"gl/process": "nonsense"}) == WorkerStatus.NOT_FOUND
    assert health(instance) == WorkerStatus.RUNNING
    gone = '{"host": "127.0.0.1", "port": 9}'
    assert health(instance, **{".dagster/grpc_info": gone}) == WorkerStatus.NOT_FOUND


@pytest.mark.parametrize("step_s", [-3600, -1, 1, 3600])
def test_launcher_when_the_wall_clock_was_set_then_a_living_run_still_lives(
    instance: dg.DagsterInstance, step_s: int, monkeypatch: pytest.MonkeyPatch
):
    tags, started = own_process_tag(), psutil.Process().create_time()
    # what the kernel says of the boot is the wall clock less the time since: it moves with the clock
    booted = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: booted + step_s)
    assert psutil.Process().create_time() == pytest.approx(started + step_s, abs=0.5)
    assert health(instance, **tags) == WorkerStatus.RUNNING


@pytest.mark.parametrize(
    ("off_s", "expected"),
    [(0.0, WorkerStatus.RUNNING), (1.0, WorkerStatus.RUNNING), (7200.0, WorkerStatus.NOT_FOUND)],
    ids=["the-same", "a-step-of-the-clock", "another-process"],
)
def test_launcher_when_the_tag_is_of_an_earlier_version_then_its_time_is_taken_leniently(
    instance: dg.DagsterInstance, off_s: float, expected: WorkerStatus
):
    started = psutil.Process().create_time() - off_s
    assert health(instance, **{"gl/process": f"{os.getpid()} {started:.2f}"}) == expected


def test_launcher_when_it_ends_a_run_whose_process_is_gone_then_the_run_counts_as_cancelled(
    instance: dg.DagsterInstance,
):
    run = dg.DagsterRun("job", tags={"gl/process": "999999999 1.00"}, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    assert instance.run_launcher.terminate(run.run_id)
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELED


def until(condition, timeout_s: float = 120.0):
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return found


def test_warm_process_when_asked_then_each_run_is_a_process_of_its_own_and_new_code_replaces_it(
    instance: dg.DagsterInstance,
):
    warm = WarmProcess()
    try:
        assert warm.launch("unknown", instance.get_ref()) is None
        warm.ensure("")
        until(lambda: warm.ensure("code 1"))
        pid, started = warm.launch("no such run", instance.get_ref())
        again, _ = warm.launch("no such run", instance.get_ref())
        assert pid != again
        assert started.split()[1] == start_mark(os.getpid()).split()[1]
        until(lambda: not psutil.pid_exists(pid) and not psutil.pid_exists(again))
        assert warm.ensure("code 1")
        assert not warm.ensure("code 2")
    finally:
        warm.close()
    assert warm.launch("unknown", instance.get_ref()) is None


def test_warm_process_when_switched_off_then_none_is_started(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GL_WARM_RUNS", "0")
    assert not WarmProcess().ensure("code")


def test_launcher_when_it_ends_a_living_run_then_the_process_is_told(instance: dg.DagsterInstance):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    tags = process_tag(process.pid, start_mark(process.pid))
    run = dg.DagsterRun("job", tags=tags, status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)
    assert instance.run_launcher.terminate(run.run_id)
    assert process.wait(30) != 0
    assert instance.get_run_by_id(run.run_id).status == dg.DagsterRunStatus.CANCELING


def test_launcher_when_the_run_is_unknown_then_nothing_is_ended(instance: dg.DagsterInstance):
    assert not instance.run_launcher.terminate("no such run")
