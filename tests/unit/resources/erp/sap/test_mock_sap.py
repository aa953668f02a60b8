"""The same client code against an independent stand-in: mock-sap's tokens, sessions, and its services in V4 and V2."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from resources.core.errors import AuthError, ProtocolError
from resources.embedded.ports import free_port
from resources.erp.connector import Day, Part, Whole
from resources.erp.sap.client import SapClient
from resources.erp.sap.config import SapConfig
from resources.transport.auth.config import OAuthConfig
from resources.transport.connections.config import HttpConfig
from resources.transport.http.client import HttpClient
from resources.transport.odata.filters import Compare
from resources.transport.odata.v4 import ODataV4, Query

ROOT = "/sap/opu/odata4/sap/api_purchaseorder/srvd_a2x/sap/api_purchaseorder/0001"
SECRET_VARIABLE = "MOCK_SAP_SECRET"


@pytest.fixture(scope="module")
def mock_sap() -> Iterator[str]:
    port = free_port()
    arguments = ["--port", str(port), "--oauth", "gl:mock-secret", "--token-ttl", "3", "--quiet"]
    process = subprocess.Popen([sys.executable, "-m", "mocksap", *arguments])
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "mock-sap did not start"
                time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def client(url: str) -> HttpClient:
    http = HttpConfig.model_validate({"base_url": url, "insecure_plain_http": True, "attempts": 1})
    oauth = OAuthConfig.model_validate(
        {
            "token_url": f"{url}/sap/bc/sec/oauth2/token",
            "client_id": "gl",
            "client_secret": f"${{{SECRET_VARIABLE}}}",
            "scope": "API_PURCHASEORDER_0001",
        }
    )
    return HttpClient("mock", http, auth=oauth)


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "mock-secret")


def test_purchase_orders_when_listed_are_counted_and_filtered(mock_sap: str) -> None:
    with client(mock_sap) as http:
        service = ODataV4(http, ROOT, page_size=100)
        pages = list(service.pages("PurchaseOrder", Query(count=True, orderby=("PurchaseOrder",))))
        orders = [json.loads(record) for page in pages for record in page.records]
        assert len(orders) == pages[0].count
        assert orders
        number = orders[0]["PurchaseOrder"]
        query = Query(filter=Compare("PurchaseOrder", "eq", number), select=("PurchaseOrder", "Supplier"), count=True)
        only = next(service.pages("PurchaseOrder", query))
        assert only.count == 1
        assert json.loads(only.records[0])["PurchaseOrder"] == number
        none = Query(filter=Compare("PurchaseOrder", "eq", "x' or '1' eq '1"), count=True)
        assert next(service.pages("PurchaseOrder", none)).count == 0
        assert http.token_requests == 1


def test_a_wrong_secret_when_sent_to_it_is_an_auth_error(mock_sap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "wrong-secret")
    with client(mock_sap) as http, pytest.raises(AuthError) as refused:
        http.get_json(ROOT + "/PurchaseOrder")
    assert "wrong-secret" not in str(refused.value)


def test_its_errors_when_met_are_told_in_its_own_words(mock_sap: str) -> None:
    with client(mock_sap) as http, pytest.raises(ProtocolError, match=r"HTTP 4.., the server says:"):
        http.get_json(ROOT + "/PurchaseOrder?$filter=NoSuchField%20eq%201")


def sap(url: str, datasets: dict[str, Any]) -> SapConfig:
    """Return the configuration of mock-sap; what it lacks of the published services is left out of the declarations."""
    return SapConfig.model_validate(
        {
            "kind": "sap",
            "http": {"base_url": url, "insecure_plain_http": True, "rate_limit_per_minute": None, "page_size": 4},
            "auth": {
                "token_url": f"{url}/sap/bc/sec/oauth2/token",
                "client_id": "gl",
                "client_secret": f"${{{SECRET_VARIABLE}}}",
                "scope": "API_PURCHASEORDER_0001",
            },
            "company": "1710",
            "datasets": datasets,
        }
    )


ORDERS: dict[str, Any] = {"expand": [], "changed": None}


def pull(config: SapConfig, dataset: str, part: Part) -> list[dict[str, Any]]:
    with SapClient("mock", config) as reader:
        return [json.loads(record) for page in reader.fetch(dataset, part) for record in page.records]


@pytest.mark.parametrize("by", ["query", "batch"])
def test_items_of_v2_when_pulled_by_day_are_those_of_its_orders(mock_sap: str, by: str) -> None:
    options = {"order_by": "PurchaseOrder", "expand_by": by}
    config = sap(mock_sap, {"purchase_orders_v2": {**ORDERS, "options": options}})
    found = pull(config, "purchase_orders_v2", Day(date(2025, 7, 22)))
    assert found
    assert {item["parent"]["PurchaseOrderDate"] for item in found} == {"/Date(1753142400000)/"}
    assert all(item["PurchaseOrder"] == item["parent"]["PurchaseOrder"] for item in found)
    expected = Decimal(found[0]["OrderQuantity"]) * Decimal(found[0]["NetPriceAmount"])
    assert Decimal(found[0]["derived"]["net_amount"]) == expected / Decimal(found[0]["NetPriceQuantity"])
    assert pull(config, "purchase_orders_v2", Day(date(2025, 7, 23))) == []


def test_materials_of_v2_when_pulled_whole_have_their_text_in_the_language_first(mock_sap: str) -> None:
    config = sap(mock_sap, {"materials_v2": {"changed": None}})
    found = pull(config, "materials_v2", Whole())
    assert len({record["Product"] for record in found}) == len(found) > 4
    assert {record["to_Description"][0]["Language"] for record in found} == {"EN"}
    assert all("to_Plant" not in record and "__metadata" not in record for record in found)


def test_journal_items_when_selected_are_those_of_the_day(mock_sap: str) -> None:
    select = ["CompanyCode", "FiscalYear", "AccountingDocument", "AccountingDocumentItem", "PostingDate", "GLAccount"]
    config = sap(mock_sap, {"financial_transactions": {"select": select}})
    found = pull(config, "financial_transactions", Day(date(2025, 9, 11)))
    assert found
    assert {record["PostingDate"] for record in found} == {"/Date(1757548800000)/"}


def test_entities_of_v4_when_behind_another_release_are_declared_in_a_few_lines(mock_sap: str) -> None:
    own = {
        "inherit": False,
        "service": ROOT,
        "resource": "PurchaseOrder",
        "key": ["PurchaseOrder", "PurchaseOrderItem"],
        "business_date": "parent.PurchaseOrderDate",
        "explode": "to_PurchaseOrderItem",
        "options": {"order_by": "PurchaseOrder", "business_date_as": "instant"},
    }
    found = pull(sap(mock_sap, {"orders": own}), "orders", Day(date(2025, 7, 22)))
    by_v2 = pull(sap(mock_sap, {"purchase_orders_v2": ORDERS}), "purchase_orders_v2", Day(date(2025, 7, 22)))
    assert [item["PurchaseOrderItem"] for item in found] == [item["PurchaseOrderItem"] for item in by_v2]


def test_metadata_of_both_versions_when_described_is_understood(mock_sap: str) -> None:
    datasets = {
        "purchase_orders_v2": {**ORDERS, "fields": {"net_amount": "derived.net_amount"}},
        "materials_v2": {"changed": None},
        "orders": {"inherit": False, "service": ROOT, "resource": "PurchaseOrder", "key": "PurchaseOrder"},
    }
    with SapClient("mock", sap(mock_sap, datasets)) as reader:
        described = reader.describe()
        assert {finding.level for finding in reader.look()} == {"ok"}
    found = {name: {one.path for one in known} for name, known in described.properties.items()}
    assert {"PurchaseOrderItem", "parent.Supplier"} <= found["purchase_orders_v2"]
    assert "to_Description.0.ProductDescription" in found["materials_v2"]
    assert "PurchaseOrderDate" in found["orders"]
    # mock-sap has fewer properties than the service that it stands for
    assert "derived.net_amount" not in found["purchase_orders_v2"]
