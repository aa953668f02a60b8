"""What the configuration becomes in Dagster: loaded without a server or a variable."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from gl_assets.erp.assets import build_erp_assets
from gl_assets.erp.checks import build_erp_checks
from gl_assets.erp.days import standard_zone, sync_range, work_through_days
from gl_assets.erp.jobs import build_erp_jobs
from gl_assets.erp.schedules import RANGE_END, RANGE_START, build_erp_schedules
from resources.core.errors import AuthError, DataError, ThrottledError
from resources.erp.resources import ErpResource, build_erp_resources, resource_key
from resources.integrations import Integrations
from tests.unit.resources.erp.support import integrations
from tests.unit.resources.transport.test_parts import settings


def definitions(config: Integrations) -> dg.Definitions:
    return dg.Definitions(
        assets=build_erp_assets(config),
        asset_checks=build_erp_checks(config),
        jobs=build_erp_jobs(config),
        schedules=build_erp_schedules(config),
        resources={"timescale": object(), **build_erp_resources(config.erp.systems)},
    )


def two_zones() -> Integrations:
    return integrations(
        {"sap-eu": settings(time_zone="Europe/Berlin"), "sap_us": settings(time_zone="America/New_York", overlap="36h")}
    )


def test_assets_when_one_system_is_configured_are_its_landed_and_the_standard_one() -> None:
    defs = definitions(integrations({"sap": settings(time_zone="Europe/Berlin")}))
    defs.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    landed, standard = dg.AssetKey(["erp", "sap", "energy_consumption"]), dg.AssetKey(["erp", "energy_consumption"])
    assert set(graph.get_all_asset_keys()) == {landed, standard}
    assert graph.get(standard).parent_keys == {landed}
    for key in (landed, standard):
        node = graph.get(key)
        assert node.group_name == "erp"
        assert node.owners == ["team:data-engineering"]
        assert node.description
        assert node.kinds
        assert node.metadata["dagster/column_schema"].columns
        assert node.backfill_policy == dg.BackfillPolicy.single_run()
        assert isinstance(node.partitions_def, dg.DailyPartitionsDefinition)
        assert node.partitions_def.timezone == "Europe/Berlin"
        assert node.partitions_def.get_first_partition_key() == "2026-10-01"
    assert {check.name for check in graph.asset_check_keys} >= {
        "landed_rows_equal_the_servers_count",
        "yesterday_is_landed",
        "each_meter_is_booked_once_per_time",
    }
    assert defs.resolve_job_def("erp_sap_sync_job").asset_layer.selected_asset_keys == {landed, standard}


def test_definitions_when_no_system_is_configured_are_empty() -> None:
    config = integrations({})
    assert build_erp_assets(config) == build_erp_checks(config) == build_erp_jobs(config) == []
    assert build_erp_schedules(config) == []


def test_systems_when_in_two_zones_have_days_and_jobs_of_their_own() -> None:
    config = two_zones()
    defs = definitions(config)
    defs.validate_loadable(defs)
    assert standard_zone(config, "energy_consumption") == "America/New_York"
    graph = defs.resolve_asset_graph()
    zones = {key.path[-2]: graph.get(key).partitions_def.timezone for key in graph.get_all_asset_keys()}  # type: ignore[union-attr]
    assert zones == {"sap-eu": "Europe/Berlin", "sap_us": "America/New_York", "erp": "America/New_York"}
    jobs = {job.name for job in build_erp_jobs(config)}
    assert jobs == {"erp_sap_eu_sync_job", "erp_sap_us_sync_job", "erp_energy_consumption_job"}
    schedules = {schedule.name: schedule.execution_timezone for schedule in build_erp_schedules(config)}
    assert schedules == {
        "erp_sap_eu_sync_schedule": "Europe/Berlin",
        "erp_sap_us_sync_schedule": "America/New_York",
        "erp_energy_consumption_schedule": "America/New_York",
    }
    assert resource_key("sap-eu") == "erp_sap_eu"


def tick(config: Integrations, name: str, at: datetime) -> Any:
    defs = definitions(config)
    schedule = defs.resolve_schedule_def(name)
    with (
        dg.instance_for_test() as instance,
        dg.build_schedule_context(
            instance=instance, scheduled_execution_time=at, repository_def=defs.get_repository_def()
        ) as context,
    ):
        return schedule.evaluate_tick(context)


def test_the_schedule_when_it_ticks_asks_for_yesterday_and_the_overlap_as_one_range() -> None:
    config = integrations({"sap": settings(time_zone="Europe/Berlin")})
    # 01:30 UTC is 02:30 in Berlin: the day that has just ended is the 21st
    data = tick(config, "erp_sap_sync_schedule", datetime(2026, 11, 22, 1, 30, tzinfo=UTC))
    assert len(data.run_requests) == 1
    tags = data.run_requests[0].tags
    assert (tags[RANGE_START], tags[RANGE_END]) == ("2026-11-18", "2026-11-21")


def test_the_schedule_when_no_day_has_ended_says_so() -> None:
    config = integrations({"sap": settings()})
    data = tick(config, "erp_sap_sync_schedule", datetime(2026, 10, 1, 2, 15, tzinfo=UTC))
    assert data.skip_message == "no business day of UTC has ended since the configured start"


@pytest.mark.parametrize(
    ("start", "overlap", "now", "days"),
    [
        (None, timedelta(days=3), "2026-11-22T02:15", ("2026-11-18", "2026-11-21")),
        (None, timedelta(0), "2026-11-22T02:15", ("2026-11-21", "2026-11-21")),
        (None, timedelta(hours=36), "2026-11-22T02:15", ("2026-11-19", "2026-11-21")),
        ("2026-11-20T00:00:00", timedelta(days=3), "2026-11-22T02:15", ("2026-11-20", "2026-11-21")),
        ("2026-11-20T00:00:00+00:00", timedelta(days=3), "2026-11-20T23:59", None),
    ],
)
def test_the_days_of_a_sync_when_reckoned_end_yesterday(
    start: str | None, overlap: timedelta, now: str, days: tuple[str, str] | None
) -> None:
    config = integrations({"sap": settings()}, **({"start": start} if start else {}))
    found = sync_range(config, "UTC", overlap, datetime.fromisoformat(now).replace(tzinfo=UTC))
    assert found == (days and tuple(date.fromisoformat(day) for day in days))


@pytest.mark.parametrize("error", [AuthError("no"), ThrottledError("no")])
def test_days_when_one_meets_a_fault_of_all_are_given_up(error: Exception) -> None:
    tried: list[date] = []

    def one(day: date) -> None:
        tried.append(day)
        raise error

    outcome = work_through_days(["2026-11-03", "2026-11-01", "2026-11-02"], date(2026, 11, 3), one)
    assert tried == [date(2026, 11, 1)]
    assert list(outcome.failed) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert "not tried" in outcome.failed["2026-11-03"]


def test_days_when_one_is_bad_leave_it_aside() -> None:
    def one(day: date) -> None:
        if day.day == 2:
            raise DataError("bad")

    outcome = work_through_days(["2026-11-01", "2026-11-02", "2026-11-03"], date(2026, 11, 3), one)
    assert outcome.done == ["2026-11-01", "2026-11-03"]
    assert outcome.failed == {"2026-11-02": "bad"}


def test_a_resource_when_built_shows_no_secret_and_knows_its_configuration() -> None:
    config = integrations({"sap": settings(overlap="5d")}).erp.systems["sap"]
    resource = ErpResource.from_config("sap", config)
    assert resource.config == config
    assert json.loads(resource.settings)["auth"]["client_secret"] == "${S}"
