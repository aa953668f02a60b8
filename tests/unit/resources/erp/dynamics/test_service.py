"""FakeDynamics by a bare HTTP client: what the connector's tests rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from resources.core.clock import ManualClock
from resources.demo_plant.erp.dynamics.book import DynamicsBook
from resources.demo_plant.erp.dynamics.entities import ENUMS, entity_sets
from resources.demo_plant.erp.dynamics.query import BadQueryError, parse_filter
from resources.transport.trust.tls import client_context
from tests.unit.resources.erp.dynamics.support import DAY, DynamicsServer
from tests.unit.resources.erp.support import instant

SETS = entity_sets("GeneralJournalAccountEntries")
ORDERS = SETS["ProductionOrderHeaders"].properties


class Bare:
    """Signs in once and reads."""

    def __init__(self, server: DynamicsServer) -> None:
        self.server = server
        tls = client_context(ca_certificate=server.authority.certificate, allow_tls_1_2=False, pinned_sha256=())
        self.http = httpx.Client(base_url=server.base, verify=tls)

    def token(self, path: str = "/oauth2/v2.0/token", **form: Any) -> httpx.Response:
        app = self.server.app
        given = {"grant_type": "client_credentials", "client_id": app.client_id, "client_secret": app.client_secret}
        return self.http.post(f"/{app.tenant}{path}", data={**given, "scope": f"{self.server.base}/.default", **form})

    def sign_in(self) -> None:
        self.http.headers["Authorization"] = f"Bearer {self.token().json()['access_token']}"

    def get(self, entity_set: str, prefer: str = "", **options: str) -> httpx.Response:
        named = {("cross-company" if name == "across" else f"${name}"): value for name, value in options.items()}
        return self.http.get(f"/data/{entity_set}", params=named, headers={"Prefer": prefer} if prefer else {})


@pytest.fixture
def bare(dynamics: DynamicsServer) -> Iterator[Bare]:
    client = Bare(dynamics)
    client.sign_in()
    yield client
    client.http.close()


def test_a_read_when_not_across_companies_is_of_the_default_company_whatever_the_filter(bare: Bare) -> None:
    day = f"ScheduledStartDate eq {DAY}T12:00:00Z"
    other = f"{day} and dataAreaId eq 'demf'"
    assert {r["dataAreaId"] for r in bare.get("ProductionOrderHeaders", filter=day).json()["value"]} == {"usmf"}
    assert bare.get("ProductionOrderHeaders", filter=other).json()["value"] == []
    across = bare.get("ProductionOrderHeaders", filter=other, across="true").json()["value"]
    assert {record["dataAreaId"] for record in across} == {"demf"}


def test_pages_when_smaller_pages_are_preferred_link_to_each_other_absolutely(bare: Bare) -> None:
    address: str | None = ""
    sizes, total = [], 0
    answer = bare.get(
        "LedgerJournalLines", prefer="odata.maxpagesize=9", filter=f"TransDate eq {DAY}T12:00:00Z", count="true"
    )
    while address is not None:
        assert answer.headers["preference-applied"] == "odata.maxpagesize=9"
        body = answer.json()
        sizes.append(len(body["value"]))
        total = body["@odata.count"]
        address = body.get("@odata.nextLink")
        if address is not None:
            assert address.startswith(f"{bare.server.base}/data/LedgerJournalLines?")
            answer = bare.http.get(address, headers={"Prefer": "odata.maxpagesize=9"})
    assert sum(sizes) == total
    assert len(sizes) > 1


def test_top_and_skip_when_given_cut_the_whole_result(bare: Bare) -> None:
    whole = bare.get("OperatingUnits", orderby="OperatingUnitNumber desc").json()["value"]
    part = bare.get("OperatingUnits", orderby="OperatingUnitNumber desc", top="2", skip="1").json()
    assert [r["OperatingUnitNumber"] for r in part["value"]] == [r["OperatingUnitNumber"] for r in whole[1:3]]
    assert "@odata.nextLink" not in part


@pytest.mark.parametrize(
    "options",
    [
        {"filter": "dataAreaId in ('usmf')"},
        {"filter": "ProductionOrderStatus has 'x'"},
        {"filter": "contains(ItemNumber,'x')"},
        {"filter": "ProductionOrderStatus eq 'Released'"},
        {"filter": "Missing eq 1"},
        {"filter": "ItemNumber eq 'a' and"},
        {"filter": "(ItemNumber eq 'a'"},
        {"filter": "(ItemNumber eq 'a' ItemNumber"},
        {"filter": "ItemNumber eq 3"},
        {"filter": "ItemNumber like 'a'"},
        {"select": "Missing"},
        {"orderby": "Missing"},
        {"orderby": "ItemNumber up"},
        {"expand": "Missing"},
        {"expand": "ReleasedProductV2($expand=X)"},
        {"expand": "ReleasedProductV2($select=Missing)"},
        {"search": "x"},
        {"top": "many"},
        {"skiptoken": "%%%"},
        {"skiptoken": "xxxx"},
    ],
    ids=str,
)
def test_a_query_when_the_dialect_lacks_it_is_refused_with_its_words_in_innererror(
    bare: Bare, options: dict[str, str]
) -> None:
    answer = bare.get("ProductionOrderHeaders", **options)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] == "An error has occurred."
    assert error["innererror"]["message"]


def test_a_set_when_written_in_another_case_is_not_found(bare: Bare) -> None:
    assert bare.get("productionorderheaders").status_code == 404
    assert bare.http.get("/elsewhere").json()["Message"].startswith("No HTTP resource was found")


def test_sets_and_types_when_asked_for_are_listed(bare: Bare) -> None:
    names = {entry["name"] for entry in bare.http.get("/data").json()["value"]}
    assert names == set(bare.server.book.sets)
    metadata = bare.http.get("/data/$metadata").text
    assert all(f'<EnumType Name="{name}">' in metadata for name in ENUMS)


def test_a_read_when_nobody_signed_in_is_401_and_says_where_to_sign_in(dynamics: DynamicsServer) -> None:
    client = Bare(dynamics)
    for path in ("/data", "/data/$metadata", "/data/LegalEntities"):
        answer = client.http.get(path)
        assert (answer.status_code, answer.content) == (401, b"")
        assert answer.headers["www-authenticate"].startswith("Bearer authorization_uri=")
    client.http.close()


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "other"}, 400, "unauthorized_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "https://x"}, 400, "invalid_scope"),
        ({"path": "/oauth2/token"}, 400, "invalid_request"),
        ({"client_assertion": "x", "client_assertion_type": "y"}, 401, "invalid_client"),
    ],
)
def test_a_token_when_wrongly_asked_for_is_refused(bare: Bare, form: dict[str, str], status: int, error: str) -> None:
    answer = bare.token(**form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_the_token_endpoint_when_told_answers_its_sign_in_page(bare: Bare) -> None:
    bare.server.control.misbehave("token_html")
    assert "html" in bare.token().headers["content-type"]


def test_a_fault_when_there_is_none_of_that_name_is_an_error(dynamics: DynamicsServer) -> None:
    with pytest.raises(ValueError, match="no fault 'explode'"):
        dynamics.control.misbehave("explode")


@pytest.mark.parametrize(
    ("kind", "seen"),
    [("no_key", None), ("odd_currency", "ZZZ"), ("huge_field", 10_000_000)],
)
def test_a_record_when_told_is_spoilt(bare: Bare, kind: str, seen: object) -> None:
    bare.server.control.misbehave(kind)
    record = bare.get("LedgerJournalLines", top="1").json()["value"][0]
    assert {
        "no_key": record.get("LineNumber"),
        "odd_currency": record["CurrencyCode"],
        "huge_field": len(record["Text"]),
    }[kind] == seen


def test_a_slow_answer_when_told_comes_all_the_same(bare: Bare) -> None:
    bare.server.control.misbehave("slow", seconds=0.01)
    assert bare.get("LegalEntities").status_code == 200


@pytest.mark.parametrize(
    ("text", "row", "holds"),
    [
        ("ItemNumber eq 'HX*'", {"ItemNumber": "hx-1"}, True),
        ("ItemNumber ne 'HX*'", {"ItemNumber": "hx-1"}, False),
        ("ItemNumber eq 'o''clock'", {"ItemNumber": "O'CLOCK"}, True),
        ("not (ItemNumber eq 'a') and ScheduledQuantity ge 2", {"ItemNumber": "b", "ScheduledQuantity": 2}, True),
        ("ItemNumber eq 'a' or ItemNumber eq 'b'", {"ItemNumber": "b"}, True),
        ("ItemNumber eq null", {}, True),
        ("ItemNumber ne null", {}, False),
        ("ScheduledQuantity gt 1.5", {"ScheduledQuantity": "many"}, False),
        ("DeliveryDate lt 2026-11-21", {"DeliveryDate": "2026-11-20T23:00:00Z"}, True),
        ("DeliveryDate lt 2026-11-21", {"DeliveryDate": "soon"}, True),
    ],
)
def test_a_filter_when_it_is_of_the_dialect_judges_a_row(text: str, row: dict[str, Any], holds: bool) -> None:
    assert parse_filter(text, ORDERS).holds(row) is holds


@pytest.mark.parametrize(
    "literal", ["x.NoYes'Yes'", "Microsoft.Dynamics.DataEntities.ProdStatus'Unheard'"], ids=["type", "member"]
)
def test_an_enumeration_when_the_literal_is_of_another_one_is_refused(literal: str) -> None:
    with pytest.raises(BadQueryError):
        parse_filter(f"ProductionOrderStatus eq {literal}", ORDERS)


def test_days_when_generated_twice_are_the_same_and_balanced() -> None:
    one, other = (DynamicsBook(clock=ManualClock(instant("2026-11-22T06:00:00"))) for _ in range(2))
    for name in one.business_dates:
        assert one.day(name, DAY) == other.day(name, DAY)
    lines = one.day("LedgerJournalLines", DAY)
    assert round(sum(line["DebitAmount"] - line["CreditAmount"] for line in lines), 2) == 0
    assert one.day("LedgerJournalLines", one.first_day)
    assert not one.day("LedgerJournalLines", DAY.replace(year=2020))


def test_records_when_changed_by_hand_move_vanish_and_return(dynamics: DynamicsServer) -> None:
    book, name = dynamics.book, "ProductionOrderHeaders"
    first, second = book.day(name, DAY)[:2]
    other_day = DAY.replace(day=21)
    book.enter(name, {**first, "ItemNumber": "moved"}, day=other_day)
    book.vanish(name, second)
    assert first not in book.day(name, DAY)
    assert second not in book.day(name, DAY)
    assert "moved" in {record["ItemNumber"] for record in book.day(name, other_day)}
    unit = book.masters("OperatingUnits")[0]
    book.enter("OperatingUnits", {**unit, "Name": "renamed"}, day=DAY)
    assert book.masters("OperatingUnits")[0]["Name"] == "renamed"
    book.restore()
    assert first in book.day(name, DAY)


def test_orders_when_not_scheduled_are_found_under_the_null_date(bare: Bare) -> None:
    book = bare.server.book
    order = {**book.day("ProductionOrderHeaders", DAY)[0], "ProductionOrderNumber": "P-NEW"}
    from datetime import date

    book.enter("ProductionOrderHeaders", {**order, "ScheduledStartDate": "1900-01-01T12:00:00Z"}, day=date(1900, 1, 1))
    found = bare.get("ProductionOrderHeaders", filter="ScheduledStartDate lt 1900-01-02", across="true").json()["value"]
    assert [record["ProductionOrderNumber"] for record in found] == ["P-NEW"]
