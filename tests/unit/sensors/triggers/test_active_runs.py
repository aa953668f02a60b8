from datetime import timedelta

import dagster as dg
import pytest

from sensors.triggers.active_runs import active_runs, partitions_of
from tests.integration.dagster_plant import HOUR

QUARTER = timedelta(minutes=15)
RANGE = {
    "dagster/asset_partition_range_start": "2026-11-21T10:00",
    "dagster/asset_partition_range_end": "2026-11-21T10:30",
}


@pytest.mark.parametrize(
    ("tags", "quarters"),
    [(RANGE, 3), ({"dagster/partition": "2026-11-21T10:00"}, 1), ({"dagster/partition": "2026-11-21"}, 0), ({}, 0)],
    ids=["range", "one", "a day", "none"],
)
def test_partitions_of_when_a_run_is_tagged_then_its_windows_are_known(tags: dict[str, str], quarters: int):
    run = dg.DagsterRun("job", tags=tags)
    assert partitions_of(run, QUARTER) == [HOUR + number * QUARTER for number in range(quarters)]


def test_active_runs_when_a_backfill_works_on_the_asset_then_its_windows_are_busy_and_other_jobs_are_not():
    key = dg.AssetKey(["scada", "sensor_readings"])
    started = dg.DagsterRunStatus.STARTED
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_run(dg.DagsterRun("__ASSET_JOB", tags=RANGE, status=started, asset_selection=frozenset({key})))
        instance.add_run(dg.DagsterRun("erp_job", tags={"dagster/partition": "2026-11-21T12:00"}, status=started))
        found = active_runs(instance, "sensor_readings_job", [key], QUARTER)
    assert set(found.busy) == {HOUR, HOUR + QUARTER, HOUR + 2 * QUARTER}
    assert found.backlog_runs == 0
