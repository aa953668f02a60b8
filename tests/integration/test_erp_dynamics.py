"""Dynamics records all the way: pulled over TLS, landed, and brought into the form of the standard tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pandas as pd
import psycopg
import pytest

from gl_assets.erp.tables import TABLES
from gl_assets.transforms.erp.facts import SystemFacts
from gl_assets.transforms.erp.mapping import paths_read, standardise
from gl_assets.transforms.erp.validation import judge
from resources.core.clock import ManualClock
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.demo_plant.erp.dynamics.ledger import COST_CENTERS
from resources.erp.connector import Day, Whole
from resources.erp.dynamics.client import DynamicsClient
from resources.erp.dynamics.config import DynamicsConfig
from resources.erp.landed.landing import LandedDay, Landing, land_day, land_snapshot
from resources.erp.standardised.standard import landed_columns
from resources.transport.trust.certificates import CertificateAuthority
from tests.integration.erp_platform import Platform
from tests.unit.resources.erp.dynamics.support import DAY, SECRET_VARIABLE, DynamicsServer, dynamics_server
from tests.unit.resources.erp.support import integrations

NOW = datetime(2026, 11, 22, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def environment(authority: CertificateAuthority) -> Iterator[DynamicsServer]:
    with dynamics_server(authority, clock=ManualClock(NOW)) as server:
        yield server


@pytest.fixture
def dynamics(environment: DynamicsServer, monkeypatch: pytest.MonkeyPatch) -> DynamicsServer:
    monkeypatch.setenv(SECRET_VARIABLE, EntraApp().client_secret)
    environment.behave()
    return environment


def land(url: str, config: DynamicsConfig, dataset: str, day: date | None = DAY) -> LandedDay:
    declared = config.datasets[dataset]
    landing = Landing("d365", dataset, day, declared, "run", config.day_of(dataset))
    with DynamicsClient("d365", config) as client, psycopg.connect(url) as connection:
        if day is None:
            return land_snapshot(connection, landing, client.fetch(dataset, Whole()), now=NOW)
        return land_day(connection, landing, client.fetch(dataset, Day(day)), now=NOW)


def rows(url: str, config: DynamicsConfig, dataset: str, day: date | None = DAY) -> pd.DataFrame:
    """Return the standard rows of what is landed; every one of them has to keep the rules of its table."""
    declared, table = config.datasets[dataset], TABLES[config.table_of(dataset)]
    facts = SystemFacts(
        "d365",
        config.company,
        config.time_zone,
        kind=config.kind,
        unit_codes=config.unit_codes,
        day=day,
        business_date=getattr(table, "business_date", None),
    )
    with psycopg.connect(url) as connection:
        columns = landed_columns(connection, "d365", dataset, day, paths_read(declared, config.kind))
    found = standardise(columns, declared, table.schema, facts)
    judged = judge(found.rows[~found.withdrawn], table.schema, found.problems)
    assert judged.reasons.empty, judged.reasons.to_dict()
    return judged.good


def test_cost_allocation_when_mapped_charges_each_cost_center_with_its_escaped_name(
    dynamics: DynamicsServer, database_url: str
) -> None:
    config = dynamics.config()
    landed = land(database_url, config, "cost_allocation")
    assert landed.rows == landed.server_count == 2 * len(COST_CENTERS)
    found = rows(database_url, config, "cost_allocation")
    assert sorted(found["cost_center"]) == sorted(2 * [center.value for center in COST_CENTERS])
    assert set(found["company"]) == {"usmf", "demf"}
    assert set(found["currency"]) == {"USD", "EUR"}
    assert set(found["period_start"]) == {DAY}
    book = [r for r in dynamics.book.day("LedgerJournalLines", DAY) if r["JournalBatchNumber"].startswith("A")]
    there = sum(Decimal(str(record["DebitAmount"])) for record in book)
    assert sum(found["amount"]) == there


def test_ledger_entries_when_mapped_balance_and_are_split_by_the_format(
    dynamics: DynamicsServer, database_url: str
) -> None:
    config = dynamics.config()
    land(database_url, config, "financial_transactions")
    found = rows(database_url, config, "financial_transactions")
    assert sum(found["amount"]) == 0
    assert set(found["account"]) <= {"618100", "605000", "606300", "211100"}
    assert set(found.loc[found["account"] == "211100", "debit_credit"]) == {"credit"}
    assert set(found.loc[found["account"] == "618100", "cost_center"]) == {center.value for center in COST_CENTERS}
    assert found.loc[found["account"] == "605000", "cost_center"].isna().all()


def test_production_orders_when_mapped_have_instants_by_the_systems_zone_and_no_dates_of_1900(
    dynamics: DynamicsServer, database_url: str
) -> None:
    config = dynamics.config(time_zone="Europe/Berlin")
    land(database_url, config, "production_schedule")
    found = rows(database_url, config, "production_schedule").set_index("order_id")
    orders = {r["ProductionOrderNumber"]: r for r in dynamics.book.day("ProductionOrderHeaders", DAY)}
    assert set(found.index) == set(orders)
    number, order = next(iter(orders.items()))
    midnight = datetime(2026, 11, 19, 23, tzinfo=UTC)
    assert (found.loc[number, "planned_start"] - midnight).total_seconds() == order["ScheduledStartTime"]
    running = [number for number, order in orders.items() if order["EndedDate"].startswith("1900")]
    assert running
    assert found.loc[running, "actual_end"].isna().all()
    assert found["actual_start"].notna().all()
    assert set(found["unit"]) == {"{each}"}


def test_purchase_order_lines_when_mapped_have_currency_and_date_of_their_order(
    dynamics: DynamicsServer, database_url: str
) -> None:
    config = dynamics.config()
    landed = land(database_url, config, "purchase_orders")
    found = rows(database_url, config, "purchase_orders")
    assert len(found) == landed.rows == landed.server_count
    assert set(found["order_date"]) == {DAY}
    assert set(found["currency"]) == {"USD", "EUR"}
    assert set(found["cost_center"]) <= {center.value for center in COST_CENTERS}
    assert set(found["unit"]) <= {"m3", "kg", "{each}"}


def test_a_line_when_canceled_leaves_the_standard_table(dynamics: DynamicsServer, database_url: str) -> None:
    config = dynamics.config()
    line = dynamics.book.day("PurchaseOrderLinesV2", DAY)[0]
    dynamics.book.enter("PurchaseOrderLinesV2", {**line, "PurchaseOrderLineStatus": "Canceled"}, day=DAY)
    landed = land(database_url, config, "purchase_orders")
    assert len(rows(database_url, config, "purchase_orders")) == landed.rows - 1


def test_cost_centers_when_mapped_are_valid_without_end(dynamics: DynamicsServer, database_url: str) -> None:
    config = dynamics.config()
    land(database_url, config, "cost_centers", None)
    found = rows(database_url, config, "cost_centers", None)
    assert set(found["cost_center"]) == {center.value for center in COST_CENTERS}
    assert found["valid_from"].isna().all()
    assert found["valid_to"].isna().all()
    assert set(found["responsible"]) == {"000020"}


def test_a_currency_when_there_is_none_of_that_code_is_landed_and_rejected_with_the_reason(
    dynamics: DynamicsServer, database_url: str
) -> None:
    config = dynamics.config()
    dynamics.control.misbehave("odd_currency")
    landed = land(database_url, config, "financial_transactions")
    assert landed.rows == len(dynamics.book.day("GeneralJournalAccountEntries", DAY))
    with pytest.raises(AssertionError, match="currency must be one of ISO 4217|ZZZ"):
        rows(database_url, config, "financial_transactions")


def test_a_day_when_pulled_again_after_a_change_writes_that_record_alone(
    dynamics: DynamicsServer, database_url: str
) -> None:
    config = dynamics.config()
    land(database_url, config, "production_schedule")
    order = dynamics.book.day("ProductionOrderHeaders", DAY)[0]
    dynamics.book.enter("ProductionOrderHeaders", {**order, "ProductionOrderStatus": "Completed"}, day=DAY)
    again = land(database_url, config, "production_schedule")
    assert (again.written, again.vanished) == (1, 0)


def test_a_system_when_its_job_runs_fills_all_five_tables_and_no_check_is_red(
    authority: CertificateAuthority, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    monkeypatch.setenv(SECRET_VARIABLE, EntraApp().client_secret)
    with dynamics_server(authority) as server:
        config = integrations({"d365": server.settings(http={"page_size": 1000})})
        platform = Platform(config, database_url, tmp_path)
        days = [date(2026, 11, 17), date(2026, 11, 18)]
        result = platform.pull(*days, system="d365")
        assert result.success
        landed = dict(platform.rows("SELECT dataset, count(*) FROM erp.landed_records GROUP BY dataset"))
        standard = {
            name: platform.one(f"SELECT count(*) FROM erp.{name}") for name in config.erp.systems["d365"].datasets
        }
        entries = sum(len(server.book.day("GeneralJournalAccountEntries", day)) for day in days)
    assert landed == standard
    assert landed["financial_transactions"] == entries
    assert landed["cost_centers"] == len(COST_CENTERS)
    assert platform.one("SELECT count(*) FROM erp.rejected_records") == 0
    red = {c.check_name for c in result.get_asset_check_evaluations() if not c.passed}
    assert red <= {"yesterday_is_landed"}
