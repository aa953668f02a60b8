"""Runs that are launched once more when they fail, as a schedule would come again; a second failure counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gl_assets.cli.running.dagster_client import DagsterClient, FailedRunsError
from gl_assets.cli.state import Progress

Launch = Callable[[DagsterClient], str]
"""Launches a run and returns its id."""


class LaunchedRuns:
    """The runs of one demo."""

    def __init__(self, dagster: DagsterClient, launches: Sequence[Launch], progress: Progress) -> None:
        """Launch them all; `progress` is told of each that has to be launched again, and why."""
        self._dagster, self._say = dagster, progress
        self._runs = {launch(dagster): launch for launch in launches}
        self._repeated: set[str] = set()

    def unfinished(self) -> list[str]:
        """Return those that have not ended, as `job: STATUS`; one that failed is launched again.

        Raises:
            FailedRunsError: A run failed that had been launched again.
            PlatformError: Dagster does not know one of them, or does not launch it.
            UnreachableError: Nothing answers there.
        """
        try:
            return self._dagster.unfinished(list(self._runs))
        except FailedRunsError as error:
            if self._repeated.intersection(error.runs):
                raise
            self._say(f"{error}; launching again")
            for launch in [self._runs.pop(run) for run in error.runs]:
                again = launch(self._dagster)
                self._runs[again] = launch
                self._repeated.add(again)
        return self._dagster.unfinished(list(self._runs))
