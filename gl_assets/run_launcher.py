"""Dagster's default run launcher with two things added: runs that begin at once, and runs whose death is noticed.

**At once.** Where daemon and code are on one machine, a run is forked from a warm process that has imported everything
(`gl_assets.warm_process`): its first row is written a second after the run was asked for, not after five. Wherever that
is not possible (another machine, the warm process not ready yet or gone) the code server starts the run as always.

**Noticed.** Dagster's launcher cannot tell whether a run's process still lives, so a run whose machine lost power stays
STARTED, and its windows are not asked for, until its longest allowed time is over. Here run monitoring is told.
"""

import os
import signal
from pathlib import Path
from typing import Any

import dagster as dg
import grpc  # type: ignore[import-untyped]
import psutil
import structlog
from dagster import deserialize_value
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, LaunchRunContext, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

from gl_assets.warm_client import WarmProcess

log = structlog.get_logger(__name__)

PROCESS_TAG = "gl/process"
"""Tag of a run whose process is known: its pid, a space, and what `start_mark` says of it."""

_MODULE = "gl_assets.definitions"
_PROC = Path("/proc")
_TOLERANCE_S = 60.0
"""How far apart two times of one process's start may be that the wall clock goes into: it is set now and then."""


def start_mark(pid: int) -> str:
    """Return what tells a living process from every other that has its number at another time.

    On Linux `<ticks since the boot at which it started> <id of the boot>`, which no step of the wall clock changes
    (proc(5): field 22 of /proc/[pid]/stat). Elsewhere, and in tags of earlier versions, `<seconds since 1970>`.

    Raises:
        psutil.NoSuchProcess: There is none.
    """
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        # the name of the program stands in brackets before, and may hold spaces and brackets itself
        ticks = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return f"{psutil.Process(pid).create_time():.2f}"
    return f"{ticks} {boot}"


def process_tag(pid: int, started: str) -> dict[str, str]:
    """Return the tag that lets run monitoring see when a process, and with it its run, has died."""
    return {PROCESS_TAG: f"{pid} {started}"}


def own_process_tag() -> dict[str, str]:
    """Return the tag for a run that lives inside this process."""
    return process_tag(os.getpid(), start_mark(os.getpid()))


def process_of(run: dg.DagsterRun) -> psutil.Process | None:
    """Return the living process of a run that names one, None if it is gone (its pid may be another's by now)."""
    pid, _, started = run.tags[PROCESS_TAG].partition(" ")
    try:
        process = psutil.Process(int(pid))
        same = _has_started(process, started) and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.NoSuchProcess, ValueError):
        return None
    return process if same else None


def _has_started(process: psutil.Process, mark: str) -> bool:
    if " " in mark:
        return start_mark(process.pid) == mark
    return abs(process.create_time() - float(mark)) <= _TOLERANCE_S


class WatchedRunLauncher(DefaultRunLauncher):
    """Starts a run in a forked process where it can, and says whether a run's process still lives."""

    def __init__(self, inst_data: Any = None) -> None:
        """Start nothing yet: every process that opens the instance makes a launcher, only the daemon's launches."""
        super().__init__(inst_data)
        self._warm = WarmProcess()

    def prepare(self) -> None:
        """Start the warm process ahead of the first run."""
        self._warm.ensure("")

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run: forked from the warm process, else by the code server."""
        if not self._is_ours(context) or not self._launch_warm(context.dagster_run):
            super().launch_run(context)

    def _is_ours(self, context: LaunchRunContext) -> bool:
        """Whether the run's code is this platform's, on this machine, and as the warm process has it."""
        run, workspace = context.dagster_run, context.workspace
        if workspace is None or run.job_code_origin is None or run.remote_job_origin is None:
            return False
        if getattr(run.job_code_origin.repository_origin.code_pointer, "module", None) != _MODULE:
            return False
        origin = run.remote_job_origin.repository_origin.code_location_origin
        if getattr(origin, "host", "localhost") not in {"localhost", "127.0.0.1"}:
            return False
        location = workspace.get_code_location(origin.location_name)
        return self._warm.ensure(str(getattr(location, "server_id", "")))

    def _launch_warm(self, run: dg.DagsterRun) -> bool:
        found = self._warm.launch(run.run_id, self._instance.get_ref())
        if found is None:
            return False
        self._instance.add_run_tags(run.run_id, process_tag(*found))
        self._instance.report_engine_event(f"Forked from the warm process (pid {found[0]}).", run, cls=self.__class__)
        return True

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run's process; the run then ends as cancelled by itself."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished or PROCESS_TAG not in run.tags:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        self._instance.report_run_canceling(run)
        process = process_of(run)
        if process is None:
            self._instance.report_run_canceled(run, "its process had already ended")
            return True
        process.send_signal(signal.SIGTERM)
        return True

    def dispose(self) -> None:
        """End the warm process; runs that were forked from it go on."""
        self._warm.close()
        super().dispose()

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return RUNNING while somebody works on the run, else NOT_FOUND with the reason."""
        if PROCESS_TAG in run.tags:
            return self._health(process_of(run) is not None, "the process that executed the run has ended")
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:  # started by other means (`dagster asset materialize`): nothing known against it
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        try:
            reply = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id), timeout=5)
        except (DagsterUserCodeUnreachableError, grpc.RpcError):
            return self._health(False, "the code server that started the run no longer answers")
        known = deserialize_value(reply, CanCancelExecutionResult).can_cancel
        return self._health(known, "the code server that started the run no longer has a process for it")

    @staticmethod
    def _health(alive: bool, reason: str) -> CheckRunHealthResult:
        if alive:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"{reason}; its windows will be asked for again")
