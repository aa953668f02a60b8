"""The gates of freshness: asked of every table at regular times, because what is missing starts no run.

A table that is filled from outside is fresh where its newest part is young. A table that is made from others is fresh
where nothing waits long to be made: so a plant that stands still, and a backlog that is worked on, are no fault of it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import dagster as dg
import psycopg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from gl_assets.agents.assets import COMMAND_RESULTS, REGISTRY
from gl_assets.asset_keys import (
    ANOMALIES,
    BOILER_EFFICIENCY,
    ENERGY_COST,
    ENERGY_INTENSITY,
    HOURLY_READINGS,
    SENSOR_READINGS,
)
from gl_assets.checks.model import Gate, Verdict, in_force
from gl_assets.checks.reports import plot_of, summary
from gl_assets.partition_range import told_in_words
from gl_assets.process_heat.energy import places_of
from gl_assets.quality.score_forecast import SCORE_FORECAST
from resources.databases.timescale.quality import freshness
from resources.databases.timescale.quality.freshness import Waiting
from resources.databases.timescale.quality.gate_results import GateResult, record_results
from resources.integrations import Integrations

JOB_NAME = "freshness_job"

_MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Age:
    """How long something waits, or how old the newest part is."""

    waiting: Waiting | None
    now: datetime

    @property
    def seconds(self) -> float:
        """The age; 0 where nothing waits."""
        return 0.0 if self.waiting is None else max(0.0, (self.now - self.waiting.since).total_seconds())


@dataclass(frozen=True, slots=True)
class FreshTable:
    """A table, and what its freshness is read from."""

    asset: dg.AssetKey
    gate: Gate[Age]
    look: Callable[[psycopg.Connection, datetime], Waiting | None]


def _judge(age: Age, limit: float) -> Verdict:
    told = (
        {"note": "nothing waits"}
        if age.waiting is None
        else {"what": age.waiting.what, "since": age.waiting.since.isoformat(timespec="seconds")}
    )
    return Verdict(age.seconds <= limit, {**told, "measured": round(age.seconds), "limit": round(limit)})


def _gate(noun: str, says: str, limit: float) -> Gate[Age]:
    return Gate(f"{noun}_are_fresh", f"{says} Measured in seconds.", _judge, "freshness", limit)


def fresh_tables(config: Integrations) -> list[FreshTable]:
    """Return the tables of this configuration, with gates as it has them."""
    site, length = config.site, config.window
    made = "Nothing waits long to be made once what it is made from is stored."

    def hours(asset: dg.AssetKey) -> Callable[[psycopg.Connection, datetime], Waiting | None]:
        name = asset.to_user_string()
        return lambda connection, now: freshness.oldest_due_hour(connection, name, site=site, now=now)

    def days(asset: dg.AssetKey) -> Callable[[psycopg.Connection, datetime], Waiting | None]:
        name, zone, places = asset.to_user_string(), ZoneInfo(config.energy.time_zone), places_of(config)
        return lambda connection, now: freshness.oldest_due_day(
            connection, name, places, today=now.astimezone(zone).date()
        )

    tables = [
        FreshTable(
            SENSOR_READINGS,
            _gate(
                "sensor_readings",
                "The newest stored window ended not long ago.",
                max(15 * _MINUTE, 3 * length.total_seconds()),
            ),
            lambda connection, now: freshness.newest_window_end(connection, site=site, length=length),
        ),
        FreshTable(HOURLY_READINGS, _gate("hourly_readings", made, 60 * _MINUTE), hours(HOURLY_READINGS)),
        FreshTable(BOILER_EFFICIENCY, _gate("boiler_balances", made, 60 * _MINUTE), hours(BOILER_EFFICIENCY)),
        FreshTable(ENERGY_INTENSITY, _gate("energy_intensities", made, 180 * _MINUTE), days(ENERGY_INTENSITY)),
        FreshTable(ENERGY_COST, _gate("energy_costs", made, 180 * _MINUTE), days(ENERGY_COST)),
        FreshTable(
            SCORE_FORECAST,
            _gate("score_forecasts", "The scores of the next day were forecast not long ago, if ever.", 1800 * _MINUTE),
            lambda connection, now: freshness.newest_forecast(connection, site=site),
        ),
        FreshTable(
            REGISTRY,
            _gate("agents", "An agent was heard not long ago, if one ever was.", 5 * _MINUTE),
            lambda connection, now: freshness.last_heartbeat(connection),
        ),
        FreshTable(
            COMMAND_RESULTS,
            _gate("answers", "No delivery is open long after its command's deadline.", 10 * _MINUTE),
            lambda connection, now: freshness.oldest_open_command(connection, now=now),
        ),
    ]
    if config.anomalies.equipment(config.tags().values()):
        unscored = FreshTable(
            ANOMALIES,
            _gate(
                "anomalies", "No stored window waits long to be looked at, once detectors are trained.", 60 * _MINUTE
            ),
            lambda connection, now: freshness.oldest_unscored_window(connection, site=site, now=now),
        )
        tables.append(unscored)
    return [
        FreshTable(table.asset, gate, table.look)
        for table in tables
        for gate in in_force([table.gate], table.asset.to_user_string(), config.quality.gates)
    ]


def build_freshness_checks(config: Integrations) -> list[dg.AssetChecksDefinition]:
    """Return the checks, in a list that is empty where all of them are off."""
    tables = fresh_tables(config)
    if not tables:
        return []

    @dg.multi_asset_check(
        name="tables_are_fresh",
        specs=[
            dg.AssetCheckSpec(table.gate.name, asset=table.asset, description=table.gate.description)
            for table in tables
        ],
        can_subset=True,
        required_resource_keys={"timescale"},
    )
    def tables_are_fresh(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        now = datetime.now(UTC)
        with told_in_words(), context.resources.timescale.connection() as connection:
            connection.autocommit = True
            for table in tables:
                if dg.AssetCheckKey(table.asset, table.gate.name) in context.selected_asset_check_keys:
                    yield judge_freshness(connection, table, now, context.run.run_id)

    return [tables_are_fresh]


def judge_freshness(
    connection: psycopg.Connection, table: FreshTable, now: datetime, run_id: str
) -> dg.AssetCheckResult:
    """Judge one table now, keep the result, and return it with a plot of the last ones."""
    verdict = table.gate.judge(Age(table.look(connection, now), now), table.gate.limit)
    asset, key = table.asset.to_user_string(), f"{now:%Y-%m-%dT%H:%M}"
    result = GateResult(asset, key, 1, table.gate.name, verdict.passed, False, verdict.metadata, run_id)
    with connection.transaction():
        record_results(connection, [result])
    return summary(
        table.gate,
        table.asset,
        [result],
        drawn=lambda: plot_of(connection, table.gate, asset, key),
    )


def freshness_jobs(config: Integrations) -> list[UnresolvedAssetJobDefinition]:
    """Return the job of the checks, in a list that is empty where all of them are off."""
    keys = [dg.AssetCheckKey(table.asset, table.gate.name) for table in fresh_tables(config)]
    if not keys:
        return []
    return [
        dg.define_asset_job(
            JOB_NAME,
            selection=dg.AssetSelection.checks(*keys),
            executor_def=dg.in_process_executor,
            description="Look whether every table is as new as it should be.",
        )
    ]


def freshness_schedules(config: Integrations) -> list[dg.ScheduleDefinition]:
    """Return the schedule of the job, in a list that is empty where there is none."""
    if not fresh_tables(config):
        return []
    return [
        dg.ScheduleDefinition(
            name="freshness_schedule",
            job_name=JOB_NAME,
            cron_schedule="*/15 * * * *",
            execution_timezone="UTC",
            default_status=dg.DefaultScheduleStatus.RUNNING,
            description="Four times an hour: look whether every table is as new as it should be.",
        )
    ]
