"""The trigger of hourly efficiency: each new hour of boiler efficiency is a question to the agents.

There only where `agents.efficiency_query` is enabled. A late revision of an hour is asked about again; an hour that
ended too long ago (a backfill) is left to people.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from gl_assets.agents.efficiency_advice import JOB_NAME, efficiency_query
from gl_assets.asset_keys import BOILER_EFFICIENCY
from gl_assets.partitions import HOUR
from resources.core.windows import parse_partition_key
from resources.integrations import Integrations

_MOST_EVENTS = 500
"""Materialisations that one tick reads: more than that many hours at once are a backfill."""


def newest_hour(instance: dg.DagsterInstance, after: int | None) -> tuple[int, str, int] | None:
    """Return the newest hour whose efficiency was made since a tick, None if none was.

    Args:
        instance: Where the event log is.
        after: Storage id of the last materialisation that a tick has seen; None: none.

    Returns:
        Storage id of the last materialisation there is, the hour's partition key, and the storage id of its own.
    """
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(BOILER_EFFICIENCY, after_storage_id=after), limit=_MOST_EVENTS, ascending=False
    ).records
    made = [(record.partition_key, record.storage_id) for record in records if record.partition_key is not None]
    if not made:
        return None
    # a run works through its hours newest first: the last event is not of the newest hour
    key, storage_id = max(made)
    return records[0].storage_id, key, storage_id


def build_efficiency_sensor(config: Integrations) -> list[dg.SensorDefinition]:
    """Return the sensor, in a list that is empty where the query is off."""
    query = efficiency_query(config)
    if query is None:
        return []
    at_most: timedelta = query.at_most

    @dg.sensor(
        name="efficiency_sensor",
        job_name=JOB_NAME,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Asks for agents/efficiency_advice when the efficiency of a new hour is known.",
    )
    def efficiency_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        """Return a run for the newest hour made since the last tick, if it is young enough."""
        seen = int(context.cursor) if context.cursor else None
        found = newest_hour(context.instance, seen)
        if found is None:
            return dg.SkipReason("no hour's efficiency was made since the last look")
        last, key, storage_id = found
        if datetime.now(UTC) - (parse_partition_key(key) + HOUR) > at_most:
            return dg.SensorResult(skip_reason=f"the hour {key} ended too long ago to ask about", cursor=str(last))
        request = dg.RunRequest(run_key=f"advice/{key}/{storage_id}", partition_key=key)
        return dg.SensorResult(run_requests=[request], cursor=str(last))

    return [efficiency_sensor]
