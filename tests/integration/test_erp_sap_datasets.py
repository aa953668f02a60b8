"""SAP's datasets all the way: pulled over TLS, landed, and brought into the form of the standard tables."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pandas as pd
import psycopg
import pytest

from gl_assets.erp.tables import TABLES
from gl_assets.transforms.erp.facts import SystemFacts
from gl_assets.transforms.erp.mapping import paths_read, standardise
from gl_assets.transforms.erp.validation import judge
from resources.core.clock import ManualClock
from resources.demo_plant.erp.sap.login import SapLogin
from resources.erp.connector import Day, Whole
from resources.erp.landed.landing import LandedDay, Landing, land_day, land_snapshot
from resources.erp.sap.client import SapClient
from resources.erp.sap.config import SapConfig
from resources.erp.standardised.standard import landed_columns
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
DAY = date(2026, 11, 18)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def system(authority: CertificateAuthority) -> Iterator[SapServer]:
    with sap_server(authority, zone="Europe/Berlin", clock=ManualClock(NOW)) as server:
        yield server


@pytest.fixture
def sap(system: SapServer, monkeypatch: pytest.MonkeyPatch) -> SapServer:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    system.control.reset()
    return system


def configured(sap: SapServer) -> SapConfig:
    return sap.config(time_zone="Europe/Berlin", datasets=list(SapConfig.shipped_datasets()))


def land(url: str, config: SapConfig, dataset: str, day: date | None = DAY) -> LandedDay:
    declared = config.datasets[dataset]
    landing = Landing("sap", dataset, day, declared, "run", config.day_of(dataset))
    with SapClient("sap", config, clock=ManualClock(NOW)) as client, psycopg.connect(url) as connection:
        if day is None:
            return land_snapshot(connection, landing, client.fetch(dataset, Whole()), now=NOW)
        return land_day(connection, landing, client.fetch(dataset, Day(day)), now=NOW)


def rows(url: str, config: SapConfig, dataset: str, day: date | None = DAY) -> pd.DataFrame:
    """Return the standard rows of what is landed; every one of them has to keep the rules of its table."""
    declared, table = config.datasets[dataset], TABLES[config.table_of(dataset)]
    facts = SystemFacts(
        "sap",
        config.company,
        config.time_zone,
        kind=config.kind,
        unit_codes=config.unit_codes,
        day=day,
        business_date=getattr(table, "business_date", None),
    )
    with psycopg.connect(url) as connection:
        columns = landed_columns(connection, "sap", dataset, day, paths_read(declared, config.kind))
    found = standardise(columns, declared, table.schema, facts)
    judged = judge(found.rows[~found.withdrawn], table.schema, found.problems)
    assert judged.reasons.empty, judged.reasons.to_dict()
    return judged.good


def pulled(sap: SapServer, url: str, dataset: str, day: date | None = DAY) -> pd.DataFrame:
    config = configured(sap)
    landed = land(url, config, dataset, day)
    assert landed.rows == landed.server_count == len(sap.source_keys(dataset, day))
    return rows(url, config, dataset, day)


def test_production_orders_when_mapped_have_instants_states_and_work_centers(sap: SapServer, database_url: str) -> None:
    found = pulled(sap, database_url, "production_schedule").set_index("order_id")
    order = sap.books.production_orders.day(DAY)[1]
    row = found.loc[order["ManufacturingOrder"]]
    start = datetime.fromisoformat(f"{order['MfgOrderPlannedStartDate']}T{order['MfgOrderPlannedStartTime']}")
    assert row["planned_start"] == start.replace(tzinfo=BERLIN)
    assert row["quantity"] == order["TotalQuantity"]
    assert (row["unit"], row["work_center"], row["plant_code"]) == ("t", "BLR2", "P100")
    assert row["status"] == "technically completed"
    assert row["actual_start"] < row["actual_end"]
    assert set(found["unit"]) == {"t", "kg", "{piece}"}
    assert "100200" in set(found["material"])


def test_orders_when_not_begun_have_no_actual_times(sap: SapServer, database_url: str) -> None:
    day = NOW.date() + timedelta(days=1)
    found = pulled(sap, database_url, "production_schedule", day)
    assert set(found["status"]) == {"released"}
    assert found["actual_start"].isna().all()
    assert found["actual_end"].isna().all()
    assert found["planned_end"].notna().all()


def test_planned_orders_when_mapped_stand_beside_production_orders(sap: SapServer, database_url: str) -> None:
    orders = pulled(sap, database_url, "production_schedule")
    planned = pulled(sap, database_url, "planned_orders")
    assert all(key.startswith("planned/") for key in planned["source_key"])
    assert not set(orders["source_key"]) & set(planned["source_key"])
    assert set(planned["status"]) == {"planned"}


@pytest.mark.parametrize("dataset", ["purchase_orders", "purchase_orders_v2"])
def test_purchase_orders_when_mapped_are_the_same_by_both_protocols(
    sap: SapServer, database_url: str, dataset: str
) -> None:
    config = configured(sap)
    items = [item for order in sap.books.purchase_orders.day(DAY) for item in order["items"]]
    assert land(database_url, config, dataset).rows == len(items)
    found = rows(database_url, config, dataset).set_index(["order_id", "item"])
    assert len(found) == len(items)
    for item in items:
        row = found.loc[(item["PurchaseOrder"], item["PurchaseOrderItem"])]
        assert row["quantity"] == item["OrderQuantity"]
        assert row["net_amount"].quantize(Decimal("0.01")) == item["NetAmount"]
        assert row["delivery_date"].isoformat() == item["schedule_lines"][0]["ScheduleLineDeliveryDate"]
        assert row["cost_center"] == item["accounts"][0]["CostCenter"]
        assert row["order_date"] == DAY
        assert row["currency"] in ("EUR", "USD")


def test_cost_centers_when_mapped_are_those_valid_today(sap: SapServer, database_url: str) -> None:
    found = pulled(sap, database_url, "cost_centers", None).set_index("cost_center")
    assert found.loc["4711", "name"] == "Boiler house"
    assert found.loc["ENERGY", "responsible"] == "O'Neil"
    assert set(found["valid_from"]) == {date(2026, 1, 1)}
    assert set(found["valid_to"]) == {date(9999, 12, 31)}


@pytest.mark.parametrize("dataset", ["materials", "materials_v2"])
def test_materials_when_mapped_have_their_description_in_the_language_asked_for(
    sap: SapServer, database_url: str, dataset: str
) -> None:
    found = pulled(sap, database_url, dataset, None).set_index("material")
    assert found.loc["GAS-NAT", "description"] == "Natural gas"
    assert found.loc["STEAM-HP", "base_unit"] == "t"
    # V4 asks for the language alone, V2 gives what there is
    german = found.loc["FIREBRICK", "description"]
    assert pd.isna(german) if dataset == "materials" else german.startswith("Schamottestein")


def test_postings_when_mapped_balance(sap: SapServer, database_url: str) -> None:
    found = pulled(sap, database_url, "financial_transactions")
    assert sum(found["amount"]) == 0
    for _, lines in found.groupby("transaction_id"):
        assert sum(lines["amount"]) == 0
        assert set(lines["debit_credit"]) == {"debit", "credit"}
    assert (found.loc[found["debit_credit"] == "credit", "amount"] < 0).all()
    assert set(found["posting_date"]) == {DAY}


def test_measurements_when_mapped_are_in_the_unit_of_entry(sap: SapServer, database_url: str) -> None:
    found = pulled(sap, database_url, "energy_consumption")
    assert set(found["consumption_unit"]) == {"m3", "t", "kW.h"}
    power = found[found["meter_id"] == "B1-POWER"]
    assert float(power["consumption_value"].sum()) == pytest.approx(64 * 24, rel=0.05)
