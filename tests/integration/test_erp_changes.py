"""The trigger of ERP changes, against the SAP-like service and a real database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from structlog.testing import capture_logs

from gl_assets.erp.changes import SINCE_TAG, UNTIL_TAG
from gl_assets.erp.schedules import RANGE_END, RANGE_START
from resources.databases.timescale.quality.gate_results import GateResult, Release, record_results, release
from resources.demo_plant.erp.sap.login import SapLogin
from resources.transport.trust.certificates import CertificateAuthority
from resources.wiring import TimescaleResource
from sensors.triggers.erp_changes import build_erp_changes_sensor
from sensors.triggers.erp_polls import Looks
from tests.integration.erp_platform import Platform
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

ORDERS = dg.AssetKey(["erp", "sap", "production_schedule"])
STANDARD = dg.AssetKey(["erp", "production_schedule"])
MATERIALS = dg.AssetKey(["erp", "sap", "materials"])
ONLY = ["erp/sap/production_schedule", "erp/production_schedule"]


YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
MOMENT = timedelta(seconds=3)
"""Stamps and the system's clock are told to the second: what is stamped this long ago has been said by then."""


@pytest.fixture
def sap(authority: CertificateAuthority) -> Iterator[SapServer]:
    with sap_server(authority) as server:
        yield server


@pytest.fixture
def platform(sap: SapServer, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    datasets = {"production_schedule": {"poll_every": "60s"}, "planned_orders": {}, "materials": {"poll_every": "5m"}}
    config = sap.integrations(
        http={"attempts": 1}, datasets=datasets, change_margin="0s", change_overlap="30s", overlap="0s"
    )
    return Platform(config, database_url, tmp_path)


class Tick:
    """Evaluates the sensor as the daemon does, with its cursor kept."""

    def __init__(self, platform: Platform) -> None:
        self.platform, self.cursor = platform, None
        self.looks = Looks()
        self.sensor = build_erp_changes_sensor(platform.config, self.looks)

    def __call__(self) -> list[dg.RunRequest] | str:
        """Return the run requests, or the skip reason."""
        context = dg.build_sensor_context(
            instance=self.platform.instance,
            cursor=self.cursor,
            resources={"timescale": TimescaleResource()},
            repository_def=self.platform.defs.get_repository_def(),
        )
        data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor if data.cursor is not None else self.cursor
        return data.run_requests or str(data.skip_message)

    def let_time_pass(self) -> None:
        """Let every look be due again."""
        held = json.loads(self.cursor or "{}")
        polled = {name: {**row, "at": 0.0} for name, row in held.get("polled", {}).items()}
        self.cursor = json.dumps({**held, "polled": polled})

    def polled(self, name: str) -> dict[str, Any]:
        """Return what is remembered of a feed."""
        found: dict[str, Any] = json.loads(self.cursor or "{}")["polled"][name]
        return found

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        repository = self.platform.defs.get_repository_def()
        job = repository.get_implicit_job_def_for_assets(request.asset_selection or [])
        assert job is not None
        return job.execute_in_process(
            instance=self.platform.instance,
            tags={**request.tags, "dagster/run_key": str(request.run_key)},
            asset_selection=list(request.asset_selection or []),
            raise_on_error=False,
        )


@pytest.fixture
def tick(platform: Platform) -> Iterator[Tick]:
    found = Tick(platform)
    yield found
    found.looks.close()


def change_an_order(sap: SapServer, quantity: int, day: date = YESTERDAY, **more: str) -> str:
    """Change the first order of a day, stamped a moment ago, and return its number."""
    number = sap.books.production_orders.day(day)[0]["ManufacturingOrder"]
    stamp = (datetime.now(UTC) - MOMENT).strftime("%Y%m%d%H%M%S")
    changes = {"TotalQuantity": quantity, "LastChangeDateTime": stamp, **more}
    sap.books.production_orders.change(number, changes, day=day)
    return number


def of(requests: list[dg.RunRequest] | str, key: dg.AssetKey) -> list[dg.RunRequest]:
    assert not isinstance(requests, str), requests
    return [request for request in requests if key in (request.asset_selection or [])]


def quantity(platform: Platform, number: str) -> Any:
    return platform.rows("SELECT quantity::float8 FROM erp.production_schedule WHERE order_id = %s", number)


def test_a_change_when_seen_is_landed_and_standardised_by_one_run_that_moves_the_cursor(
    platform: Platform, tick: Tick, sap: SapServer
) -> None:
    assert platform.pull(YESTERDAY - timedelta(days=1), YESTERDAY, only=ONLY).success
    number = change_an_order(sap, 777)
    (request,) = of(tick(), ORDERS)
    assert set(request.asset_selection or []) == {ORDERS, STANDARD}
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (str(YESTERDAY), str(YESTERDAY))
    result = tick.run(request)
    assert result.success
    assert quantity(platform, number) == [(777.0,)]
    position = platform.one("SELECT position FROM erp.cursors WHERE dataset = 'production_schedule'")
    assert position == datetime.fromisoformat(request.tags[UNTIL_TAG])
    assert position > datetime.fromisoformat(request.tags[SINCE_TAG])
    assert platform.one("SELECT count(*) FROM erp.touched_days") == 0
    stored = {event.asset_key: event.partition for event in result.get_asset_materialization_events()}
    assert stored == {ORDERS: str(YESTERDAY), STANDARD: str(YESTERDAY)}
    # what is stored as it came asks for nothing, however often it comes
    tick.let_time_pass()
    answer = tick()
    assert isinstance(answer, str) or not of(answer, ORDERS)


def test_a_run_when_it_keeps_failing_is_asked_for_less_often_and_a_person_is_told(
    platform: Platform, tick: Tick, sap: SapServer
) -> None:
    assert platform.pull(YESTERDAY, only=ONLY).success
    change_an_order(sap, 777)
    for asks in (1, 2):
        (request,) = of(tick(), ORDERS)
        assert tick.polled("sap/production_schedule")["asks"] == asks
        sap.control.misbehave("miscount", times=1)
        assert not tick.run(request).success
        tick.let_time_pass()
    held = json.loads(tick.cursor or "{}")
    held["polled"]["sap/production_schedule"]["asks"] = 7
    tick.cursor = json.dumps(held)
    with capture_logs() as logs:
        (request,) = of(tick(), ORDERS)
    assert [(row["feed"], row["attempts"]) for row in logs if row["event"] == "erp_changes_not_landed"] == [
        ("sap/production_schedule", 7)
    ]
    assert tick.run(request).success
    tick.let_time_pass()
    tick()
    assert tick.polled("sap/production_schedule")["asks"] == 0


def test_changes_when_of_distant_days_are_landed_at_once_and_the_other_day_is_asked_for_after(
    platform: Platform, tick: Tick, sap: SapServer
) -> None:
    earlier = YESTERDAY - timedelta(days=4)
    assert platform.pull(earlier, YESTERDAY, only=ONLY).success
    numbers = [change_an_order(sap, 555, YESTERDAY), change_an_order(sap, 444, earlier)]
    (request,) = of(tick(), ORDERS)
    assert tick.run(request).success
    assert [quantity(platform, number) for number in numbers] != [[(555.0,)], [(444.0,)]]
    (rest,) = of(tick(), STANDARD)
    assert rest.asset_selection == [STANDARD]
    assert (rest.tags[RANGE_START], rest.tags[RANGE_END]) == (str(earlier), str(earlier))
    assert tick.run(rest).success
    assert [quantity(platform, number) for number in numbers] == [[(555.0,)], [(444.0,)]]


def test_an_order_when_it_moves_to_a_day_to_come_leaves_the_table(
    platform: Platform, tick: Tick, sap: SapServer
) -> None:
    earlier = YESTERDAY - timedelta(days=3)
    assert platform.pull(earlier, YESTERDAY, only=ONLY).success
    to_come = str(YESTERDAY + timedelta(days=6))
    number = change_an_order(sap, 1, earlier, MfgOrderPlannedStartDate=to_come, MfgOrderPlannedEndDate=to_come)
    (request,) = of(tick(), ORDERS)
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == (str(earlier), str(earlier))
    assert tick.run(request).success
    assert quantity(platform, number) == []


def test_days_when_landed_by_a_run_that_failed_are_standardised_all_the_same(
    platform: Platform, tick: Tick, sap: SapServer
) -> None:
    days = [YESTERDAY - timedelta(days=number) for number in (2, 1, 0)]
    sap.control.misbehave("server_error", after=1)
    assert not platform.pull(days[0], days[-1], only=ONLY).success
    assert platform.one("SELECT count(*) FROM erp.production_schedule") == 0
    asked = of(tick(), STANDARD)
    ranges = sorted((request.tags[RANGE_START], request.tags[RANGE_END]) for request in asked)
    assert ranges == [(str(days[0]), str(days[0])), (str(days[2]), str(days[2]))]
    for request in asked:
        assert tick.run(request).success
    stored = "SELECT DISTINCT business_date FROM erp.production_schedule ORDER BY 1"
    assert [row[0] for row in platform.rows(stored)] == [days[0], days[2]]
    answer = tick()
    assert isinstance(answer, str) or not of(answer, STANDARD)


def test_a_day_when_a_red_gate_holds_it_is_not_standardised(platform: Platform, tick: Tick) -> None:
    assert platform.pull(YESTERDAY, only=["erp/sap/production_schedule"]).success
    with psycopg.connect(platform.url) as connection:
        asset, check = "erp/sap/production_schedule", "records_do_not_vanish_in_bulk"
        gate = GateResult(asset, str(YESTERDAY), 1, check, passed=False, blocking=True, metadata={}, run_id="r")
        record_results(connection, [gate])
    answer = tick()
    if isinstance(answer, str):
        assert "1 parts held back by red gates, erp/sap/production_schedule" in answer
    else:
        assert not of(answer, STANDARD)


def test_a_day_when_most_of_it_vanishes_in_a_run_that_fails_is_held_all_the_same(
    platform: Platform, tick: Tick, sap: SapServer
) -> None:
    before, only = YESTERDAY - timedelta(days=1), ["erp/sap/planned_orders"]
    keys = planned_orders(sap, 20, before)
    assert platform.pull(before, YESTERDAY, only=[*only, "erp/production_schedule"]).success
    for order in sap.books.planned_orders.day(before):
        sap.books.planned_orders.vanish(sap.books.planned_orders.identity(order))
    # the second day fails, and with it the step: no check follows
    sap.control.misbehave("server_error", after=1)
    assert not platform.pull(before, YESTERDAY, only=only).success
    assert platform.rows(
        'SELECT asset, partition, "check" FROM quality.gate_results WHERE NOT passed AND blocking'
    ) == [("erp/sap/planned_orders", str(before), "records_do_not_vanish_in_bulk")]
    answer = tick()
    assert isinstance(answer, str) or not of(answer, STANDARD)
    planned = "SELECT source_key FROM erp.production_schedule WHERE source_key LIKE 'planned/%%' AND business_date = %s"
    assert sorted(row[0] for row in platform.rows(planned, before)) == keys


def planned_orders(sap: SapServer, count: int, day: date) -> list[str]:
    """Enter planned orders of a day, and return the keys of all its rows."""
    book = sap.books.planned_orders
    template = next(found[0] for n in range(9) if (found := book.day(day + timedelta(days=n))))
    for number in range(count):
        book.enter({**template, "PlannedOrder": f"77{number:04d}", book.day_property: str(day)})
    return sorted(f"planned/{book.identity(order)}" for order in book.day(day))


def test_a_feed_when_a_red_gate_holds_it_keeps_its_rows_while_another_one_fills_the_same_day(
    platform: Platform, tick: Tick, sap: SapServer
) -> None:
    asset, both = "erp/sap/planned_orders", ["erp/sap/planned_orders", "erp/sap/production_schedule"]
    keys = planned_orders(sap, 20, YESTERDAY)
    assert platform.pull(YESTERDAY, only=[*both, "erp/production_schedule"]).success
    for order in sap.books.planned_orders.day(YESTERDAY):
        sap.books.planned_orders.vanish(sap.books.planned_orders.identity(order))
    number = change_an_order(sap, 777)
    assert not platform.pull(YESTERDAY, only=[*both, "erp/production_schedule"]).success
    planned = "SELECT source_key FROM erp.production_schedule WHERE source_key LIKE 'planned/%%' ORDER BY 1"
    (request,) = of(tick(), STANDARD)
    result = tick.run(request)
    assert result.success
    # the other feed is brought in, and no check takes the rows that stay for an error
    assert quantity(platform, number) == [(777.0,)]
    assert [row[0] for row in platform.rows(planned)] == keys
    metadata = result.asset_materializations_for_node("erp__production_schedule")[0].metadata
    assert f"gl gates release {YESTERDAY} --asset {asset}" in str(metadata["held_back"].value)
    assert platform.rows('SELECT asset, "check" FROM quality.gate_results WHERE NOT passed AND blocking') == [
        (asset, "records_do_not_vanish_in_bulk")
    ]
    assert platform.rows("SELECT dataset FROM erp.touched_days") == [("planned_orders",)]
    # released, it goes on as it always did
    with psycopg.connect(platform.url) as connection:
        release(connection, asset=asset, partition=str(YESTERDAY), said=Release("M. Keller", "the plan was dropped"))
    tick.let_time_pass()
    (request,) = of(tick(), STANDARD)
    assert tick.run(request).success
    assert platform.rows(planned) == []


def test_days_when_a_frozen_contract_finds_another_type_wait_all_of_them_also_beyond_the_range_of_a_poll(
    sap: SapServer, platform: Platform, tmp_path: Path
) -> None:
    frozen = {"production_schedule": {"poll_every": "60s", "contract": "freeze"}}
    config = sap.integrations(http={"attempts": 1}, datasets=frozen, change_margin="0s", overlap="0s")
    platform, days = Platform(config, platform.url, tmp_path), [YESTERDAY - timedelta(days=n) for n in (4, 1, 0)]
    assert platform.pull(days[0], days[-1], only=ONLY).success
    with psycopg.connect(platform.url) as connection:
        connection.execute("UPDATE erp.observed_properties SET types = '{boolean}' WHERE property = 'TotalQuantity'")
    numbers = [change_an_order(sap, 777, day) for day in days]
    before = [quantity(platform, number) for number in numbers]
    tick = Tick(platform)
    try:
        (request,) = of(tick(), ORDERS)
        assert request.tags[RANGE_START] == str(days[1])
        assert not tick.run(request).success
        # no day is asked for by itself either
        assert "3 parts held back by red gates" in str(tick())
    finally:
        tick.looks.close()
    assert [quantity(platform, number) for number in numbers] == before


def test_master_data_when_changed_is_landed_without_partitions(platform: Platform, tick: Tick, sap: SapServer) -> None:
    only = ["erp/sap/materials", "erp/materials"]
    assert platform.pull(YESTERDAY, only=only).success
    assert platform.one("SELECT count(*) FROM erp.materials") > 0
    product = sap.books.materials.records()[0]
    name = sap.books.materials.identity(product)
    stamp = (datetime.now(UTC) - MOMENT).isoformat(timespec="seconds")
    sap.books.materials.enter({**product, "ProductGroup": "NEW", "LastChangeDateTime": stamp})
    (request,) = of(tick(), MATERIALS)
    assert RANGE_START not in request.tags
    assert tick.run(request).success
    groups = dict(platform.rows("SELECT material, material_group FROM erp.materials"))
    assert groups[name] == "NEW"
    assert platform.one("SELECT count(*) FROM erp.master_history WHERE superseded_at IS NOT NULL") == 1


def test_a_look_when_it_fails_says_why_and_waits_longer(platform: Platform, tick: Tick, sap: SapServer) -> None:
    sap.control.misbehave("forbidden", times=2)
    said = str(tick())
    assert "HTTP 403" in said
    polled = json.loads(tick.cursor or "{}")["polled"]
    assert {row["failures"] for row in polled.values()} == {1}
    assert "HTTP 403" not in str(tick())


def test_a_dataset_when_a_run_works_on_it_is_not_looked_at(platform: Platform, tick: Tick) -> None:
    tags = {RANGE_START: str(YESTERDAY), RANGE_END: str(YESTERDAY)}
    platform.instance.add_run(
        dg.DagsterRun("erp_sap_sync_job", run_id="at-work", tags=tags, status=dg.DagsterRunStatus.STARTED)
    )
    tick()
    assert json.loads(tick.cursor or "{}")["polled"] == {}
