"""The trigger of gaps: asks for a run once a gap is over and can be filled, or its windows have to be judged with it.

What is to be done stands in `scada.gaps`, with the pauses between attempts at a source that fails; the cursor only
keeps a run that dies on the way from being asked for over and over.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import psycopg
import structlog
from dagster import RunsFilter

from gl_assets.checks.gates import ASSET
from gl_assets.scada.gap_job import GAP_JOB
from gl_assets.scada.gap_timing import is_due, timings
from resources.core.errors import PlatformError
from resources.databases.timescale.quality.gate_results import GAPS_GATE
from resources.databases.timescale.rework.gap_work import GapBook, GapWork
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.active_runs import ACTIVE
from sensors.triggers.planning import FIRST_PAUSE, LONGEST_PAUSE


@dataclass(frozen=True, slots=True)
class Asked:
    """The last run that was asked for: for which state of the gaps, how often, and when."""

    state: str = ""
    number: int = 0
    at: float = 0.0

    def may_ask(self, state: str, now: datetime) -> bool:
        """Return whether a run may be asked for: at once for another state, else after a pause that doubles."""
        if state != self.state:
            return True
        pause: timedelta = min(FIRST_PAUSE * 2.0 ** min(self.number, 10), LONGEST_PAUSE)
        return now >= datetime.fromtimestamp(self.at, UTC) + pause

    def asking(self, state: str, now: datetime) -> "Asked":
        """Return what to remember once a run has been asked for."""
        return Asked(state, self.number + 1 if state == self.state else 1, now.timestamp())


def load_asked(cursor: str | None) -> Asked:
    """Return what a cursor remembers; an unreadable one counts as none."""
    try:
        return Asked(**json.loads(cursor or "{}"))
    except (ValueError, TypeError):
        return Asked()


def state_of(gaps: Sequence[GapWork]) -> str:
    """Return a word that changes with every step that is made with one of the gaps."""
    return hashlib.blake2b(repr(gaps).encode(), digest_size=8).hexdigest()


def due_gaps(config: Integrations, connection: psycopg.Connection, now: datetime) -> tuple[list[GapWork], int]:
    """Return the gaps that are due, and how many more are not over yet or wait for their next attempt.

    Those that the windows' own checks have seen already are noted as done.
    """
    with_history = timings(config)
    book = GapBook(connection, site=config.site, collector=config.collector.name)
    book.settle(list(with_history), window=config.window, asset=ASSET, check=GAPS_GATE)
    gaps = book.open_work(list(with_history))
    due = [gap for gap in gaps if is_due(config, gap, with_history.get(gap.source), now)]
    return due, len(gaps) - len(due)


def build_gaps_sensor(config: Integrations) -> dg.SensorDefinition:
    """Return the sensor for this configuration's gaps."""

    @dg.sensor(
        name="gaps_sensor",
        job_name=GAP_JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Asks for the filling of gaps that are over, from the history of their sources, and for another "
        "look at the windows of gaps that cannot be filled.",
    )
    def gaps_sensor(
        context: dg.SensorEvaluationContext, timescale: TimescaleResource
    ) -> dg.SensorResult | dg.SkipReason:
        """Return a run if gaps are due, or what is waited for."""
        log, now = structlog.get_logger(__name__), datetime.now(UTC)
        if context.instance.get_runs_count(RunsFilter(job_name=GAP_JOB, statuses=ACTIVE)):
            return dg.SkipReason("a run is filling gaps")
        try:
            with timescale.connection() as connection:
                due, waiting = due_gaps(config, connection, now)
        except (PlatformError, psycopg.Error) as error:
            log.warning("gaps_wait", error=str(error))
            return dg.SkipReason(f"waiting: {str(error).strip()}")
        if not due:
            return dg.SkipReason(
                f"{waiting} gaps wait: for their end, for their windows to close, or for the next attempt; see gl gaps"
                if waiting
                else "no gap is left to be dealt with"
            )
        asked, state = load_asked(context.cursor), state_of(due)
        if not asked.may_ask(state, now):
            return dg.SkipReason(
                f"{len(due)} gaps are due, but the last run has changed nothing: see the runs of {GAP_JOB}"
            )
        asked = asked.asking(state, now)
        request = dg.RunRequest(run_key=f"gaps/{state}/a{asked.number}/{now:%Y%m%dT%H%M%S}")
        return dg.SensorResult(run_requests=[request], cursor=json.dumps(asdict(asked)))

    return gaps_sensor
