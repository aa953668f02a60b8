"""The asset `scada/hourly_readings`: one row per sensor and hour, made from the stored readings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import pandas as pd
import psycopg
import structlog

from gl_assets.asset_keys import HOURLY_READINGS, SENSOR_READINGS
from gl_assets.checks.holding import refuse_held
from gl_assets.partition_range import MOST_PARTITIONS, report, told_in_words, work_through
from gl_assets.partitions import hour_partitions, quiet_beta, windows_of_hour, windows_to_hours
from gl_assets.scada.columns import HOURLY_READINGS_COLUMNS
from gl_assets.schemas.hourly_readings import HourlyReadings
from gl_assets.transforms.hourly import to_hourly
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.windows import parse_partition_key, partition_key
from resources.databases.timescale.derived.hourly_table import (
    COLUMNS,
    HourColumns,
    read_hour,
    replace_hour,
    rows_to_keep,
)
from resources.databases.timescale.derived.hours import hour_revision, record_hour
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

DESCRIPTION = """Every sensor's hour in one row: how many readings, the share of good ones, and minimum, maximum, sum
and time-weighted mean of the good ones: calibrated, in the unit the sensor is read in. Made once all windows of the
hour are stored and no blocking gate is red, and again whenever a late reading raises the revision of one of them or
they are calibrated anew. Rows whose readings retention has dropped stay as they are."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HourOfReadings:
    """Makes one hour, in one transaction, and remembers what to report of it."""

    config: Integrations
    connection: psycopg.Connection
    run_id: str
    metadata: dict[str, dict[str, Any]]

    def make(self, key: str) -> None:
        """Roll one hour up and store it; rows of an hour whose readings are no longer all there stay.

        Raises:
            HeldBackError: A blocking gate of a window is red and nobody has released it.
            DataError: A sensor's units do not convert into one another.
            pandera.errors.SchemaErrors: The result breaks its schema; nothing of the hour is changed.
        """
        hour, site, air = parse_partition_key(key), self.config.site, self.config.units.atmosphere_kpa
        windows = [partition_key(start) for start in windows_of_hour(self.config, hour)]
        with self.connection.transaction():
            refuse_held(self.connection, SENSOR_READINGS, windows, f"{HOURLY_READINGS.to_user_string()} {key}")
            # read before the rows: a window stored meanwhile makes the hour due again
            revision = hour_revision(self.connection, hour, site=site)
            parts = [roll_up(part, air) for part in read_hour(self.connection, hour, site=site, atmosphere_kpa=air)]
            counts = {
                sensor: n for part in parts for sensor, n in zip(part["sensor_id"], part["readings"], strict=True)
            }
            kept = rows_to_keep(self.connection, hour, counts, site=site)
            if kept:
                log.warning("hour_keeps_rows", hour=key, kept=len(kept), added=len(counts.keys() - kept))
                parts = [part[~part["sensor_id"].isin(kept)] for part in parts]
            new = (row for part in parts for row in as_tuples(part))
            rows = len(kept) + replace_hour(self.connection, hour, new, site=site, keep=kept)
            name = HOURLY_READINGS.to_user_string()
            # an hour that keeps its rows is done too: made again, it would keep them again
            record_hour(self.connection, name, hour, revision=revision, rows=rows, run_id=self.run_id)
        readings = sum(int(part["readings"].sum()) for part in parts)
        good = sum(float((part["readings"] * part["good_share"]).sum()) for part in parts)
        self.metadata[key] = {
            "dagster/row_count": rows,
            "rows": rows,
            "readings": readings,
            "good_share": round(good / readings, 6) if readings else 0.0,
            "revision": revision,
            "hour": f"{hour:%Y-%m-%dT%H:%M}Z",
            **({"kept_rows": len(kept)} if kept else {}),
        }


def roll_up(part: HourColumns, atmosphere_kpa: float = ATMOSPHERE_KPA) -> pd.DataFrame:
    """Return the rows of `scada.hourly_readings` of some sensors, validated."""
    frame = pd.DataFrame(
        {
            "time": pd.DatetimeIndex(part.time_us.view("datetime64[us]")).tz_localize("UTC"),
            "sensor_id": part.sensor_id,
            "value": part.value,
            "unit": part.unit,
            "status": part.status,
        }
    )
    return HourlyReadings.validate(to_hourly(frame, atmosphere_kpa), lazy=True)


def as_tuples(rows: pd.DataFrame) -> Iterator[Sequence[Any]]:
    """Yield a frame's rows as tuples of Python values in the order of COLUMNS; missing values are None."""
    columns = [
        rows[name].astype(object).where(rows[name].notna(), None).tolist()
        if name != "hour"
        else [instant.to_pydatetime() for instant in rows["hour"]]
        for name in COLUMNS
    ]
    return zip(*columns, strict=True)


def build_hourly_readings(config: Integrations) -> dg.AssetsDefinition:
    """Return the asset for this configuration's hours."""
    with quiet_beta():

        @dg.asset(
            key=HOURLY_READINGS,
            group_name="scada",
            deps=[dg.AssetDep(SENSOR_READINGS, partition_mapping=windows_to_hours())],
            partitions_def=hour_partitions(config),
            backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=MOST_PARTITIONS),
            owners=["team:data-engineering"],
            kinds={"timescaledb", "python", "pandas"},
            description=DESCRIPTION,
            metadata={
                "dagster/column_schema": HOURLY_READINGS_COLUMNS,
                "dagster/table_name": "scada.hourly_readings",
                "site": config.site,
            },
        )
        def hourly_readings(context: dg.AssetExecutionContext, timescale: TimescaleResource) -> None:
            """Make the hours of the run's range, newest first."""
            metadata: dict[str, dict[str, Any]] = {}
            with told_in_words(), timescale.connection() as connection:
                connection.autocommit = True  # one transaction per hour
                hours = HourOfReadings(config, connection, context.run.run_id, metadata)
                outcome = work_through(context.partition_keys, hours.make)
            report(context, HOURLY_READINGS, outcome, metadata)

    return hourly_readings
