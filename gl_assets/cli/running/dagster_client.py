"""The running Dagster, by its GraphQL: launch a job, wait for runs, count the checks."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx
import stamina

from resources.core.errors import PlatformError, UnreachableError
from resources.databases.timescale.quality.gate_results import GAPS_GATE

_LAUNCH = """
mutation($params: ExecutionParams!) { launchRun(executionParams: $params) { __typename
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
  ... on RunConfigValidationInvalid { errors { message } } } }
"""
_RUNS = "query($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status jobName } } }"
_FAILURES = """
query($id: ID!) { logsForRun(runId: $id) { __typename ... on EventConnection { events { __typename
  ... on ExecutionStepFailureEvent { stepKey error { message causes { message } } }
  ... on RunFailureEvent { message error { message causes { message } } } } } } }
"""
_CHECKS = """
query { assetNodes { assetChecksOrError { __typename
  ... on AssetChecks { checks { name executionForLatestMaterialization { status evaluation { success } } } } } } }
"""
_ACTIVE = """
query($job: String!) { runsOrError(limit: 1, filter: { pipelineName: $job,
  statuses: [QUEUED, NOT_STARTED, MANAGED, STARTING, STARTED, CANCELING] }) { __typename
  ... on Runs { results { runId } } } }
"""
_LONGEST_REASON = 500
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
_SELECTOR = {"repositoryLocationName": "gl", "repositoryName": "__repository__"}


class FailedRunsError(PlatformError):
    """Runs failed; the message says in which steps and why."""

    def __init__(self, message: str, runs: tuple[str, ...]) -> None:
        """Keep the ids of the runs beside the message."""
        super().__init__(message)
        self.runs = runs


class DagsterClient:
    """One Dagster webserver."""

    def __init__(self, url: str) -> None:
        """Take its address."""
        self._http = httpx.Client(base_url=url, timeout=60.0, trust_env=False)

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close its connections."""
        self._http.close()

    def launch(
        self, job: str, *, config: dict[str, Any] | None = None, partitions: tuple[str, str] | None = None
    ) -> str:
        """Launch a job, over a range of partitions if given, and return the run's id.

        Raises:
            PlatformError: Dagster refused; the message holds its words.
        """
        tags = []
        if partitions is not None:
            names = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")
            tags = [{"key": name, "value": key} for name, key in zip(names, partitions, strict=True)]
        params = {
            "selector": {**_SELECTOR, "jobName": job},
            "runConfigData": config or {},
            "executionMetadata": {"tags": tags},
        }
        answer = self._ask(_LAUNCH, {"params": params})["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise PlatformError(f"Dagster did not launch {job}: {answer}")
        return str(answer["run"]["runId"])

    def unfinished(self, run_ids: list[str]) -> list[str]:
        """Return those of these runs that have not ended, as `job: STATUS`.

        Raises:
            FailedRunsError: Some of them failed.
            PlatformError: Dagster does not know one of them.
            UnreachableError: Nothing answers there.
        """
        runs = {run: self._read(_RUNS, {"id": run})["runOrError"] for run in run_ids}
        unknown = [run for run, found in runs.items() if "status" not in found]
        if unknown:
            raise PlatformError(f"Dagster does not know the runs {', '.join(unknown)}: were they deleted?")
        failed = [run for run, found in runs.items() if found["status"] in ("FAILURE", "CANCELED")]
        if failed:
            told = "; ".join(f"{runs[run]['jobName']} ({run}): {self._reason(run)}" for run in failed)
            raise FailedRunsError(f"runs that failed: {told}; the Dagster UI shows more", tuple(failed))
        return [f"{found['jobName']}: {found['status']}" for found in runs.values() if found["status"] not in _ENDED]

    def _reason(self, run_id: str) -> str:
        """Return in which step a run failed and why, in its own words."""
        events = self._read(_FAILURES, {"id": run_id})["logsForRun"].get("events", [])
        steps = [event for event in events if event["__typename"] == "ExecutionStepFailureEvent"]
        runs = [event for event in events if event["__typename"] == "RunFailureEvent"]
        for event in (*steps, *runs):
            error = event["error"] or {"message": event.get("message", ""), "causes": []}
            # the last of the causes is what went wrong, the others say where Dagster noticed
            words = [error, *error["causes"]][-1]["message"]
            where = f"step {event['stepKey']}: " if "stepKey" in event else ""
            return f"{where}{words.strip()[:_LONGEST_REASON]}"
        return "it does not say why"

    def is_idle(self, job: str) -> bool:
        """Return whether no run of this job is queued or running."""
        return not self._read(_ACTIVE, {"job": job})["runsOrError"].get("results", [])

    def checks(self) -> dict[str, int]:
        """Return how many asset checks passed and failed on the latest materialisation of their asset.

        That a gap stays is no fault of the platform, and what was missed in it is counted as `in_gaps`: it is left out.
        """
        passed = failed = 0
        for node in self._read(_CHECKS, {})["assetNodes"]:
            for check in node["assetChecksOrError"].get("checks", []):
                execution = check["executionForLatestMaterialization"]
                if execution is not None and execution["status"] in ("SUCCEEDED", "FAILED"):
                    succeeded = execution["status"] == "SUCCEEDED"
                    if not succeeded and check["name"] == GAPS_GATE:
                        continue
                    passed, failed = passed + succeeded, failed + (not succeeded)
        return {"passed": passed, "failed": failed}

    def _read(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        # after a restart of the database the webserver finds its pooled connections dead one by one
        for attempt in stamina.retry_context(on=UnreachableError, attempts=6, timeout=60.0, wait_initial=0.5):
            with attempt:
                return self._ask(query, variables)
        raise AssertionError("stamina returns or raises")

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = self._http.post("/graphql", json={"query": query, "variables": variables})
        except httpx.TransportError as error:
            raise UnreachableError(
                f"Dagster at {self._http.base_url}: no answer ({error}); look at logs/dagster-webserver.log in GL_HOME",
                source="dagster",
            ) from error
        if not reply.headers.get("content-type", "").startswith("application/json"):
            raise PlatformError(f"Dagster at {self._http.base_url} answered {reply.status_code} without JSON")
        answer = reply.json()
        if "OperationalError" in str(answer.get("errors", "")):
            raise UnreachableError("Dagster cannot reach its database at the moment", source="dagster")
        if "errors" in answer:
            raise PlatformError(f"Dagster refused a query: {answer['errors'][0]['message']}")
        data: dict[str, Any] = answer["data"]
        return data
