"""Energy per tonne and its cost, from what is booked and measured of a day."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import psycopg
import pytest

from gl_assets.asset_keys import ENERGY_COST, ENERGY_INTENSITY
from gl_assets.checks.gated_tables import build_gates
from gl_assets.jobs import energy_job
from gl_assets.process_heat.energy import build_energy_cost, build_energy_intensity, places_of
from resources.databases.timescale.derived.energy import due_days
from resources.databases.timescale.derived.hours import record_hour
from resources.databases.timescale.quality.gate_results import GateResult, list_results, record_results
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.energy_days import build_energy_sensor
from tests.integration.dagster_plant import configuration

TODAY = datetime.now(UTC).date()
DAY = TODAY - timedelta(days=1)
ENERGY = {
    "types": {"natural_gas": {"price_per_kwh": 0.05, "kwh_per_m3": 10.0}},
    "consumers": {
        "boiler_1": {"locations": ["b1"], "product_energy_type": "steam", "boiler": "boiler_1"},
        "furnace": {"locations": ["f1"], "work_centers": ["FUR1"]},
        "unknown": {"locations": ["nowhere"]},
    },
}
BOOKED = [
    ("b1", "natural_gas", 1000.0, "m3"),
    ("b1", "electricity", 50.0, "kW.h"),
    ("b1", "steam", 12.5, "t"),
    ("f1", "natural_gas", 360.0, "MJ"),
]


def plant() -> Integrations:
    start = datetime.combine(TODAY - timedelta(days=3), datetime.min.time(), UTC)
    return Integrations.model_validate({**configuration(start=start).model_dump(), "energy": ENERGY})


@pytest.fixture
def booked(database_url: str) -> str:
    """A day that is booked, and an hour of the boiler that is measured: 1 t/h of fuel, 15 t/h of steam."""
    midnight = datetime.combine(DAY, datetime.min.time(), UTC)
    with psycopg.connect(database_url) as connection:
        with connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO erp.energy_consumption (system, source_key, location_code, energy_type, consumption_value,"
                " consumption_unit, transaction_date, ingested_at) VALUES ('sap', %s, %s, %s, %s, %s, %s, now())",
                [(str(n), *row, DAY) for n, row in enumerate(BOOKED)],
            )
            # half of its time lies in the day
            cursor.execute(
                "INSERT INTO erp.production_schedule (system, source_key, business_date, work_center, quantity, unit,"
                " planned_start, planned_end, ingested_at) VALUES ('sap', '1', %s, 'FUR1', 4000, 'kg', %s, %s, now())",
                (DAY, midnight + timedelta(hours=22), midnight + timedelta(hours=26)),
            )
            cursor.executemany(
                "INSERT INTO scada.hourly_readings (hour, sensor_id, readings, good_share, min_value, max_value,"
                " sum_value, mean_value, unit, site) VALUES (%s, %s, 60, 0.9, 1, 1, 60, %s, %s, 'plant')",
                [
                    (midnight + timedelta(hours=3), "B1/FUEL", 1000.0, "kg/h"),
                    (midnight + timedelta(hours=3), "B1/STEAM", 15.0, "t/h"),
                ],
            )
        record_hour(
            connection, "scada/hourly_readings", midnight + timedelta(hours=3), revision=1, rows=2, run_id="test"
        )
    return database_url


def make_days(url: str, day: date = DAY) -> tuple[dg.ExecuteInProcessResult, set[str]]:
    config = plant()
    job = dg.Definitions(
        assets=[build_energy_intensity(config), build_energy_cost(config)],
        asset_checks=[
            check
            for check in build_gates(config)
            if {key.asset_key for key in check.check_keys} <= {ENERGY_INTENSITY, ENERGY_COST}
        ],
        jobs=[energy_job],
        resources={"timescale": TimescaleResource(url=url)},
    ).resolve_job_def("energy_job")
    tags = {"dagster/asset_partition_range_start": str(day), "dagster/asset_partition_range_end": str(day)}
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(instance=instance, tags=tags, raise_on_error=False)
        keys = (ENERGY_INTENSITY, ENERGY_COST)
        return result, {key.path[-1] for key in keys if instance.get_materialized_partitions(key)}


def rows(url: str, query: str) -> list[tuple]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_day_when_it_is_booked_and_measured_then_intensity_and_cost_are_made(booked: str):
    result, made = make_days(booked)
    assert result.success
    assert made == {"energy_intensity", "energy_cost"}
    intensity = rows(
        booked,
        "SELECT consumer, basis, energy_kwh, product_t, intensity_kwh_per_t, measured_energy_kwh, measured_product_t,"
        " measured_hours, reason FROM process_heat.energy_intensity ORDER BY consumer",
    )
    assert intensity[0] == (
        "boiler_1",
        "booked",
        pytest.approx(10_050),
        pytest.approx(12.5),
        pytest.approx(804),
        pytest.approx(1000 * 47_000 / 3600),
        pytest.approx(15),
        1,
        None,
    )
    assert intensity[1][:5] == ("furnace", "booked", pytest.approx(100), pytest.approx(2), pytest.approx(50))
    assert intensity[2][:5] == ("unknown", None, None, None, None)
    assert "no energy is booked" in intensity[2][8]
    cost = rows(
        booked,
        "SELECT consumer, energy_type, cost, cost_per_t, currency, reason FROM process_heat.energy_cost"
        " ORDER BY consumer, energy_type",
    )
    assert cost[0] == (
        "boiler_1",
        "electricity",
        None,
        None,
        None,
        "energy.types.electricity.price_per_kwh is not configured",
    )
    assert cost[1] == ("boiler_1", "natural_gas", pytest.approx(500), pytest.approx(40), "EUR", None)
    assert cost[2][:3] == ("furnace", "natural_gas", pytest.approx(5))
    with psycopg.connect(booked) as connection:
        judged = list_results(connection, red_only=False, partition=str(DAY))
    assert {(row.asset, row.check) for row in judged if not row.passed} == set()
    assert len(judged) == 10


def test_day_when_it_is_made_twice_then_there_is_one_row_each_and_it_is_not_due(booked: str):
    for day in (DAY, DAY, TODAY):
        make_days(booked, day)
    assert rows(booked, "SELECT count(*) FROM process_heat.energy_intensity GROUP BY day") == [(3,), (3,)]
    with psycopg.connect(booked) as connection:
        assets = ["process_heat/energy_intensity", "process_heat/energy_cost"]
        assert due_days(connection, places_of(plant()), assets, since=DAY, until=TODAY) == {}


@pytest.mark.parametrize(
    ("change", "tonnes"),
    [
        ("actual_start = planned_start, actual_end = planned_end - interval '2 hours'", (4, None)),
        ("actual_start = planned_start, actual_end = planned_end + interval '4 hours'", (1, 3)),
        ("quantity = 8000", (4, 4)),
    ],
    ids=["ended early", "ended late", "made more"],
)
def test_days_when_an_order_over_midnight_changes_then_each_of_them_is_due_and_made_anew(
    booked: str, change: str, tonnes: tuple[float | None, float | None]
):
    for day in (DAY, TODAY):
        make_days(booked, day)
    query = "SELECT booked_product_t FROM process_heat.energy_intensity WHERE consumer = 'furnace' ORDER BY day"
    assert rows(booked, query) == [(pytest.approx(2),), (pytest.approx(2),)]
    with psycopg.connect(booked) as connection:
        connection.execute(f"UPDATE erp.production_schedule SET {change}, ingested_at = now()")
        connection.commit()
        due = due_days(connection, places_of(plant()), ["process_heat/energy_intensity"], since=DAY, until=TODAY)
    assert list(due) == [DAY, TODAY]
    for day in due:
        make_days(booked, day)
    assert rows(booked, query) == [(None if one is None else pytest.approx(one),) for one in tonnes]
    with psycopg.connect(booked) as connection:
        assets = ["process_heat/energy_intensity", "process_heat/energy_cost"]
        assert due_days(connection, places_of(plant()), assets, since=DAY - timedelta(days=9), until=TODAY) == {}


def tick(url: str, instance: dg.DagsterInstance) -> list[dg.RunRequest] | str:
    (sensor,) = build_energy_sensor(plant())
    context = dg.build_sensor_context(instance=instance, resources={"timescale": TimescaleResource(url=url)})
    data = sensor.evaluate_tick(context)
    return data.run_requests or data.skip_message


def test_trigger_when_something_was_booked_then_the_day_is_asked_for_until_it_is_made(booked: str):
    with dg.DagsterInstance.ephemeral() as instance:
        (request,) = tick(booked, instance)
        assert request.tags["dagster/asset_partition_range_start"] == str(DAY)
        assert request.tags["dagster/asset_partition_range_end"] == str(TODAY)  # an order goes on until then
        instance.add_run(dg.DagsterRun("energy_job", run_id="one", tags={"dagster/run_key": request.run_key}))
        assert "2 days are due" in tick(booked, instance)
        make_days(booked)
        make_days(booked, TODAY)
        assert "every day with something booked or measured is made" in tick(booked, instance)
        with psycopg.connect(booked) as connection:
            connection.execute("UPDATE erp.energy_consumption SET ingested_at = now() WHERE source_key = '0'")
        (again,) = tick(booked, instance)
        assert again.run_key != request.run_key


def test_trigger_when_the_newest_day_stays_due_then_older_ones_are_asked_for(booked: str):
    older = DAY - timedelta(days=2)
    with psycopg.connect(booked) as connection:
        connection.execute(
            "INSERT INTO erp.energy_consumption (system, source_key, location_code, energy_type, consumption_value,"
            " consumption_unit, transaction_date, ingested_at) VALUES ('sap', 'old', 'b1', 'electricity', 1, 'kW.h',"
            " %s, now())",
            (older,),
        )
    with dg.DagsterInstance.ephemeral() as instance:
        asked = []
        for _ in range(2):
            (request,) = tick(booked, instance)
            asked.append(request.tags["dagster/asset_partition_range_end"])
            run = dg.DagsterRun("energy_job", tags={"dagster/run_key": request.run_key})
            instance.add_run(run)
        assert asked == [str(TODAY), str(older)]
        assert "3 days are due" in tick(booked, instance)


def test_trigger_when_what_is_booked_is_red_then_the_day_waits_and_says_for_what(booked: str):
    red = GateResult("erp/energy_consumption", str(DAY), 1, "each_meter_is_booked_once", passed=False, blocking=True)
    with psycopg.connect(booked) as connection:
        record_results(connection, [red])
    make_days(booked, TODAY)
    with dg.DagsterInstance.ephemeral() as instance:
        assert f"gl gates release {DAY} --asset erp/energy_consumption" in tick(booked, instance)


def test_trigger_when_the_database_is_away_then_it_waits():
    with dg.DagsterInstance.ephemeral() as instance:
        assert "no connection" in tick("postgresql://nobody@127.0.0.1:9/none", instance)


def test_cost_when_the_intensity_is_red_then_it_waits(booked: str):
    with psycopg.connect(booked) as connection:
        connection.execute("UPDATE erp.energy_consumption SET consumption_value = 1e9 WHERE source_key = '0'")
    config = plant()
    assert config.quality.gates == {}
    make_days(booked)
    red = GateResult("process_heat/energy_intensity", str(DAY), 1, "by_hand", passed=False, blocking=True)
    with psycopg.connect(booked) as connection:
        record_results(connection, [red])
        connection.execute("TRUNCATE process_heat.energy_cost")
    result, _ = make_days(booked)
    assert not result.success
    assert rows(booked, "SELECT count(*) FROM process_heat.energy_cost") == [(0,)]
    assert rows(
        booked,
        "SELECT passed FROM quality.gate_results WHERE \"check\" = 'energy_intensities_are_within_their_limits'",
    ) == [(False,), (False,)]
