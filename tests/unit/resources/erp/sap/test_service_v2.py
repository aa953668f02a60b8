"""The fake SAP by itself: V2's shapes, sessions and batches, and that every day of every book is the same again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from resources.core.clock import ManualClock
from resources.demo_plant.erp.sap.demo import DATASETS, demo_app, demo_settings
from resources.demo_plant.erp.sap.login import SapLogin
from resources.demo_plant.erp.sap.services import V2, V4, make_books
from resources.erp.sap.config import SapConfig
from resources.transport.trust.certificates import CertificateAuthority
from resources.transport.trust.tls import client_context
from tests.unit.resources.erp.support import SapServer, sap_server

DAY = date(2026, 11, 18)
LOGIN = SapLogin(ways=frozenset({"basic"}))
ORDERS = f"{V2}/API_PURCHASEORDER_PROCESS_SRV"
PLANNED = f"{V4}/api_plannedorder/srvd_a2x/sap/plannedorder/0001"
PRODUCTS_V4 = f"{V4}/api_product/srvd_a2x/sap/product/0002"


@pytest.fixture(scope="module")
def system(authority: CertificateAuthority) -> Iterator[SapServer]:
    with sap_server(authority, login=LOGIN) as server:
        yield server


@pytest.fixture
def http(system: SapServer) -> Iterator[httpx.Client]:
    system.control.reset()
    tls = client_context(ca_certificate=system.authority.certificate)
    accept = {"Accept": "application/json"}
    base = f"https://127.0.0.1:{system.port}"
    with httpx.Client(base_url=base, verify=tls, auth=(LOGIN.user, LOGIN.password), headers=accept) as client:
        yield client


def session(http: httpx.Client, root: str) -> str:
    answer = http.get(root + "/", headers={"X-CSRF-Token": "Fetch"})
    assert any(cookie.startswith("SAP_SESSIONID") for cookie in http.cookies)
    return answer.headers["x-csrf-token"]


def test_an_entity_of_v2_when_read_by_key_is_wrapped(http: httpx.Client, system: SapServer) -> None:
    order = system.books.purchase_orders.day(DAY)[0]
    number = order["PurchaseOrder"]
    body = http.get(f"{ORDERS}/A_PurchaseOrder('{number}')").json()["d"]
    assert body["__metadata"]["uri"].endswith(f"/A_PurchaseOrder('{number}')")
    assert body["to_PurchaseOrderItem"]["__deferred"]["uri"].endswith("/to_PurchaseOrderItem")
    assert body["PurchaseOrderDate"] == f"/Date({_ms(DAY)})/"
    item = order["items"][0]
    key = f"PurchaseOrder='{number}',PurchaseOrderItem='{item['PurchaseOrderItem']}'"
    child = http.get(f"{ORDERS}/A_PurchaseOrderItem({key})").json()["d"]
    assert child["OrderQuantity"] == str(item["OrderQuantity"])
    assert http.get(f"{ORDERS}/A_PurchaseOrder('0')").status_code == 404
    assert http.get(f"{ORDERS}/A_PurchaseOrderItem('{number}')").status_code == 400


def _ms(day: date) -> int:
    return round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)


def test_times_of_v2_when_written_are_durations(http: httpx.Client) -> None:
    root = f"{V2}/API_PRODUCTION_ORDER_2_SRV/A_ProductionOrder_2"
    day = f"MfgOrderPlannedStartDate eq datetime'{DAY}T00:00:00' and MfgOrderPlannedStartTime ge time'PT6H'"
    found = http.get(root, params={"$filter": day, "$orderby": "MfgOrderPlannedStartTime desc"}).json()["d"]["results"]
    assert [order["MfgOrderPlannedStartTime"] for order in found] == ["PT18H00M00S", "PT12H00M00S", "PT06H00M00S"]
    assert http.get(f"{root}/$count", params={"$filter": day}).text == "3"


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("A_PurchaseOrder", {"$filter": "PurchaseOrderDate eq 2026-11-18"}, 400),
        ("A_PurchaseOrder", {"$filter": "contains(Supplier,'1')"}, 501),
        ("A_PurchaseOrder", {"$filter": "Supplier in ('1','2')"}, 400),
        ("A_PurchaseOrder", {"$filter": "PurchaseOrderDate eq datetime'soon'"}, 400),
        ("A_PurchaseOrder", {"$filter": "substringof(1,Supplier)"}, 400),
        ("A_PurchaseOrder", {"$expand": "to_Nothing"}, 400),
        ("A_PurchaseOrder", {"$count": "true"}, 501),
        ("A_Nothing", {}, 404),
    ],
)
def test_a_query_of_v2_when_not_understood_is_refused_in_its_form(
    http: httpx.Client, path: str, params: dict[str, str], status: int
) -> None:
    answer = http.get(f"{ORDERS}/{path}", params=params)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]["value"]


def test_services_when_asked_list_their_sets_and_without_json_give_atom(http: httpx.Client) -> None:
    assert "A_PurchaseOrder" in http.get(ORDERS + "/").json()["d"]["EntitySets"]
    accept = {"Accept": "application/xml"}
    assert "atom+xml" in http.get(f"{ORDERS}/A_PurchaseOrder?$top=1", headers=accept).headers["content-type"]
    assert (
        "atom" not in http.get(f"{ORDERS}/A_PurchaseOrder?$top=1&$format=json", headers=accept).headers["content-type"]
    )
    assert http.get("/sap/opu/odata/sap/API_NOTHING_SRV/").status_code == 404


def test_decimals_of_v4_when_a_client_wants_them_as_text_are(http: httpx.Client) -> None:
    url = f"{PLANNED}/PlannedOrderHeader?$top=1&$filter=PlndOrderPlannedStartDate eq {DAY}"
    assert not isinstance(http.get(url).json()["value"][0]["TotalQuantity"], str)
    accept = {"Accept": "application/json;IEEE754Compatible=true"}
    assert isinstance(http.get(url, headers=accept).json()["value"][0]["TotalQuantity"], str)


def test_an_expand_of_v4_when_it_has_options_of_its_own_keeps_to_them(http: httpx.Client) -> None:
    expand = "_ProductDescription($select=ProductDescription;$filter=Language eq 'DE')"
    found = http.get(f"{PRODUCTS_V4}/Product", params={"$expand": expand, "$select": "Product"}).json()["value"]
    brick = next(product for product in found if product["Product"] == "FIREBRICK")
    assert brick["_ProductDescription"] == [{"ProductDescription": "Schamottestein 9 × 4½ Zoll"}]


def test_a_batch_when_posted_answers_each_read_by_itself(http: httpx.Client, system: SapServer) -> None:
    number = system.books.purchase_orders.day(DAY)[0]["PurchaseOrder"]
    token = session(http, ORDERS)
    parts = "".join(
        f"--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        f"GET {url} HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n"
        for url in (f"A_PurchaseOrder('{number}')", "A_PurchaseOrder('0')")
    )
    headers = {"X-CSRF-Token": token, "Content-Type": "multipart/mixed; boundary=b"}
    answer = http.post(f"{ORDERS}/$batch", content=f"{parts}--b--\r\n", headers=headers)
    assert answer.status_code == 202
    assert answer.text.count("HTTP/1.1 200 OK") == answer.text.count("HTTP/1.1 404 Not Found") == 1


@pytest.mark.parametrize(
    ("path", "content", "kind", "status"),
    [
        ("$batch", "{}", "application/json", 415),
        ("$batch", "--b\r\nx\r\n", "multipart/mixed; boundary=b", 400),
        (
            "$batch",
            "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n--b--",
            "multipart/mixed; boundary=b",
            501,
        ),
        ("$batch", "--b\r\nContent-Type: application/http\r\n\r\nnothing\r\n--b--", "multipart/mixed; boundary=b", 400),
        ("A_PurchaseOrder", "{}", "application/json", 405),
    ],
)
def test_a_post_when_it_is_no_batch_of_reads_is_refused(
    http: httpx.Client, path: str, content: str, kind: str, status: int
) -> None:
    token = session(http, ORDERS)
    answer = http.post(f"{ORDERS}/{path}", content=content, headers={"X-CSRF-Token": token, "Content-Type": kind})
    assert answer.status_code == status


def test_a_post_when_its_token_is_another_sessions_is_refused(http: httpx.Client, system: SapServer) -> None:
    token = session(http, ORDERS)
    assert session(http, ORDERS) == token
    system.control.gate().lose_sessions()
    answer = http.post(f"{ORDERS}/$batch", headers={"X-CSRF-Token": token})
    assert (answer.status_code, answer.headers["x-csrf-token"]) == (403, "Required")


def test_every_book_when_made_again_holds_the_same() -> None:
    clock = ManualClock(datetime(2026, 11, 22, 10, 30, tzinfo=UTC))
    one, other = (make_books(seed=7, clock=clock) for _ in range(2))
    strange = make_books(seed=8, clock=clock)
    for name in ("production_orders", "planned_orders", "purchase_orders", "journal"):
        assert getattr(one, name).day(DAY) == getattr(other, name).day(DAY) != getattr(strange, name).day(DAY)
    assert json.dumps(one.cost_centers.records()) == json.dumps(other.cost_centers.records())


def test_an_order_when_time_passes_goes_through_its_states_and_is_stamped() -> None:
    clock = ManualClock(datetime(2026, 11, 1, tzinfo=UTC))
    book = make_books(clock=clock).production_orders
    states, stamps = [], []
    for at in (datetime(2026, 11, 5, tzinfo=UTC), datetime(2026, 11, 12, 9, tzinfo=UTC)):
        clock.advance((at - clock.now()).total_seconds())
        order = next(iter(book.day(DAY)), None)
        states.append(order and order["OrderIsReleased"])
        stamps.append(order and order["LastChangeDateTime"])
    assert states == [None, ""]
    assert stamps[1] == "20261111090000"


def test_documents_when_posted_balance_and_orders_have_what_belongs_to_them() -> None:
    books = make_books()
    items = books.journal.day(DAY)
    assert sum(item["AmountInCompanyCodeCurrency"] for item in items) == 0
    order = books.purchase_orders.day(DAY)[0]
    for item in order["items"]:
        expected = item["OrderQuantity"] * item["NetPriceAmount"] / item["NetPriceQuantity"]
        assert item["NetAmount"] == expected.quantize(Decimal("0.01"))
        assert item["schedule_lines"]
        assert item["accounts"]


def test_a_book_when_changed_by_hand_shows_it() -> None:
    books = make_books()
    first = books.purchase_orders.day(DAY)[0]
    books.purchase_orders.change(first["PurchaseOrder"], {"PurchaseOrderDate": "2026-11-19"}, day=DAY)
    assert first["PurchaseOrder"] not in {order["PurchaseOrder"] for order in books.purchase_orders.day(DAY)}
    moved = books.purchase_orders.day(DAY + timedelta(days=1))
    assert first["PurchaseOrder"] in {order["PurchaseOrder"] for order in moved}
    books.purchase_orders.vanish(first["PurchaseOrder"])
    books.materials.enter({"Product": "NEW", "texts": []})
    assert "NEW" in {material["Product"] for material in books.materials.records()}


def test_the_demo_when_configured_reads_every_dataset_by_one_protocol(authority: CertificateAuthority) -> None:
    config = SapConfig.model_validate(demo_settings("https://127.0.0.1:1", authority.certificate))
    assert tuple(config.datasets) == DATASETS
    tables: dict[str, Any] = {config.table_of(name): name for name in config.datasets}
    assert len(tables) == len(DATASETS) - 1
    assert demo_app("secret", 42).state.sap.gate.login.client_secret == "secret"
