"""The asset `process_heat/boiler_efficiency`: the hour's direct energy balance of every configured boiler."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pandas as pd
import psycopg

from gl_assets.asset_keys import BOILER_EFFICIENCY, HOURLY_READINGS
from gl_assets.checks.holding import refuse_held
from gl_assets.partition_range import MOST_PARTITIONS, report, told_in_words, work_through
from gl_assets.partitions import hour_partitions, quiet_beta
from gl_assets.process_heat.charts import efficiency_chart, efficiency_table
from gl_assets.process_heat.energy_balance import UNITS, balance_boilers
from gl_assets.scada.columns import BOILER_EFFICIENCY_COLUMNS
from gl_assets.schemas.boiler_efficiency import BoilerEfficiency
from resources.core.windows import parse_partition_key
from resources.databases.timescale.derived.hours import record_hour, recorded_revision
from resources.databases.timescale.derived.process_heat import (
    HOURLY_COLUMNS,
    read_hourly,
    recent_efficiency,
    replace_boiler_efficiency,
)
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

DESCRIPTION = """Efficiency of every boiler by the direct method: the enthalpy that the feedwater took up on its way to
steam over the energy of the fuel, from the hour's means. Where the balance cannot be drawn (a sensor without good
readings, a boiler that stands), the row says why. Sensors and heating values are configured under `boilers`."""


@dataclass(frozen=True, slots=True)
class HourOfBoilers:
    """Makes one hour's balance and remembers what to report of it."""

    config: Integrations
    connection: psycopg.Connection
    run_id: str
    metadata: dict[str, dict[str, Any]]

    def make(self, key: str) -> None:
        """Compute and store one hour.

        Raises:
            HeldBackError: A blocking gate of the hour's readings is red and nobody has released it.
        """
        hour, run_id = parse_partition_key(key), self.run_id
        with self.connection.transaction():
            refuse_held(self.connection, HOURLY_READINGS, [key], f"{BOILER_EFFICIENCY.to_user_string()} {key}")
            revision = recorded_revision(self.connection, HOURLY_READINGS.to_user_string(), hour)
            hourly = pd.DataFrame(read_hourly(self.connection, hour, self._sensors()), columns=list(HOURLY_COLUMNS))
            rows = as_rows(validated(balance_boilers(hourly, self.config.boilers, self.config.units.atmosphere_kpa)))
            replace_boiler_efficiency(self.connection, hour, rows, site=self.config.site, run_id=run_id)
            name = BOILER_EFFICIENCY.to_user_string()
            record_hour(self.connection, name, hour, revision=revision, rows=len(rows), run_id=run_id)
            recent = recent_efficiency(self.connection, hour, site=self.config.site)
        self.metadata[key] = {
            "dagster/row_count": len(rows),
            "rows": len(rows),
            "balanced": sum(row["efficiency"] is not None for row in rows),
            "hour": f"{hour:%Y-%m-%dT%H:%M}Z",
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "balance": efficiency_table(rows),
            "last_48_hours": efficiency_chart(recent),
        }

    def _sensors(self) -> list[str]:
        return sorted({getattr(boiler, place) for boiler in self.config.boilers.values() for place in UNITS})


def validated(balance: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the table after a look at its schema.

    Raises:
        pandera.errors.SchemaErrors: A row breaks the schema; nothing of the hour is changed.
    """
    if balance.empty:
        return balance
    return BoilerEfficiency.validate(balance.assign(hour=balance["hour"].dt.as_unit("us")), lazy=True)


def as_rows(balance: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a frame as rows for the database: what pandas marks as missing becomes None."""
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in balance.to_dict("records")
    ]


def build_boiler_efficiency(config: Integrations) -> dg.AssetsDefinition:
    """Return the asset for this configuration's boilers."""
    with quiet_beta():

        @dg.asset(
            key=BOILER_EFFICIENCY,
            group_name="process_heat",
            deps=[HOURLY_READINGS],
            partitions_def=hour_partitions(config),
            backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MOST_PARTITIONS),
            owners=["team:data-engineering"],
            kinds={"timescaledb", "python", "pandas"},
            description=DESCRIPTION,
            metadata={
                "dagster/column_schema": BOILER_EFFICIENCY_COLUMNS,
                "dagster/table_name": "process_heat.boiler_efficiency",
                "boilers": sorted(config.boilers),
            },
        )
        def boiler_efficiency(context: dg.AssetExecutionContext, timescale: TimescaleResource) -> None:
            """Balance the boilers of the run's hours, newest first."""
            metadata: dict[str, dict[str, Any]] = {}
            with told_in_words(), timescale.connection() as connection:
                connection.autocommit = True  # one transaction per hour
                hours = HourOfBoilers(config, connection, context.run.run_id, metadata)
                outcome = work_through(context.partition_keys, hours.make)
            report(context, BOILER_EFFICIENCY, outcome, metadata)

    return boiler_efficiency
