"""Dagster's default run launcher, with one thing added: it can tell whether a run's process still lives.

Dagster's own cannot, so a run whose machine lost power stays STARTED until its longest allowed time is over, and its
windows are not asked for again until then. Here run monitoring asks the code server that started the run; a code
server that is gone, or does not know the run, means that nobody works on it any more.
"""

import os

import dagster as dg
import grpc  # type: ignore[import-untyped]
import psutil
from dagster import deserialize_value
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult

PROCESS_TAG = "gl/process"
"""Tag of a run that lives inside a `gl` process (`gl ingest`): `<pid> <start of the process>`."""


def process_tag() -> dict[str, str]:
    """Return the tag that lets run monitoring see when this process, and with it its run, has died."""
    return {PROCESS_TAG: f"{os.getpid()} {psutil.Process().create_time():.2f}"}


def _process_lives(tag: str) -> bool:
    pid, _, started = tag.partition(" ")
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except (psutil.NoSuchProcess, ValueError):
        return False


class WatchedRunLauncher(DefaultRunLauncher):
    """Starts a run in a process of the code server, and says whether that process still lives."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return RUNNING while somebody works on the run, else NOT_FOUND with the reason."""
        if PROCESS_TAG in run.tags:
            alive = _process_lives(run.tags[PROCESS_TAG])
            return self._health(alive, "the process that executed the run in itself has ended")
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
