"""The checks as Dagster sees them: which block, what a run is told, what is kept in `quality.gate_results`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import psycopg
import pytest

from gl_assets.erp.bodies import SNAPSHOT
from gl_assets.erp.checks import DRIFT, FRESH_MASTER, FRESHNESS, build_erp_checks
from gl_assets.erp.feeds import standard_key
from gl_assets.erp.judging.judgements import table_checks
from gl_assets.erp.judging.pull_checks import PULL_CHECKS
from gl_assets.erp.tables import TABLES
from resources.core.configuration.gates import GateSetting
from resources.databases.timescale.quality.gate_results import list_results, red_gates
from resources.embedded.postgres import EmbeddedPostgres
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from tests.conftest import REPOSITORY, fresh_database
from tests.unit.gl_assets.erp.test_judgements import Connection, land, pulled, rows_of, standardised, store
from tests.unit.resources.erp.support import integrations
from tests.unit.resources.transport.test_parts import settings

YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
SERVICE = {"service": "/s", "resource": "R", "key": "Key", "inherit": False}


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def connection(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A connection that commits, for checks that open their own; what it wrote is taken away again."""
    monkeypatch.setenv("GL_DATABASE_URL", url)
    with psycopg.connect(url, autocommit=True) as opened:
        yield opened
        opened.execute(
            "TRUNCATE erp.landed_records, erp.pulls, erp.standardised, erp.observed_properties, quality.gate_results"
        )


def config(contract: str = "warn", table: str = "materials", **dataset: Any) -> Integrations:
    block = {**SERVICE, "contract": contract, **dataset}
    return integrations({"s": settings(datasets={table: block})})


def gated(table: str = "materials", asset: str = "erp/materials", **gates: dict[str, Any]) -> Integrations:
    """Return the configuration with what `quality.gates` says of an asset."""
    dataset = {} if table == "materials" else {"business_date": "Day"}
    found = config(table=table, **dataset)
    quality = found.quality.model_copy(
        update={"gates": {asset: {name: GateSetting.model_validate(held) for name, held in gates.items()}}}
    )
    return found.model_copy(update={"quality": quality})


def run(config: Integrations) -> dict[str, dg.AssetCheckEvaluation]:
    """Run all checks of a configuration by themselves; return what each said, by its name."""
    keys = {spec.asset_key for checks in build_erp_checks(config) for spec in checks.check_specs}
    job = dg.define_asset_job("only_checks", selection=dg.AssetSelection.all_asset_checks())
    definitions = dg.Definitions(
        assets=[dg.AssetSpec(key) for key in keys],
        asset_checks=build_erp_checks(config),
        jobs=[job],
        resources={"timescale": TimescaleResource()},
    )
    job_definition = definitions.resolve_job_def("only_checks")
    with TemporaryDirectory() as folder:
        instance = dg.DagsterInstance.ephemeral(tempdir=folder)
        # a red check that blocks fails the run
        result = job_definition.execute_in_process(instance=instance, raise_on_error=False)
    return {evaluation.check_name: evaluation for evaluation in result.get_asset_check_evaluations()}


def blocking(config: Integrations) -> set[str]:
    return {spec.name for checks in build_erp_checks(config) for spec in checks.check_specs if spec.blocking}


def test_checks_when_continuing_would_be_wrong_block() -> None:
    always = {
        "records_do_not_vanish_in_bulk",
        "rows_match_the_schema",
        "every_landed_record_is_accounted_for",
        "amounts_equal_those_landed",
    }
    assert blocking(config()) == always
    assert blocking(config("freeze")) == {*always, DRIFT}
    ledger = config(table="financial_transactions", business_date="Day")
    assert blocking(ledger) == {*always, "each_line_is_posted_once"}


def test_checks_when_the_configuration_says_so_block_warn_or_are_left_out() -> None:
    found = gated(
        schema={"effect": "warn"},
        score={"effect": "block"},
        every_landed_record_is_accounted_for={"effect": "warn"},
        range={"effect": "off"},
    )
    assert blocking(found) == {
        "records_do_not_vanish_in_bulk",
        "amounts_equal_those_landed",
        "the_quality_score_is_high_enough",
    }
    names = {spec.name for checks in build_erp_checks(found) for spec in checks.check_specs}
    assert "dates_are_plausible" not in names
    assert "rows_match_the_schema" in names


def test_checks_when_all_are_off_are_none() -> None:
    every = {check.name: {"effect": "off"} for check in table_checks(TABLES["materials"])}
    pulls = {name: {"effect": "off"} for name in (*(check.name for check in PULL_CHECKS), DRIFT, FRESH_MASTER)}
    assert {spec.asset_key.path[1] for one in build_erp_checks(gated(**every)) for spec in one.check_specs} == {"s"}
    landed = build_erp_checks(gated(asset="erp/s/materials", **pulls))
    assert {spec.asset_key for one in landed for spec in one.check_specs} == {standard_key("materials")}


def test_a_red_check_when_it_is_of_rows_shows_the_first_of_them_and_is_drawn_over_time(connection: Connection) -> None:
    table = TABLES["purchase_orders"]
    day = YESTERDAY
    rows = rows_of("purchase_orders", 3, order_date=[day] * 3, delivery_date=[date(2206, 1, 1), None, None])
    with connection.transaction():
        store(connection, table, rows)
    land(connection, "purchase_orders", 3, day=day)
    pulled(connection, "purchase_orders", day, rows=3, server_count=3, at=datetime.now(UTC))
    standardised(connection, "purchase_orders", day, at=datetime.now(UTC))
    configured = gated("purchase_orders", "erp/purchase_orders", duplicates={"most": 2})
    said = run(configured)
    red = {name for name, evaluation in said.items() if not evaluation.passed}
    assert red == {"dates_are_plausible"}
    # two rows too many are allowed now, and say so
    once = said["each_item_stands_once"].metadata["figures"].value[day.isoformat()]
    assert (once["measured"], once["limit"]) == (2, 2)
    dates = said["dates_are_plausible"].metadata
    assert dates["first_failed"].value[day.isoformat()]["measured"] == 1
    assert "| s | k0 | " in dates["first_failing_rows"].value
    assert "2206-01-01" in dates["first_failing_rows"].value
    assert "data:image/png;base64" in dates["plot"].value
    (kept,) = list_results(connection, red_only=True)
    assert (kept.check, kept.metadata["first"][0]["source_key"]) == ("dates_are_plausible", "k0")
    connection.execute("TRUNCATE erp.purchase_orders")


def test_a_red_finding_when_released_no_longer_stops_what_follows(connection: Connection) -> None:
    with connection.transaction():
        store(connection, TABLES["materials"], rows_of("materials", 1, base_unit=["no unit"]))
    land(connection, "materials", 1, day=None)
    pulled(connection, "materials", None, rows=1, server_count=1, at=datetime.now(UTC))
    standardised(connection, "materials", None, at=datetime.now(UTC))
    assert run(config())["rows_match_the_schema"].severity == dg.AssetCheckSeverity.ERROR
    connection.execute(
        "UPDATE quality.gate_results SET released_by = 'M. Keller', released_at = now() WHERE NOT passed"
    )
    again = run(config())["rows_match_the_schema"]
    assert not again.passed
    assert again.severity == dg.AssetCheckSeverity.WARN
    assert again.metadata["released"].value == 1
    connection.execute("TRUNCATE erp.materials")


@pytest.mark.parametrize(("within", "passed"), [("1h", False), ("3d", True)])
def test_a_day_when_it_may_be_older_by_the_configuration_is_fresh(
    connection: Connection, within: str, passed: bool
) -> None:
    pulled(connection, "purchase_orders", YESTERDAY - timedelta(days=2))
    configured = gated("purchase_orders", "erp/s/purchase_orders", freshness={"within": within})
    assert run(configured)["yesterday_is_landed"].passed == passed


@pytest.mark.parametrize(
    ("contract", "passed"),
    [("evolve", [True, True, True]), ("warn", [True, False, True]), ("freeze", [True, False, False])],
)
def test_a_schema_when_it_drifts_is_judged_by_the_contract(
    connection: Connection, contract: str, passed: list[bool]
) -> None:
    land(connection, "own_table", 1, [{"Key": "k0", "Text": "a"}], day=None)
    configured = config(contract, table="own_table")
    said = [run(configured)[DRIFT].passed]
    connection.execute("""UPDATE erp.landed_records SET raw = '{"Key": "k0", "Text": 1, "New": true}'""")
    changed = run(configured)[DRIFT]
    said += [changed.passed, run(configured)[DRIFT].passed]
    assert said == passed
    figures = changed.metadata["first_failed" if contract != "evolve" else "figures"].value[SNAPSHOT]
    assert figures["new"] == ["New"]
    assert figures["retyped"] == ["Text: number, was string"]
    # one run with another contract takes over what a frozen one refused
    assert run(config("evolve", table="own_table"))[DRIFT].passed
    assert run(configured)[DRIFT].passed


def held(connection: Connection, asset: str, days: list[date]) -> list[str]:
    return [gate.partition for gate in red_gates(connection, asset, [day.isoformat() for day in days])]


def test_days_when_their_frozen_schema_drifts_are_all_held_until_it_is_taken_over(connection: Connection) -> None:
    days = [YESTERDAY - timedelta(days=number) for number in (3, 2, 1, 0)]
    for day in days:
        land(connection, "own_table", 1, [{"Key": "k0", "Text": "a"}], day=day)
        pulled(connection, "own_table", day)
    frozen, warning = (config(contract, table="own_table", business_date="Day") for contract in ("freeze", "warn"))
    assert run(frozen)[DRIFT].passed
    connection.execute("""UPDATE erp.landed_records SET raw = '{"Key": "k0", "Text": 1}'""")
    said = run(frozen)[DRIFT]
    assert said.metadata["failed_days"].value == 4
    names = [day.isoformat() for day in days]
    assert held(connection, "erp/s/own_table", days) == names
    # one of them has more that nobody has looked at, and is not among those that the run takes over
    connection.execute("DELETE FROM erp.pulls WHERE partition_date = ANY(%s)", (days[:2],))
    connection.execute(
        """UPDATE erp.landed_records SET raw = '{"Key": "k0", "Text": 1, "New": 1}' WHERE partition_date = %s""",
        (days[0],),
    )
    assert not run(warning)[DRIFT].passed
    assert held(connection, "erp/s/own_table", days) == names[:1]
    assert run(frozen)[DRIFT].passed


def test_a_snapshot_when_judged_is_one_part(connection: Connection) -> None:
    land(connection, "materials", 2, day=None)
    pulled(connection, "materials", None, rows=2, server_count=3, at=datetime.now(UTC))
    said = run(config())
    red = {name for name, evaluation in said.items() if not evaluation.passed}
    assert red == {
        "landed_rows_equal_the_servers_count",
        # nothing of it was standardised yet
        "every_landed_record_is_accounted_for",
        "rows_are_as_new_as_what_is_landed",
    }
    assert said["every_landed_record_is_accounted_for"].severity == dg.AssetCheckSeverity.ERROR
    assert said["the_snapshot_is_fresh"].passed
    kept = list_results(connection, red_only=True)
    assert {(gate.asset, gate.partition, gate.check) for gate in kept} == {
        ("erp/s/materials", SNAPSHOT, "landed_rows_equal_the_servers_count"),
        ("erp/materials", SNAPSHOT, "every_landed_record_is_accounted_for"),
        ("erp/materials", SNAPSHOT, "rows_are_as_new_as_what_is_landed"),
    }


def test_a_snapshot_when_old_or_never_taken_is_not_fresh(connection: Connection) -> None:
    assert not run(config())["the_snapshot_is_fresh"].passed
    pulled(connection, "materials", None, at=datetime.now(UTC) - timedelta(days=3))
    assert not run(config())["the_snapshot_is_fresh"].passed


def test_days_when_checks_run_by_themselves_are_the_latest_pulled(connection: Connection) -> None:
    for day in (YESTERDAY, YESTERDAY - timedelta(days=1)):
        pulled(connection, "purchase_orders", day)
        standardised(connection, "purchase_orders", day)
    said = run(config(table="purchase_orders", business_date="Day"))
    assert {name for name, evaluation in said.items() if not evaluation.passed} == set()
    assert said["yesterday_is_landed"].metadata["latest_day"].value == YESTERDAY.isoformat()
    assert said["every_landed_record_is_accounted_for"].metadata["days"].value == 2
    assert {check.name for check in PULL_CHECKS} < set(said)


def test_a_dataset_when_it_fills_no_standard_table_is_checked_where_it_is_landed(connection: Connection) -> None:
    checks = build_erp_checks(config(table="own_table"))
    assert {spec.asset_key.path[0] for one in checks for spec in one.check_specs} == {"erp"}
    assert len(checks) == 1
    assert {standard_key(name) for name in TABLES}.isdisjoint(spec.asset_key for spec in checks[0].check_specs)
    assert run(config(table="own_table"))[DRIFT].passed


def test_business_days_of_a_run_when_it_has_a_range_are_all_of_it() -> None:
    from types import SimpleNamespace

    from gl_assets.erp.checks import days_of_run

    tags = {"dagster/asset_partition_range_start": "2026-11-01", "dagster/asset_partition_range_end": "2026-11-03"}
    context: Any = SimpleNamespace(run=SimpleNamespace(tags=tags))
    assert days_of_run(context) == [date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 3)]
    context.run.tags = {"dagster/partition": "2026-11-01"}
    assert days_of_run(context) == [date(2026, 11, 1)]
    context.run.tags = {}
    assert days_of_run(context) == []


def test_every_check_is_explained_to_those_who_see_it_red() -> None:
    explained = (REPOSITORY / "docs" / "troubleshooting" / "erp-records.md").read_text(encoding="utf-8")
    checks = [*PULL_CHECKS, *(check for table in TABLES.values() for check in table_checks(table))]
    names = {DRIFT, FRESHNESS, FRESH_MASTER, *(check.name for check in checks)}
    assert {name for name in names if f"`{name}`" not in explained} == set()
    assert all(check.description.endswith(".") for check in checks)


def test_a_table_when_nothing_was_ever_pulled_is_not_fresh_and_nothing_else(connection: Connection) -> None:
    said = run(config(table="purchase_orders", business_date="Day"))
    assert {name for name, evaluation in said.items() if not evaluation.passed} == {"yesterday_is_landed"}
    assert {evaluation.metadata["days"].value for evaluation in said.values() if "days" in evaluation.metadata} == {0}
