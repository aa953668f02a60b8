"""The same client code against an independent stand-in: mock-sap's token endpoint and its OData V4 services."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from resources.core.errors import AuthError, ProtocolError
from resources.transport.auth_config import OAuthConfig
from resources.transport.config import HttpConfig
from resources.transport.http import HttpClient
from resources.transport.odata import ODataV4, Query
from resources.transport.odata_filter import Compare

ROOT = "/sap/opu/odata4/sap/api_purchaseorder/srvd_a2x/sap/api_purchaseorder/0001"
SECRET_VARIABLE = "MOCK_SAP_SECRET"


@pytest.fixture(scope="module")
def mock_sap() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
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
