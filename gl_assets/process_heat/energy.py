"""The assets `process_heat/energy_intensity` and `process_heat/energy_cost`: energy per tonne and its price, by day."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import psycopg

from gl_assets.asset_keys import ENERGY_COST, ENERGY_INTENSITY, HOURLY_READINGS
from gl_assets.checks.holding import refuse_held
from gl_assets.checks.table_gates import as_frame
from gl_assets.erp.days import first_day
from gl_assets.erp.feeds import standard_key, tables_fed
from gl_assets.partition_range import MOST_PARTITIONS, report, told_in_words, work_through
from gl_assets.partitions import quiet_beta
from gl_assets.process_heat.charts import cost_chart, intensity_chart
from gl_assets.scada.columns import ENERGY_COST_COLUMNS, ENERGY_INTENSITY_COLUMNS
from gl_assets.schemas.energy_cost import EnergyCost
from gl_assets.schemas.energy_intensity import EnergyIntensity
from gl_assets.transforms.energy import Consumption, Day, Sources, consumption_of, cost_rows, intensity_row
from resources.core.physics.units import conversion
from resources.core.windows import partition_key
from resources.databases.timescale.derived.energy import (
    Places,
    Row,
    read_booked,
    read_hours,
    read_orders,
    recent_cost,
    recent_intensity,
    record_day,
    replace_day,
    sources_at,
)
from resources.integrations import BoilerConfig, Integrations
from resources.wiring import TimescaleResource

ERP_TABLES = ("energy_consumption", "production_schedule")
"""Standard tables that are read."""

_HOUR = timedelta(hours=1)
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

INTENSITY = """Energy per tonne of what each consumer of `energy.consumers` made in a day: as booked in the ERP, or else
as measured. Where it cannot be told, the row says why. Read it as `process_heat.energy_intensity`."""

COST = """What the energy of each consumer cost in a day, by type of energy, at the prices of `energy.types`; and per
tonne of what it made. Read it as `process_heat.energy_cost`."""


def energy_days(config: Integrations) -> dg.DailyPartitionsDefinition:
    """Return one partition per day of the configured zone, the day under way included."""
    zone = config.energy.time_zone
    return dg.DailyPartitionsDefinition(start_date=first_day(config, zone).isoformat(), timezone=zone, end_offset=1)


def places_of(config: Integrations) -> Places:
    """Return where the energy of the configured consumers is booked."""
    consumers = config.energy.all_consumers(tuple(config.boilers)).values()
    return Places(
        config.site,
        [place for consumer in consumers for place in consumer.locations],
        [center for consumer in consumers for center in consumer.work_centers],
        config.energy.time_zone,
    )


def day_of(day: date, zone: str) -> Day:
    """Return a day of a zone as instants; it may have 23 or 25 hours."""
    start = datetime.combine(day, datetime.min.time(), ZoneInfo(zone))
    end = datetime.combine(day + timedelta(days=1), datetime.min.time(), ZoneInfo(zone))
    return Day(start.astimezone(UTC), end.astimezone(UTC))


def hours_of(day: Day) -> list[str]:
    """Return the partition keys of the hours that lie wholly within a day."""
    first = day.start.replace(minute=0, second=0, microsecond=0)
    first += _HOUR if first < day.start else timedelta(0)
    return [partition_key(first + n * _HOUR) for n in range((day.end - first) // _HOUR)]


def boiler_hours(rows: Sequence[Row], boiler: BoilerConfig) -> list[Row]:
    """Return the hours of a boiler from hourly means: fuel_kwh, steam_t, good_share, below_zero.

    Fuel and steam are null without a mean, and where they are below zero, which `below_zero` says: a meter whose zero
    has drifted while the boiler stood.
    """
    by_hour: dict[datetime, dict[str, Row]] = {}
    for row in rows:
        by_hour.setdefault(row["hour"], {})[row["sensor_id"]] = row
    found = []
    for sensors in by_hour.values():
        fuel_kg = _amount(sensors.get(boiler.fuel_flow), "kg/h")
        steam_t = _amount(sensors.get(boiler.steam_flow), "t/h")
        fuel_kwh = None if fuel_kg is None else fuel_kg * boiler.fuel_heating_value_kj_per_kg / 3600
        shares = [
            row["good_share"] for row in sensors.values() if row["sensor_id"] in (boiler.fuel_flow, boiler.steam_flow)
        ]
        found.append(
            {
                "fuel_kwh": _possible(fuel_kwh),
                "steam_t": _possible(steam_t),
                "good_share": min(shares, default=0.0),
                "below_zero": any(amount is not None and amount < 0 for amount in (fuel_kwh, steam_t)),
            }
        )
    return found


def _possible(amount: float | None) -> float | None:
    return None if amount is None or amount < 0 or math.isinf(amount) else amount


def _amount(row: Mapping[str, Any] | None, unit: str) -> float | None:
    """Return what an hour's mean flow comes to in an hour."""
    if row is None or row["mean_value"] is None:
        return None
    factor, offset = conversion(row["unit"], unit)
    return float(factor * row["mean_value"] + offset)


@dataclass(frozen=True, slots=True)
class DayOfEnergy:
    """Makes one day of one of the two tables and remembers what to report of it."""

    config: Integrations
    connection: psycopg.Connection
    run_id: str
    metadata: dict[str, dict[str, Any]]
    table: str
    rows_of: Callable[[Sequence[Consumption]], list[dict[str, Any]]]
    upstream: Callable[[date], Sequence[tuple[dg.AssetKey, Sequence[str]]]]
    """Day -> what it is made from, partition by partition."""

    @property
    def asset(self) -> dg.AssetKey:
        """The asset."""
        return dg.AssetKey(["process_heat", self.table])

    def make(self, key: str) -> None:
        """Compute and store one day.

        Raises:
            HeldBackError: A blocking gate of what it is made from is red and nobody has released it.
            pandera.errors.SchemaErrors: The result breaks its schema; nothing of the day is changed.
        """
        day, of = date.fromisoformat(key), (self.config.site, self.run_id)
        with self.connection.transaction():
            for asset, partitions in self.upstream(day):
                refuse_held(self.connection, asset, partitions, f"{self.asset.to_user_string()} {key}")
            # read before the rows: what is stored meanwhile makes the day due again
            state = sources_at(self.connection, places_of(self.config), day) or _LONG_AGO
            found = self._consumption(day)
            rows = self.rows_of(found)
            self._validate(day, rows)
            replace_day(self.connection, self.table, day, rows, of=of)
            record_day(self.connection, self.asset.to_user_string(), day, (state, len(rows)), of=of)
            chart = self._chart(day)
        self.metadata[key] = {
            "dagster/row_count": len(rows),
            "rows": len(rows),
            "consumers": len(found),
            "with_intensity": sum(one.basis is not None for one in found),
            "booked": sum(one.basis == "booked" for one in found),
            "reasons": {one.consumer: one.reason for one in found if one.reason},
            "last_30_days": chart,
        }

    def _consumption(self, day: date) -> list[Consumption]:
        places, config, span = places_of(self.config), self.config.energy, day_of(day, self.config.energy.time_zone)
        boilers = self.config.boilers
        sensors = [sensor for boiler in boilers.values() for sensor in (boiler.fuel_flow, boiler.steam_flow)]
        hourly = read_hours(self.connection, places, (span.start, span.end), sensors)
        sources = Sources(
            read_booked(self.connection, places, day),
            read_orders(self.connection, places, day, (span.start, span.end)),
            {name: boiler_hours(_own(hourly, boiler), boiler) for name, boiler in boilers.items()},
        )
        return [
            consumption_of(name, consumer, config, sources, span)
            for name, consumer in config.all_consumers(tuple(boilers)).items()
        ]

    def _validate(self, day: date, rows: Sequence[Mapping[str, Any]]) -> None:
        schema = EnergyIntensity if self.table == ENERGY_INTENSITY.path[-1] else EnergyCost
        if rows:
            schema.validate(as_frame([{**row, "day": day} for row in rows], schema), lazy=True)

    def _chart(self, day: date) -> dg.MarkdownMetadataValue:
        if self.table == ENERGY_INTENSITY.path[-1]:
            return intensity_chart(recent_intensity(self.connection, day, site=self.config.site))
        return cost_chart(recent_cost(self.connection, day, site=self.config.site))


def _own(rows: Sequence[Row], boiler: BoilerConfig) -> list[Row]:
    return [row for row in rows if row["sensor_id"] in (boiler.fuel_flow, boiler.steam_flow)]


def _erp_deps(config: Integrations) -> list[dg.AssetKey]:
    fed = {table.name for table in tables_fed(config)}
    return [standard_key(name) for name in ERP_TABLES if name in fed]


def build_energy_intensity(config: Integrations) -> dg.AssetsDefinition:
    """Return the asset for this configuration's consumers."""
    erp = _erp_deps(config)

    def upstream(day: date) -> list[tuple[dg.AssetKey, Sequence[str]]]:
        hours = hours_of(day_of(day, config.energy.time_zone))
        return [(HOURLY_READINGS, hours), *((key, [day.isoformat()]) for key in erp)]

    def rows_of(found: Sequence[Consumption]) -> list[dict[str, Any]]:
        return [intensity_row(one) for one in found]

    with quiet_beta():
        # the first day begins before the first hour, and a business day of another zone at another time
        mapping = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
        deps = [dg.AssetDep(key, partition_mapping=mapping) for key in (HOURLY_READINGS, *erp)]
    return _build(config, ENERGY_INTENSITY, (INTENSITY, ENERGY_INTENSITY_COLUMNS), deps, (rows_of, upstream))


def build_energy_cost(config: Integrations) -> dg.AssetsDefinition:
    """Return the asset for this configuration's consumers and prices."""

    def rows_of(found: Sequence[Consumption]) -> list[dict[str, Any]]:
        return [row for one in found for row in cost_rows(one, config.energy)]

    def upstream(day: date) -> list[tuple[dg.AssetKey, Sequence[str]]]:
        return [(ENERGY_INTENSITY, [day.isoformat()])]

    return _build(
        config, ENERGY_COST, (COST, ENERGY_COST_COLUMNS), [dg.AssetDep(ENERGY_INTENSITY)], (rows_of, upstream)
    )


def _build(
    config: Integrations,
    key: dg.AssetKey,
    said: tuple[str, dg.TableSchema],
    deps: Sequence[dg.AssetDep],
    made: tuple[Any, Any],
) -> dg.AssetsDefinition:
    with quiet_beta():

        @dg.asset(
            key=key,
            group_name="process_heat",
            deps=deps,
            partitions_def=energy_days(config),
            backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MOST_PARTITIONS),
            owners=["team:data-engineering"],
            kinds={"timescaledb", "python"},
            description=said[0],
            metadata={
                "dagster/column_schema": said[1],
                "dagster/table_name": ".".join(key.path),
                "consumers": sorted(config.energy.all_consumers(tuple(config.boilers))),
            },
        )
        def energy(context: dg.AssetExecutionContext, timescale: TimescaleResource) -> None:
            """Make the days of the run, newest first."""
            metadata: dict[str, dict[str, Any]] = {}
            with told_in_words(), timescale.connection() as connection:
                connection.autocommit = True  # one transaction per day
                days = DayOfEnergy(config, connection, context.run.run_id, metadata, key.path[-1], *made)
                outcome = work_through(context.partition_keys, days.make)
            report(context, key, outcome, metadata)

    return energy
