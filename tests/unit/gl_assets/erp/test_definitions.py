"""What the configuration becomes in Dagster: loaded without a server or a variable."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg
import httpx
import pytest

from gl_assets.erp.assets import build_erp_assets
from gl_assets.erp.changes import asked_for, tags_of
from gl_assets.erp.checks import build_erp_checks
from gl_assets.erp.days import business_days, last_open_day, standard_zone, sync_range, work_through_days
from gl_assets.erp.jobs import build_erp_jobs
from gl_assets.erp.progress import Progress
from gl_assets.erp.schedules import RANGE_END, RANGE_START, build_erp_schedules
from resources.core.errors import AuthError, ConfigError, DataError, ThrottledError, UnreachableError
from resources.erp.connector import Changed
from resources.erp.resources import ErpResource, build_erp_resources, resource_key
from resources.integrations import Integrations
from resources.transport.connections.errors import status_error
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


@pytest.mark.parametrize("error", [AuthError("no"), ThrottledError("no"), UnreachableError("no")])
def test_days_when_one_meets_a_fault_of_all_are_given_up(error: Exception) -> None:
    tried: list[date] = []

    def one(day: date) -> None:
        tried.append(day)
        raise error

    outcome = work_through_days(["2026-11-03", "2026-11-01", "2026-11-02"], date(2026, 11, 3), one)
    assert tried == [date(2026, 11, 1)]
    assert list(outcome.failed) == ["2026-11-01", "2026-11-02", "2026-11-03"]
    assert "not tried" in outcome.failed["2026-11-03"]


@pytest.mark.parametrize(
    ("heavy", "tried"), [({2}, [1, 2, 3, 4, 5]), ({1, 3, 5}, [1, 2, 3, 4, 5]), ({2, 3}, [1, 2, 3])], ids=str
)
def test_days_when_one_is_not_answered_go_on_until_the_next_one_is_not_either(
    heavy: set[int], tried: list[int]
) -> None:
    found: list[int] = []

    def one(day: date) -> None:
        found.append(day.day)
        if day.day in heavy:
            answer = httpx.Response(504)
            raise status_error(answer, b"", source="sap", asking="sap: GET x", now=datetime.now(UTC))

    keys = [f"2026-11-0{number}" for number in range(1, 6)]
    outcome = work_through_days(keys, date(2026, 11, 5), one)
    assert found == tried
    assert outcome.done == [f"2026-11-0{number}" for number in tried if number not in heavy]
    assert len(outcome.done) + len(outcome.failed) == 5


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


def test_several_datasets_when_they_fill_one_table_are_its_parents() -> None:
    config = integrations({"sap": settings(datasets=["production_schedule", "planned_orders", "materials"])})
    defs = definitions(config)
    defs.validate_loadable(defs)
    graph = defs.resolve_asset_graph()
    orders = graph.get(dg.AssetKey(["erp", "production_schedule"]))
    assert orders.parent_keys == {
        dg.AssetKey(["erp", "sap", "production_schedule"]),
        dg.AssetKey(["erp", "sap", "planned_orders"]),
    }
    materials = graph.get(dg.AssetKey(["erp", "materials"]))
    assert materials.partitions_def is None
    assert graph.get(dg.AssetKey(["erp", "sap", "materials"])).partitions_def is None
    assert defs.resolve_job_def("erp_sap_sync_job").asset_layer.selected_asset_keys == graph.get_all_asset_keys()


def test_a_dataset_when_its_table_is_no_standard_one_is_landed_only() -> None:
    datasets = {"planned_orders": {"table": "my_orders"}}
    graph = definitions(integrations({"sap": settings(datasets=datasets)})).resolve_asset_graph()
    assert set(graph.get_all_asset_keys()) == {dg.AssetKey(["erp", "sap", "planned_orders"])}


@pytest.mark.parametrize(
    ("dataset", "changes", "says"),
    [
        (
            "materials",
            {"table": "purchase_orders"},
            "table purchase_orders holds facts, and the dataset has no business_date",
        ),
        ("planned_orders", {"table": "assets"}, "table assets holds master data, and the dataset has a business_date"),
    ],
)
def test_a_dataset_when_its_table_is_of_the_other_kind_is_refused(
    dataset: str, changes: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        build_erp_assets(integrations({"sap": settings(datasets={dataset: changes})}))


def test_the_day_under_way_when_changes_are_polled_has_a_partition() -> None:
    still = integrations({"sap": settings(datasets={"production_schedule": {}})})
    live = integrations({"sap": settings(datasets={"production_schedule": {"poll_every": "60s"}})})
    assert [business_days(config, "UTC").end_offset for config in (still, live)] == [0, 1]
    assert last_open_day(live, "UTC") - last_open_day(still, "UTC") == timedelta(days=1)


def test_the_changes_that_a_run_is_asked_for_are_told_by_its_tags() -> None:
    read = Changed(datetime(2026, 11, 22, 9, tzinfo=UTC), datetime(2026, 11, 22, 10, tzinfo=UTC))
    assert asked_for(tags_of(read)) == read
    assert asked_for({}) is None


class Told:
    """Stands where a step's context stands, and keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.events: list[dg.AssetObservation] = []
        self.log = self

    def info(self, text: str, *values: object) -> None:
        self.lines.append(text % values)

    def log_event(self, event: dg.AssetObservation) -> None:
        self.events.append(event)


def test_progress_when_a_range_is_long_is_told_twenty_times_with_the_time_left() -> None:
    told, now = Told(), iter(range(10_000))
    progress = Progress(told, dg.AssetKey(["erp", "x"]), 730, clock=lambda: float(next(now)))  # type: ignore[arg-type]
    for number in range(730):
        progress.step(f"day {number}", records=2, failed=number == 5)
    assert len(told.lines) == len(told.events) == 20
    assert told.events[-1].metadata["days_done"].value == 730
    assert told.events[-1].metadata["failed_days"].value == 1
    assert told.events[9].metadata["progress"].value == "50 %"
    assert "365 of 730 days through day 364 (50 %), 730 records, 1 failed" in told.lines[9]


def test_progress_when_a_range_is_short_is_told_by_the_log_alone() -> None:
    told = Told()
    progress = Progress(told, dg.AssetKey(["erp", "x"]), 3)  # type: ignore[arg-type]
    for number in range(3):
        progress.step(f"day {number}")
    assert (len(told.lines), told.events) == (3, [])
