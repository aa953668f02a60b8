"""Keeping Dagster's event log small: old events go by type, runs stay.

Dagster prunes ticks only, and deleting a run makes its windows "missing" in the UI. So what the UI needs to know about
a partition stays for ever (materialisations, check evaluations, failures), and the chatter around it, nine tenths of
the log, goes after a week.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg
import sqlalchemy as sa
from dagster import DagsterEventType
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage

KEPT = frozenset(
    {
        DagsterEventType.ASSET_MATERIALIZATION,
        DagsterEventType.ASSET_OBSERVATION,
        DagsterEventType.ASSET_WIPED,
        DagsterEventType.ASSET_FAILED_TO_MATERIALIZE,
        DagsterEventType.ASSET_CHECK_EVALUATION,
        DagsterEventType.STEP_FAILURE,
        DagsterEventType.RUN_FAILURE,
        DagsterEventType.RUN_CANCELED,
    }
)
"""Events that are never pruned."""

_BATCH = 10_000
"""Rows in one transaction: short locks, and what is done stays done when the run is interrupted."""


class EventLogPruningConfig(dg.Config):
    """How much of the event log stays."""

    keep_days: int = 7
    """Events younger than this stay, whatever their type."""


@dg.op(description="Delete old events of types that say nothing about a partition's state.")
def prune_event_log(context: dg.OpExecutionContext, config: EventLogPruningConfig) -> int:
    """Return how many events were deleted."""
    storage = context.instance.event_log_storage
    if not isinstance(storage, PostgresEventLogStorage):
        context.log.info("This instance keeps its events elsewhere than in PostgreSQL: nothing to prune.")
        return 0
    before = datetime.now(UTC) - timedelta(days=config.keep_days)
    deleted = prune(storage, before)
    context.add_output_metadata({"deleted": deleted, "before": before.isoformat()})
    return deleted


def prune(storage: PostgresEventLogStorage, before: datetime) -> int:
    """Delete the events older than `before` that are not of a KEPT type; return how many."""
    events = SqlEventLogStorageTable
    kept = [event_type.value for event_type in KEPT]
    old = (
        sa.select(events.c.id)
        .where(events.c.timestamp < before.astimezone(UTC).replace(tzinfo=None))  # Dagster stores naive UTC
        .where(sa.or_(events.c.dagster_event_type.is_(None), events.c.dagster_event_type.not_in(kept)))
        .order_by(events.c.id)
        .limit(_BATCH)
    )
    deleted = 0
    while True:
        with storage.index_connection() as connection:
            done = connection.execute(sa.delete(events).where(events.c.id.in_(old.scalar_subquery()))).rowcount
        deleted += done
        if done < _BATCH:
            return deleted


@dg.job(
    executor_def=dg.in_process_executor,
    description="Keep Dagster's event log small: old events go by type, materialisations, checks and failures stay.",
    tags={"gl/upkeep": "event_log"},
)
def event_log_pruning_job() -> None:
    """Prune Dagster's event log."""
    prune_event_log()
