"""SAP's datasets over real sockets: both protocols, expands by batch, changes, keys alone, what the system says beside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import stamina
import structlog

from resources.core.errors import AuthError, ConfigError, ProtocolError, UnreachableError
from resources.demo_plant.erp.sap.login import SapLogin
from resources.erp.connector import Changed, Day, Part, Whole
from resources.erp.sap.client import SapClient, _header_messages
from resources.erp.sap.config import SapConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

DAY = date(2026, 11, 18)


@pytest.fixture(scope="module")
def system(authority: CertificateAuthority) -> Iterator[SapServer]:
    with sap_server(authority) as server:
        yield server


@pytest.fixture
def sap(system: SapServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[SapServer]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    system.control.reset()
    system.control.seen.clear()
    with stamina.set_testing(True, attempts=3):
        yield system


def configured(sap: SapServer, datasets: Any = None, **changes: Any) -> SapConfig:
    http = {"rate_limit_per_minute": None, **changes.pop("http", {})}
    return sap.config(datasets=datasets or list(SapConfig.shipped_datasets()), http=http, **changes)


def pull(config: SapConfig, dataset: str, part: Part, *, keys_only: bool = False) -> list[dict[str, Any]]:
    with SapClient("sap", config) as client:
        if keys_only:
            assert isinstance(part, Day | Whole)
            pages = client.fetch_keys(dataset, part)
        else:
            pages = client.fetch(dataset, part)
        return [json.loads(record) for page in pages for record in page.records]


@pytest.mark.parametrize("dataset", ["production_schedule", "cost_centers"])
def test_a_service_of_v2_when_it_does_not_page_is_read_by_skip(sap: SapServer, dataset: str) -> None:
    part = Whole() if dataset == "cost_centers" else Day(DAY)
    found = pull(configured(sap, http={"page_size": 3}), dataset, part)
    assert len(found) == len(sap.source_keys(dataset, None if dataset == "cost_centers" else DAY))
    asked = list(sap.control.seen)
    assert len(asked) == 2
    assert "$skip=3" in asked[1]
    assert all("$top=3" in one and "$inlinecount=allpages" in one and "$orderby=" in one for one in asked)


def test_a_service_of_v2_when_it_pages_itself_is_followed(sap: SapServer) -> None:
    found = pull(configured(sap, http={"page_size": 3}), "materials_v2", Whole())
    assert {record["Product"] for record in found} == sap.source_keys("materials_v2")


def test_a_day_when_asked_for_in_v2_is_written_in_its_way(sap: SapServer) -> None:
    pull(configured(sap), "production_schedule", Day(DAY))
    assert "$filter=MfgOrderPlannedStartDate eq datetime'2026-11-18T00:00:00'" in sap.control.seen[0]


def test_what_is_valid_when_asked_for_is_bounded_by_today(sap: SapServer) -> None:
    found = pull(configured(sap), "cost_centers", Whole())
    today = datetime.now(UTC).date().isoformat()
    bounds = f"ValidityStartDate le datetime'{today}T00:00:00' and ValidityEndDate ge datetime'{today}T00:00:00'"
    assert bounds in sap.control.seen[0]
    assert len({(record["ControllingArea"], record["CostCenter"]) for record in found}) == len(found) == 5


def test_changes_when_stamped_by_digits_are_asked_for_by_text(sap: SapServer) -> None:
    config = configured(sap, time_zone="Europe/Berlin")
    since = datetime(2026, 11, 18, 6, 0, 0, 1, UTC)
    pull(config, "production_schedule", Changed(since, since + timedelta(hours=1)))
    assert "LastChangeDateTime ge '20261118060001' and LastChangeDateTime lt '20261118070001'" in sap.control.seen[0]
    moved = {"production_schedule": {"options": {"changed_zone": "system"}}}
    pull(configured(sap, moved, time_zone="Europe/Berlin"), "production_schedule", Changed(since, since))
    assert "ge '20261118070001'" in sap.control.seen[1]


def test_changes_when_stamped_by_instants_reach_the_entities_around_the_records(sap: SapServer) -> None:
    until = datetime(2026, 11, 21, 12, tzinfo=UTC)
    since = until - timedelta(days=2)
    stamps = {
        order["PurchaseOrder"]: datetime.fromisoformat(order["LastChangeDateTime"])
        for order in sap.books.purchase_orders.records(DAY - timedelta(days=5), until.date())
    }
    for dataset in ("purchase_orders", "purchase_orders_v2"):
        found = pull(configured(sap), dataset, Changed(since, until))
        assert {item["PurchaseOrder"] for item in found} == {
            number for number, stamp in stamps.items() if since <= stamp < until
        }


def test_changes_when_a_dataset_has_no_stamp_are_refused(sap: SapServer) -> None:
    with pytest.raises(ConfigError, match=r"datasets.energy_consumption.changed names no property"):
        pull(configured(sap), "energy_consumption", Changed(datetime.now(UTC), datetime.now(UTC)))
    with pytest.raises(ConfigError, match="it is read as a whole, and not of 2026-11-18"):
        pull(configured(sap), "materials", Day(DAY))
    with pytest.raises(ConfigError, match=r"sap: 'no_such' is no dataset of the system"):
        pull(configured(sap), "no_such", Day(DAY))


@pytest.mark.parametrize("dataset", ["energy_consumption", "purchase_orders", "purchase_orders_v2", "cost_centers"])
def test_keys_when_asked_for_alone_come_without_the_rest(sap: SapServer, dataset: str) -> None:
    config = configured(sap)
    is_master = config.datasets[dataset].is_master
    found = pull(config, dataset, Whole() if is_master else Day(DAY), keys_only=True)
    keys = {"/".join(str(record[name]) for name in config.datasets[dataset].key) for record in found}
    assert keys == sap.source_keys(dataset, None if is_master else DAY)
    assert all(len(record) <= 4 for record in found)


@pytest.mark.parametrize("dataset", ["purchase_orders", "purchase_orders_v2"])
def test_expands_when_too_much_for_the_system_are_asked_for_by_batch(sap: SapServer, dataset: str) -> None:
    whole = pull(configured(sap), dataset, Day(DAY))
    sap.control.largest_expand = 1
    with pytest.raises(ProtocolError, match=r"Time limit exceeded.*options.expand_by: batch"):
        pull(configured(sap), dataset, Day(DAY))
    config = configured(sap, {dataset: {"options": {"expand_by": "batch"}}})
    sap.control.seen.clear()
    by_batch = pull(config, dataset, Day(DAY))
    assert by_batch == whole
    assert "$expand" not in sap.control.seen[0]
    # the batch itself
    assert len(sap.control.seen) == 2


def test_a_csrf_token_when_it_is_lost_is_fetched_once_more(sap: SapServer) -> None:
    config = configured(sap, {"purchase_orders": {"options": {"expand_by": "batch"}}}, http={"page_size": 1})
    with SapClient("sap", config) as client:
        pages = client.fetch("purchase_orders", Day(DAY))
        next(pages)
        sap.control.gate().lose_sessions()
        records = [record for page in pages for record in page.records]
    assert records
    sap.control.misbehave("csrf_lost", times=10, after=1)
    with pytest.raises(AuthError, match="CSRF"):
        pull(config, "purchase_orders", Day(DAY))


def test_an_entity_without_key_when_read_by_key_is_told(sap: SapServer) -> None:
    config = configured(sap, {"purchase_orders": {"options": {"expand_by": "batch"}}})
    sap.control.misbehave("no_key")
    with pytest.raises(ProtocolError, match="an entity without PurchaseOrder"):
        pull(config, "purchase_orders", Day(DAY))


@pytest.mark.parametrize("dataset", ["energy_consumption", "production_schedule"])
def test_an_error_when_it_has_details_is_told_with_them(sap: SapServer, dataset: str) -> None:
    sap.control.misbehave("deep_error")
    with pytest.raises(ProtocolError) as met:
        pull(configured(sap), dataset, Day(DAY))
    words = str(met.value)
    assert "GL_MSG/020 - The document cannot be read" in words
    assert "Posting period 11/2026 is not open (/PostingDate)" in words
    assert "Cost center 4711 is locked for postings" in words
    assert f"({dataset} of 2026-11-18)" in words


def test_an_error_when_it_is_xml_is_told_all_the_same(sap: SapServer) -> None:
    sap.control.misbehave("xml_error")
    with pytest.raises(ProtocolError, match=r"SY/530 - GL_MSG/021 - An exception was raised - Posting period"):
        pull(configured(sap), "production_schedule", Day(DAY))


@pytest.mark.parametrize("dataset", ["energy_consumption", "production_schedule"])
def test_warnings_of_the_system_when_they_come_with_data_are_logged_once(sap: SapServer, dataset: str) -> None:
    sap.control.warnings = ("Unit KWH\x1b[31m is obsolete",)
    with structlog.testing.capture_logs() as logs:
        found = pull(configured(sap), dataset, Day(DAY))
    told = [entry["words"] for entry in logs if entry["event"] == "system_says"]
    assert told == ["GL/001: Unit KWH\\x1b[31m is obsolete"]
    assert all("SAP__Messages" not in record for record in found)


def test_a_condition_when_configured_narrows_what_is_asked(sap: SapServer) -> None:
    own = {
        "energy_consumption": {
            "where": [{"property": "MeasuringPoint", "operator": "ne", "value": "B1-GAS"}],
            "options": {"filter": {"any": [{"property": "MeasuringPoint", "starts_with": "B1"}]}},
        }
    }
    found = pull(configured(sap, own), "energy_consumption", Day(DAY))
    assert {record["MeasuringPoint"] for record in found} == {"B1-STEAM", "B1-POWER"}


def test_a_business_date_when_it_is_an_instant_is_bounded_by_the_zone(sap: SapServer) -> None:
    own = {
        "changes": {
            "inherit": False,
            "service": "/sap/opu/odata4/sap/api_plannedorder/srvd_a2x/sap/plannedorder/0001",
            "resource": "PlannedOrderHeader",
            "key": "PlannedOrder",
            "business_date": "PlannedOrderLastChangeDateTime",
            "options": {"business_date_as": "instant"},
        }
    }
    order = sap.books.planned_orders.records(date(2026, 7, 1), date(2026, 7, 1))[0]
    day = datetime.fromisoformat(order["PlannedOrderLastChangeDateTime"]).date()
    found = pull(configured(sap, own, time_zone="Europe/Berlin"), "changes", Day(day))
    before = (day - timedelta(days=1)).isoformat()
    bounds = f"ge {before}T22:00:00Z and PlannedOrderLastChangeDateTime lt {day}T22:00:00Z"
    assert bounds in sap.control.seen[0]
    assert order["PlannedOrder"] in {record["PlannedOrder"] for record in found}
    assert len({record["PlannedOrder"] for record in found}) == len(found)


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ({"energy_consumption": {"protocol": "rest"}}, "rest is none of odata_v4, odata_v2"),
        ({"own": {"resource": "X", "key": "Y"}}, r"datasets.own.service: the root path"),
        (
            {
                "purchase_orders_v2": {
                    "options": {"filter": {"some": "to_Item", "where": {"property": "A", "value": 1}}}
                }
            },
            r"purchase_orders_v2.options.filter: .* needs OData V4",
        ),
        ({"materials": {"where": [{"property": "a b", "value": 1}]}}, r"materials.where: 'a b' is no name"),
        ({"energy_consumption": {"options": {"expand_by": "magic"}}}, r"options.expand_by"),
        ({"energy_consumption": {"options": {"finder": "x"}}}, r"options.finder"),
        ({"own": {"resource": "X", "key": "Y", "service": "/s", "explode": "Z"}}, r"own.options.order_by"),
    ],
)
def test_a_declaration_when_it_cannot_be_read_is_refused_at_once(sap: SapServer, datasets: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        configured(sap, datasets)


def test_a_property_when_the_release_lacks_it_is_told_with_the_remedy(sap: SapServer) -> None:
    own = {"energy_consumption": {"select": ["MeasurementDocument", "Heat"]}}
    with pytest.raises(ProtocolError, match=r"Property 'Heat' does not exist in type.*gl erp describe"):
        pull(configured(sap, own), "energy_consumption", Day(DAY))


def test_metadata_when_sets_and_navigations_are_missing_is_told_in_notes(sap: SapServer) -> None:
    own = {
        "energy_consumption": {"resource": "MeasurementDocuments"},
        "materials": {"expand": ["_Texts"], "changed": None},
    }
    with SapClient("sap", configured(sap, own)) as client:
        described = client.describe()
        assert client.server_time() is None
    assert "energy_consumption" not in described.properties
    notes = " | ".join(described.notes)
    assert "has no entity set MeasurementDocuments; it has MeasurementDocument" in notes
    assert "materials: Product has no navigation property _Texts" in notes
    assert "changed: LastChangeDateTime lets poll_every work" in notes
    kinds = {found.path: found.type for found in described.properties["materials"]}
    assert kinds["GrossWeight"] == "Edm.Decimal"
    assert sorted(described.files) == [
        "odata4-sap-api_measurementdocument-srvd_a2x-sap-measurementdocument-0001-metadata.xml",
        "odata4-sap-api_product-srvd_a2x-sap-product-0002-metadata.xml",
    ]


@pytest.mark.parametrize(
    ("dataset", "name"),
    [("energy_consumption", "MeasurementDocumentText"), ("financial_transactions", "DocumentItemText")],
)
def test_a_property_when_it_cannot_be_filtered_by_is_told_in_notes(sap: SapServer, dataset: str, name: str) -> None:
    own = {dataset: {"where": [{"property": name, "value": "x"}]}}
    with SapClient("sap", configured(sap, own)) as client:
        (note,) = client.describe().notes
    assert note.startswith(dataset)
    assert note.endswith(f"takes {name} in no filter")
    with pytest.raises(ProtocolError, match="cannot be used in"):
        pull(configured(sap, own), dataset, Day(DAY))


def test_metadata_of_v2_when_read_has_facets_and_what_is_behind_navigations(sap: SapServer) -> None:
    with SapClient("sap", configured(sap, ["production_schedule", "purchase_orders_v2"])) as client:
        described = client.describe()
    kinds = {found.path: found.type for found in described.properties["production_schedule"]}
    assert kinds["TotalQuantity"] == "Edm.Decimal(15,3)"
    assert kinds["to_ProductionOrderOperation.0.WorkCenter"] == "Edm.String"
    assert kinds["derived.status"] == "derived from flags"
    items = {found.path for found in described.properties["purchase_orders_v2"]}
    assert {"PurchaseOrderItem", "parent.CompanyCode", "to_ScheduleLine.0.ScheduleLineDeliveryDate"} <= items


def test_the_clock_of_the_system_when_pages_came_is_known(sap: SapServer) -> None:
    with SapClient("sap", configured(sap)) as client:
        list(client.fetch("materials", Whole()))
        told = client.server_time()
    assert told is not None
    assert abs(told - datetime.now(UTC)) < timedelta(minutes=1)


def test_entities_when_fewer_come_than_were_counted_are_refused(sap: SapServer) -> None:
    sap.control.misbehave("miscount")
    with pytest.raises(
        ProtocolError, match=r"the server counted 3 entities but sent 2 on all pages.*\(purchase_orders"
    ):
        pull(configured(sap), "purchase_orders", Day(DAY))


def test_a_look_when_a_service_is_not_there_or_talks_nonsense_names_the_dataset(sap: SapServer) -> None:
    own = {
        "energy_consumption": {"service": "/sap/opu/odata4/sap/elsewhere"},
        "materials": {},
        "purchase_orders": {},
    }
    sap.control.denied.add("CE_PURCHASEORDER_0001")
    sap.control.misbehave("truncated")
    with SapClient("sap", configured(sap, own)) as client:
        found = {finding.says.partition(" ")[0].rstrip(":"): finding for finding in client.look()}
    assert found["energy_consumption"].level == found["purchase_orders"].level == found["materials"].level == "error"
    assert "/IWFND/V4_ADMIN" in found["energy_consumption"].says
    assert "SAP_COM_" in found["purchase_orders"].says
    assert "it may be cut off" in found["materials"].says


def test_a_look_when_nothing_answers_is_an_error(sap: SapServer) -> None:
    config = configured(sap, ["materials"])
    away = config.model_copy(update={"http": config.http.model_copy(update={"base_url": "https://127.0.0.1:1"})})
    with SapClient("sap", away) as client, pytest.raises(UnreachableError):
        client.look()


def test_messages_in_a_header_when_they_are_no_json_say_nothing() -> None:
    assert list(_header_messages("Unit KWH is obsolete")) == []
    assert list(_header_messages('{"message": "soon"}')) == ["soon"]
    assert list(_header_messages(None)) == []


def test_metadata_when_it_is_none_is_refused(sap: SapServer) -> None:
    sap.control.metadata_changes["<EntitySet"] = "<Other"
    wrong = pytest.raises(ProtocolError, match=r"XML without an entity set.*\(\$metadata\)")
    with SapClient("sap", configured(sap, ["materials"])) as client, wrong:
        client.describe()


def test_a_change_stamp_when_it_is_a_date_is_asked_for_with_its_last_day(sap: SapServer) -> None:
    own = {"materials": {"changed": "LastChangeDate", "options": {"changed_as": "date"}}}
    config = configured(sap, own, time_zone="Europe/Berlin")
    since = datetime(2024, 1, 3, 23, 30, tzinfo=UTC)
    found = pull(config, "materials", Changed(since, since + timedelta(days=1)))
    assert "LastChangeDate ge 2024-01-04 and LastChangeDate le 2024-01-05" in sap.control.seen[0]
    assert {record["Product"] for record in found} == {"FIREBRICK", "WATER-FEED"}
