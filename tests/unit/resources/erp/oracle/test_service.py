"""The fake itself: what it answers, by plain HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from resources.core.clock import ManualClock
from resources.demo_plant.erp.oracle.book import OracleBook
from resources.demo_plant.erp.oracle.demo import demo_app, demo_settings
from resources.demo_plant.erp.oracle.expressions import BadQueryError, parse
from resources.demo_plant.erp.oracle.faults import OracleControl
from resources.demo_plant.erp.oracle.resources import METER_READINGS, RESOURCES
from resources.demo_plant.erp.oracle.service import ROOT, TOKEN_PATH, VERSION
from resources.erp.oracle.config import OracleConfig
from resources.transport.trust.tls import client_context
from tests.unit.resources.erp.oracle.support import DAY, SATURDAY, OracleServer

API = f"{ROOT}/{VERSION}"


@pytest.fixture
def http(oracle: OracleServer) -> Iterator[httpx.Client]:
    context = client_context(ca_certificate=oracle.authority.certificate)
    login = oracle.login
    with httpx.Client(
        base_url=f"https://127.0.0.1:{oracle.port}",
        verify=context,
        auth=(login.username, login.password),
        headers={"REST-Framework-Version": "4"},
    ) as client:
        yield client


def ask(http: httpx.Client, resource: str, framework: int = 4, **parameters: Any) -> httpx.Response:
    return http.get(f"{API}/{resource}", params=parameters, headers={"REST-Framework-Version": str(framework)})


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (("x", "y"), {"grant_type": "client_credentials"}, 401, "invalid_client"),
        (("GL_PLATFORM", "demo-oracle-secret"), {"grant_type": "password"}, 400, "unsupported_grant_type"),
        (("GL_PLATFORM", "demo-oracle-secret"), {"grant_type": "client_credentials"}, 400, "invalid_scope"),
        (
            ("GL_PLATFORM", "demo-oracle-secret"),
            {
                "grant_type": "client_credentials",
                "scope": "urn:opc:resource:fa:instanceid=500001234 urn:opc:resource:consumer::all",
            },
            400,
            "invalid_scope",
        ),
    ],
    ids=["client", "grant", "no scope", "scope with blank"],
)
def test_a_token_when_asked_for_wrongly_is_refused(
    http: httpx.Client, auth: tuple[str, str], form: dict[str, str], status: int, error: str
) -> None:
    answer = http.post(TOKEN_PATH, auth=auth, data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize("header", ["Basic !!!", "Basic eA==", "Digest x", "Bearer x", "Basic /w=="])
def test_credentials_when_garbled_are_refused(http: httpx.Client, header: str) -> None:
    http.auth = None
    answer = http.get(f"{API}/installedBaseAssets", headers={"Authorization": header})
    assert answer.status_code == 401
    assert http.get(ROOT).status_code == 401
    assert http.get(f"{API}/installedBaseAssets/describe").status_code == 401
    assert http.get(f"{API}/journalBatches/1/child/journalHeaders").status_code == 401


def test_a_page_when_no_limit_is_given_has_25_records(http: httpx.Client) -> None:
    body = ask(http, "meterReadings").json()
    assert (body["count"], body["limit"], body["offset"], body["hasMore"]) == (25, 25, 0, True)
    assert "totalResults" not in body
    assert body["items"][0]["links"][0]["rel"] == "self"


def test_a_limit_when_above_the_cap_is_cut_silently(http: httpx.Client) -> None:
    body = ask(http, "meterReadings", limit=5000, q="ReadingDate >= '2026-11-10T00:00:00Z'").json()
    assert (body["count"], body["limit"], body["hasMore"]) == (500, 500, True)


def test_fields_when_given_go_before_expand(http: httpx.Client) -> None:
    body = ask(http, "journalBatches", limit=1, fields="JeBatchId;journalHeaders:JournalName", expand="all").json()
    assert set(body["items"][0]) == {"JeBatchId", "journalHeaders", "links"}
    assert set(body["items"][0]["journalHeaders"]["items"][0]) == {"JournalName", "links"}


def test_expand_when_all_takes_every_level(http: httpx.Client) -> None:
    body = ask(http, "journalBatches", limit=1, expand="all", onlyData="true").json()
    assert body["items"][0]["journalHeaders"]["items"][0]["journalLines"]["count"] == 4


@pytest.mark.parametrize("framework", [1, 2])
def test_children_when_the_framework_is_old_are_an_array_cut_silently(http: httpx.Client, framework: int) -> None:
    batch = ask(http, "journalBatches", framework, limit=3, expand="journalHeaders.journalLines").json()["items"][1]
    assert len(batch["journalHeaders"][0]["journalLines"]) == 25


def test_children_when_read_by_their_link_are_all_of_them(http: httpx.Client) -> None:
    batch = ask(http, "journalBatches", limit=3, expand="journalHeaders.journalLines").json()["items"][1]
    lines = batch["journalHeaders"]["items"][0]["journalLines"]
    assert (lines["count"], lines["hasMore"]) == (25, True)
    link = next(link["href"] for link in lines["links"] if link["rel"] == "self")
    assert http.get(link, params={"limit": 500}).json()["count"] == 40
    assert http.get(link, params={"limit": 500, "q": "JeLineNumber > 38"}).json()["count"] == 2
    assert http.get(link, params={"q": "No > 38"}).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "noSuch",
        "journalBatches/1/child/journalHeaders",
        "journalBatches/300600000040241/child/noSuch",
        "journalBatches/300600000040241/child/journalHeaders/NOHASH/child/journalLines",
    ],
)
def test_a_resource_when_it_does_not_exist_is_not_found(http: httpx.Client, path: str) -> None:
    assert http.get(f"{API}/{path}").status_code == 404
    assert http.get("/elsewhere").status_code == 404


@pytest.mark.parametrize(
    "parameters",
    [
        {"q": "NoSuch = 1"},
        {"q": "MeterReadingId"},
        {"q": "MeterReadingId ="},
        {"q": "MeterReadingId = x"},
        {"q": "MeterReadingId = 'x'"},
        {"q": "MeterReadingId ~ 1"},
        {"q": "MeterReadingId around 1"},
        {"q": "MeterReadingId = 1 MeterId = 2"},
        {"q": "(MeterReadingId = 1"},
        {"q": "ReadingDate > 'soon'"},
        {"q": "MeterCode is 1"},
        {"q": "ReadingValue between 1 or 2"},
        {"q": "'x' = MeterCode"},
        {"q": "MeterId = 1;MeterReadingId = 2"},
        {"finder": "NoSuch;a=1"},
        {"finder": "PrimaryKey;NoSuch=1"},
        {"fields": "NoSuch"},
        {"expand": "NoSuch"},
        {"orderBy": "NoSuch"},
        {"orderBy": "MeterId:up"},
        {"limit": "many"},
        {"dependency": "x=1"},
    ],
    ids=str,
)
def test_a_parameter_when_not_understood_is_refused(http: httpx.Client, parameters: dict[str, str]) -> None:
    answer = ask(http, "meterReadings", **parameters)
    assert answer.status_code == 400
    assert answer.json()["o:errorDetails"][0]["detail"]


def test_an_error_when_the_framework_is_1_is_plain_text(http: httpx.Client) -> None:
    answer = ask(http, "meterReadings", 1, q="A=1")
    assert answer.headers["content-type"].startswith("text/plain")
    refused = http.get(f"{API}/meterReadings", headers={"REST-Framework-Version": "12"})
    assert refused.status_code == 400


READING = {
    "MeterReadingId": 5,
    "MeterCode": "HEX1-STEAM",
    "ReadingValue": 2.5,
    "ReadingDate": "2026-11-20T10:00:00+00:00",
    "DisabledFlag": False,
    "Comments": None,
}


@pytest.mark.parametrize(
    ("framework", "text", "holds"),
    [
        (2, "MeterReadingId = 5 and (ReadingValue > 3 or MeterCode like 'hex*')", True),
        (2, "not MeterReadingId = 5", False),
        (2, "MeterReadingId in (1, 5)", True),
        (2, "ReadingValue between 1 and 2", False),
        (2, "Comments is null", True),
        (2, "MeterCode is not null", True),
        (2, "Comments is not null", False),
        (2, "DisabledFlag = false", True),
        (2, 'MeterCode = "HEX1-STEAM"', True),
        (2, "ReadingDate < '2026-11-20T12:00:00'", True),
        (2, "MeterReadingId <> 5", False),
        (1, "MeterReadingId=5;MeterCode LIKE 'HEX%'", True),
        (1, "MeterReadingId>5", False),
        (1, "MeterCode=HEX1", False),
        (1, "MeterCode='a;b'", False),
    ],
)
def test_a_query_when_understood_holds_of_what_it_says(framework: int, text: str, holds: bool) -> None:
    assert parse(METER_READINGS, text, framework).holds(READING) is holds


@pytest.mark.parametrize("text", ["MeterCode in ('a')", "MeterId=1 and MeterId=2", "journalHeaders.JournalName=1"])
def test_a_query_when_the_grammar_is_that_of_framework_2_is_refused_by_1(text: str) -> None:
    with pytest.raises(BadQueryError):
        parse(METER_READINGS, text, 1)


def test_records_when_ordered_by_another_attribute_are(http: httpx.Client) -> None:
    answer = ask(http, "installedBaseAssets", orderBy="AssetNumber:desc", limit=2, onlyData="true").json()
    assert [asset["AssetNumber"] for asset in answer["items"]] == ["VLV-9", "VLV-8"]


def test_the_versions_when_asked_for_name_the_frameworks(http: httpx.Client) -> None:
    item = http.get(ROOT).json()["items"][0]
    assert (item["version"], item["adf:extension"]["allowedFrameworkVersions"][-1]) == (VERSION, "9")


def test_records_when_made_again_are_the_same() -> None:
    clock = ManualClock(datetime(2026, 11, 20, 5, 30, tzinfo=UTC))
    one, other, third = (
        OracleBook(seed=7, clock=clock),
        OracleBook(seed=7, clock=clock),
        OracleBook(seed=8, clock=clock),
    )
    for name in RESOURCES:
        assert list(one.records(name, DAY, DAY)) == list(other.records(name, DAY, DAY))
    assert list(one.records("meterReadings", DAY, DAY)) != list(third.records("meterReadings", DAY, DAY))
    assert len(list(one.records("meterReadings", DAY, DAY))) == 6 * 5
    assert list(one.records("journalBatches", DAY, SATURDAY)) == []


def test_readings_when_followed_add_up() -> None:
    book = OracleBook(clock=ManualClock(datetime(2026, 11, 22, tzinfo=UTC)))
    mine = [r for r in book.records("meterReadings", DAY, SATURDAY) if r["MeterCode"] == "HEX1-STEAM"]
    for before, after in pairwise(mine):
        assert after["ReadingValue"] - before["ReadingValue"] == pytest.approx(after["ReadingNetChange"], abs=1e-6)
        assert after["ReadingNetChange"] > 0


def test_journals_when_summed_balance() -> None:
    book = OracleBook(clock=ManualClock(datetime(2026, 11, 22, tzinfo=UTC)))
    for batch in book.records("journalBatches", DAY, DAY):
        for journal in batch["journalHeaders"]:
            lines = journal["journalLines"]
            assert sum(x["EnteredDr"] or 0 for x in lines) == pytest.approx(sum(x["EnteredCr"] or 0 for x in lines))


def test_a_book_when_changed_by_hand_shows_it() -> None:
    clock = ManualClock(datetime(2026, 11, 22, tzinfo=UTC))
    book = OracleBook(clock=clock, first_day=date(2026, 11, 1))
    first = next(book.records("maintenanceWorkOrders"))["WorkOrderId"]
    book.change("maintenanceWorkOrders", first, {"WorkOrderStatusCode": "ORA_CANCELED"})
    found = book.find("maintenanceWorkOrders", first)
    assert found is not None
    assert (found["WorkOrderStatusCode"], found["LastUpdateDate"]) == ("ORA_CANCELED", "2026-11-22T00:00:00+00:00")
    book.vanish("maintenanceWorkOrders", first)
    assert book.find("maintenanceWorkOrders", first) is None
    book.enter("installedBaseAssets", {"AssetId": 1, "AssetNumber": "NEW"})
    assert next(book.records("installedBaseAssets"))["AssetNumber"] == "NEW"
    with pytest.raises(KeyError):
        book.change("meterReadings", 1, {})
    assert book.find("journalBatches", "x") is None


def test_a_fault_when_unknown_or_taken_back_does_nothing() -> None:
    control = OracleControl()
    with pytest.raises(ValueError, match="no fault 'melt'"):
        control.misbehave("melt")
    control.misbehave("drop", times=3)
    control.reset()
    assert control.next_fault() is None


def test_the_block_of_the_demo_when_validated_reads_every_dataset(oracle: OracleServer) -> None:
    settings = demo_settings(f"https://127.0.0.1:{oracle.port}", oracle.authority.certificate)
    assert len(OracleConfig.model_validate(settings).datasets) == 4
    assert demo_app("secret", 7).state.fake.gate.login.client_secret == "secret"
