"""Looking for deletions in days that are not pulled again: a few of them every night, all of them in `sweep` days."""

from collections.abc import Generator
from contextlib import closing
from datetime import UTC, date, datetime

import dagster as dg
import psycopg

from gl_assets.erp.bodies import Lander, one_transaction
from gl_assets.erp.days import first_day, sync_range, work_through_days
from gl_assets.erp.feeds import Feed, feeds
from gl_assets.erp.judging.pull_checks import BULK, bulk_blocks, vanish_in_bulk
from gl_assets.partition_range import RangeOutcome, told_in_words
from resources.core.errors import ProtocolError
from resources.erp.connector import CanListKeys, Day
from resources.erp.landed.changes import Swept, sweep_day
from resources.erp.pulling.named_pages import named
from resources.erp.records import RecordPage
from resources.erp.resources import ErpResource, resource_key
from resources.integrations import Integrations


def sweep_job_name(system: str) -> str:
    """Return the name of the job that looks for a system's deletions."""
    return f"erp_{system}_sweep_job".replace("-", "_")


def swept_feeds(config: Integrations) -> dict[str, list[Feed]]:
    """Return system -> its datasets of facts whose deletions are looked for; a snapshot sees them anyway."""
    found: dict[str, list[Feed]] = {}
    for feed in feeds(config):
        if feed.declared.sweep is not None and not feed.declared.is_master:
            found.setdefault(feed.system, []).append(feed)
    return found


def build_sweep_jobs(config: Integrations) -> list[dg.JobDefinition]:
    """Return a job for each system with datasets that are swept."""
    return [_sweep_job(config, system, of_system) for system, of_system in swept_feeds(config).items()]


def build_sweep_schedules(config: Integrations) -> list[dg.ScheduleDefinition]:
    """Return a schedule for each of these jobs."""
    return [
        dg.ScheduleDefinition(
            name=sweep_job_name(system).removesuffix("_job") + "_schedule",
            job_name=sweep_job_name(system),
            cron_schedule=config.erp.sweep_schedule,
            execution_timezone=config.erp.systems[system].time_zone,
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description=f"Look for deletions in older days of {system}, some of them every night.",
        )
        for system in swept_feeds(config)
    ]


def days_to_sweep(stored: list[date], every: int, before: date, today: date) -> list[date]:
    """Return the stored days, older than `before`, whose turn it is: each comes once in `every` days."""
    return [day for day in stored if day < before and (today.toordinal() - day.toordinal()) % every == 0]


def _sweep_job(config: Integrations, system: str, of_system: list[Feed]) -> dg.JobDefinition:
    key = resource_key(system)

    @dg.op(
        name=sweep_job_name(system).removesuffix("_job"),
        required_resource_keys={"timescale", key},
        pool=f"erp_{system}",
        ins={},
        out=dg.Out(dg.Nothing),
    )
    def sweep(context: dg.OpExecutionContext) -> None:
        """Mark the records of older days that the system no longer has; pull a day again that has unknown ones."""
        failed = RangeOutcome()
        with context.resources.timescale.connection() as connection, told_in_words():
            for feed in of_system:
                limited = bulk_blocks(feed.key.to_user_string(), config.quality.gates)
                lander = Lander(connection, getattr(context.resources, key), feed, context.run.run_id, limited)
                outcome = _sweep(context, config, lander)
                failed.done += [f"{feed.dataset} {day}" for day in outcome.done]
                failed.failed |= {f"{feed.dataset} {day}": why for day, why in outcome.failed.items()}
        failed.raise_if_failed()

    @dg.job(
        name=sweep_job_name(system),
        executor_def=dg.in_process_executor,
        description=f"Look for records of older days that {system} no longer has.",
    )
    def job() -> None:
        sweep()

    return job


def _sweep(context: dg.OpExecutionContext, config: Integrations, lander: Lander) -> RangeOutcome:
    feed, now = lander.feed, datetime.now(UTC)
    zone = feed.settings.time_zone
    pulled_again = sync_range(config, zone, feed.settings.overlap, now)
    if pulled_again is None or feed.declared.sweep is None:
        return RangeOutcome()
    stored = _stored_days(lander.connection, feed, first_day(config, zone))
    days = days_to_sweep(stored, feed.declared.sweep, pulled_again[0], pulled_again[1])

    def one(day: date) -> None:
        swept = _swept(lander, day, now)
        if swept.unknown:
            lander.land_day(day)
            metadata = lander.found[day.isoformat()]
            context.log_event(dg.AssetMaterialization(feed.key, partition=day.isoformat(), metadata=metadata))
        elif swept.vanished:
            figures = {"vanished": swept.vanished, "records": swept.keys}
            context.log_event(dg.AssetObservation(feed.key, partition=day.isoformat(), metadata=figures))

    outcome = work_through_days([day.isoformat() for day in days], pulled_again[1], one)
    context.log.info("%s: %d of %d stored days swept, %d failed", feed, len(days), len(stored), len(outcome.failed))
    return outcome


def _swept(lander: Lander, day: date, now: datetime) -> Swept:
    """Mark what a day lost, and return what was found.

    Raises:
        ProtocolError: So much is gone that a lost permission is likelier; nothing is marked.
    """
    with closing(_keys(lander, day)) as pages, one_transaction(lander.connection):
        landing = lander.landing(day)
        swept = sweep_day(lander.connection, landing, pages, now=now)
        if lander.holds_bulk and vanish_in_bulk(swept.vanished, swept.keys):
            # a sweep has no gate that would hold the rows: what it marked is rolled back by this
            raise ProtocolError(
                f"{landing}: the system no longer names {swept.vanished} stored records, and names {swept.keys}; "
                "likelier its user lost a permission than that so many were deleted; the stored ones are left as they "
                "were; check the user's roles there; if they are deleted indeed, pull the day "
                f"({lander.feed.key.to_user_string()}) and release the gate {BULK}, which is red then",
                source=landing.system,
            )
    return swept


def _keys(lander: Lander, day: date) -> Generator[RecordPage]:
    """Return pages with at least the keys of a day; whole records where the connector can do no better."""
    feed, resource = lander.feed, lander.system
    client = resource.client if isinstance(resource, ErpResource) else resource
    pages = (
        client.fetch_keys(feed.dataset, Day(day))
        if isinstance(client, CanListKeys)
        else lander.system.fetch(feed.dataset, Day(day))
    )
    return named(pages, feed.system, feed.dataset, Day(day))


def _stored_days(connection: psycopg.Connection, feed: Feed, first: date) -> list[date]:
    rows = connection.execute(
        "SELECT partition_date FROM erp.pulls WHERE system = %s AND dataset = %s AND partition_date >= %s ORDER BY 1",
        (feed.system, feed.dataset, first),
    )
    return [row[0] for row in rows]
