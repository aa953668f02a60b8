"""The tables that have gates beside windows of readings and ERP records, and how their partitions are read."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import psycopg

from gl_assets.agents.assets import COMMAND_RESULTS, REGISTRY
from gl_assets.asset_keys import ANOMALIES, BOILER_EFFICIENCY, ENERGY_COST, ENERGY_INTENSITY, HOURLY_READINGS
from gl_assets.checks.forecast_gates import forecast_gates
from gl_assets.checks.gates import limits_in
from gl_assets.checks.table_checks import Judging, build_table_checks, partition_keys
from gl_assets.checks.table_gates import GatedTable, Part, compared
from gl_assets.schemas.agents_registry import AgentsRegistry
from gl_assets.schemas.anomalies import Anomalies
from gl_assets.schemas.boiler_efficiency import BoilerEfficiency
from gl_assets.schemas.command_results import CommandResults
from gl_assets.schemas.energy_cost import EnergyCost
from gl_assets.schemas.energy_intensity import EnergyIntensity
from gl_assets.schemas.hourly_readings import HourlyReadings
from resources.core.windows import parse_partition_key, partition_key
from resources.databases.timescale.derived.hours import recorded_revision
from resources.databases.timescale.quality import gated_rows
from resources.integrations import Integrations

HOUR = timedelta(hours=1)

HOURLY = GatedTable(
    HOURLY_READINGS,
    "hourly_readings",
    HourlyReadings,
    unique=("sensor_id", "hour"),
    complete_means="Of the sensors of the sources that sent anything in the hour, enough have a row.",
    score_means="The mean score of the hour's windows, by their rows, reaches its limit.",
    named="sensor_id",
    limited=("min_value", "max_value", "mean_value"),
    own={"completeness": ("warn", 0.75)},  # what tells only its changes may be silent for an hour
)
BOILERS = GatedTable(
    BOILER_EFFICIENCY,
    "boiler_balances",
    BoilerEfficiency,
    unique=("boiler", "hour"),
    complete_means="Every boiler of the configuration has a row.",
    score_means="The mean share of good readings of the boilers' sensors, times 100, reaches its limit.",
    ranges={"efficiency": (0.4, 1.05)},
    own={"completeness": ("warn", 1.0)},
)
INTENSITIES = GatedTable(
    ENERGY_INTENSITY,
    "energy_intensities",
    EnergyIntensity,
    unique=("consumer", "day"),
    complete_means="Every consumer of the configuration has an intensity, or a reason why there is none.",
    score_means="The mean share of good readings behind what is measured, times 100, reaches its limit.",
    # from warm water to glass: what lies beyond is a wrong unit or a wrong heating value
    ranges={"intensity_kwh_per_t": (1.0, 100_000.0)},
    own={"completeness": ("warn", 1.0)},
)
COSTS = GatedTable(
    ENERGY_COST,
    "energy_costs",
    EnergyCost,
    unique=("consumer", "day", "energy_type"),
    complete_means="Every type of energy that was used has a cost.",
    score_means="The share of rows that have a cost, times 100, reaches its limit.",
    ranges={"price_per_kwh": (0.0, 10.0)},
    own={"completeness": ("warn", 0.5)},
)
AGENTS = GatedTable(
    REGISTRY,
    "agents",
    AgentsRegistry,
    unique=("agent_id",),
    complete_means="Of the agents that are declared, enough were ever heard of.",
    score_means="The mean performance score of the agents that have one, times 100, reaches its limit.",
    ranges={"performance_score": (0.0, 1.0)},
    own={"completeness": ("warn", 0.5), "score": ("warn", 40.0)},
)
ANSWERS = GatedTable(
    COMMAND_RESULTS,
    "answers",
    CommandResults,
    unique=("correlation_id", "agent_id"),
    complete_means="Of the deliveries of the last command, enough have not failed or expired.",
    score_means="The share of the answers to the last command that are ok, times 100, reaches its limit.",
    ranges={"latency_ms": (0.0, 604_800_000.0)},
    own={"schema": ("warn", 0.0), "duplicates": ("warn", 0.0), "completeness": ("warn", 0.5)},
)
FOUND = GatedTable(
    ANOMALIES,
    "anomalies",
    Anomalies,
    unique=("sensor_id", "time", "kind"),
    complete_means="Every equipment that has detectors was looked at.",
    score_means="The share of the window's rows that are not anomalous, times 100, reaches its limit.",
    ranges={"score": (0.0, 1e6)},
    own={"completeness": ("warn", 1.0), "score": ("warn", 20.0)},
)


def judgings(config: Integrations) -> list[Judging]:
    """Return how each of these tables is read."""
    watched = bool(config.anomalies.equipment(config.tags().values()))
    return [
        Judging(HOURLY, lambda c, key: _hourly(c, key, config), _hours, lambda c: _newest_hour(c, HOURLY)),
        Judging(BOILERS, lambda c, key: _boilers(c, key, config), _hours, lambda c: _newest_hour(c, BOILERS)),
        Judging(INTENSITIES, lambda c, key: _intensities(c, key, config), _days, _newest_day(INTENSITIES, config)),
        Judging(COSTS, lambda c, key: _costs(c, key, config), _days, _newest_day(COSTS, config)),
        Judging(AGENTS, _agents, newest=lambda _: f"{datetime.now(UTC):%Y-%m-%dT%H:%M}"),
        Judging(ANSWERS, _answers, newest=gated_rows.newest_command),
        forecast_gates(config),
        *([_found(config)] if watched else []),
    ]


def build_gates(config: Integrations) -> list[dg.AssetChecksDefinition]:
    """Return the checks of all these tables."""
    return [check for judging in judgings(config) for check in build_table_checks(judging, config)]


_hours = partition_keys(HOUR, parse_partition_key, partition_key)
_days = partition_keys(timedelta(days=1), date.fromisoformat, date.isoformat)


def _newest_hour(connection: psycopg.Connection, table: GatedTable) -> str | None:
    found = gated_rows.newest_hour_of(connection, table.name)
    return None if found is None else partition_key(found)


def _newest_day(table: GatedTable, config: Integrations) -> Callable[[psycopg.Connection], str | None]:
    return lambda connection: gated_rows.newest_day_of(connection, table.name, site=config.site)


def _hourly(connection: psycopg.Connection, key: str, config: Integrations) -> Part:
    hour, tags, air = parse_partition_key(key), config.tags(), config.units.atmosphere_kpa
    rows = gated_rows.hourly_rows(connection, hour, site=config.site)
    sending = gated_rows.sources_of_hour(connection, hour, site=config.site)
    expected = {
        tag.sensor_id
        for name, source in config.sources.items()
        if name in sending
        for tag in source.tags
        if not tag.is_text
    }
    score = gated_rows.score_of_hour(connection, hour, site=config.site)
    readings = sum(row["readings"] for row in rows)
    if score is None and readings:
        score = 100 * sum(row["readings"] * row["good_share"] for row in rows) / readings
    return Part(
        rows,
        recorded_revision(connection, HOURLY.name, hour),
        **compared(expected, {row["sensor_id"] for row in rows}),
        score=score,
        limits={row["sensor_id"]: limits_in(row["unit"], tags.get(row["sensor_id"]), air) for row in rows},
    )


def _boilers(connection: psycopg.Connection, key: str, config: Integrations) -> Part:
    hour = parse_partition_key(key)
    rows = gated_rows.boiler_rows(connection, hour, site=config.site)
    return Part(
        rows,
        recorded_revision(connection, BOILERS.name, hour),
        **compared(config.boilers, {row["boiler"] for row in rows}),
        score=_mean_of_100([row["good_share"] for row in rows]),
    )


def _intensities(connection: psycopg.Connection, key: str, config: Integrations) -> Part:
    rows = gated_rows.intensity_rows(connection, key, site=config.site)
    consumers = config.energy.all_consumers(tuple(config.boilers))
    return Part(
        rows,
        **compared(consumers, {row["consumer"] for row in rows}),
        score=_mean_of_100([row["good_share"] for row in rows]),
    )


def _costs(connection: psycopg.Connection, key: str, config: Integrations) -> Part:
    rows = gated_rows.cost_rows(connection, key, site=config.site)
    named = {f"{row['consumer']} {row['energy_type']}": row["cost"] for row in rows}
    costed = {name for name, cost in named.items() if cost is not None}
    return Part(rows, **compared(named, costed), score=100 * len(costed) / len(named) if named else None)


def _agents(connection: psycopg.Connection, _: str) -> Part:
    rows = gated_rows.agent_rows(connection)
    declared = {row["agent_id"] for row in rows if row["declared"]}
    heard = {row["agent_id"] for row in rows if row["last_heartbeat"] is not None}
    return Part(rows, **compared(declared, heard), score=_mean_of_100([row["performance_score"] for row in rows]))


def _answers(connection: psycopg.Connection, key: str) -> Part:
    rows = gated_rows.answer_rows(connection, key)
    states = gated_rows.delivery_states(connection, key)
    well = {agent for agent, state in states.items() if state not in ("failed", "expired", "in_doubt")}
    return Part(rows, **compared(states, well), score=_mean_of_100([float(row["status"] == "ok") for row in rows]))


def _found(config: Integrations) -> Judging:
    def read(connection: psycopg.Connection, key: str) -> Part:
        start = parse_partition_key(key)
        scored = gated_rows.scored_equipment(connection, start, site=config.site)
        trained = gated_rows.equipment_with_models(connection, site=config.site)
        looked_at = sum(row["rows"] for row in scored)
        normal = looked_at - sum(row["anomalous"] for row in scored)
        return Part(
            gated_rows.anomaly_rows(connection, start, site=config.site),
            **compared(trained, {row["equipment"] for row in scored}),
            score=100 * normal / looked_at if looked_at else None,
        )

    def newest(connection: psycopg.Connection) -> str | None:
        start = gated_rows.newest_scored(connection, site=config.site)
        return None if start is None else partition_key(start)

    return Judging(FOUND, read, partition_keys(config.window, parse_partition_key, partition_key), newest)


def _mean_of_100(shares: Sequence[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return 100 * sum(known) / len(known) if known else None
