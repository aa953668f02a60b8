"""The SAP-like service by itself: it refuses what a real one refuses, and its documents are reproducible."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from resources.core.clock import ManualClock
from resources.demo_plant.erp.sap.books.measurements import MeterBook
from resources.demo_plant.erp.sap.control import SapControl
from resources.demo_plant.erp.sap.login import SapLogin
from resources.demo_plant.erp.sap.odata.filters import parse_filter
from resources.demo_plant.erp.sap.odata.options import offset_of
from resources.demo_plant.erp.sap.odata.refusal import BadQueryError
from resources.demo_plant.erp.sap.service import SERVICE_ROOT, TOKEN_PATH
from resources.demo_plant.erp.sap.services import make_books, make_services
from resources.transport.trust.tls import client_context
from tests.unit.resources.erp.support import SapServer

DAY = date(2026, 11, 18)
LOGIN = SapLogin()


@pytest.fixture
def http(sap: SapServer) -> Any:
    tls = client_context(ca_certificate=sap.authority.certificate)
    with httpx.Client(base_url=f"https://127.0.0.1:{sap.port}", verify=tls) as client:
        yield client


def logged_on(http: httpx.Client) -> httpx.Client:
    answer = http.post(
        TOKEN_PATH, auth=(LOGIN.client_id, LOGIN.client_secret), data={"grant_type": "client_credentials"}
    )
    http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return http


def ask(http: httpx.Client, **options: str) -> httpx.Response:
    return http.get(f"{SERVICE_ROOT}/MeasurementDocument", params={f"${n}": v for n, v in options.items()})


@pytest.mark.parametrize(
    ("auth", "form", "status", "error"),
    [
        (None, {}, 401, "invalid_client"),
        (("x", "y"), {"grant_type": "client_credentials"}, 401, "invalid_client"),
        ((LOGIN.client_id, LOGIN.client_secret), {"grant_type": "password"}, 400, "unsupported_grant_type"),
        (
            (LOGIN.client_id, LOGIN.client_secret),
            {"grant_type": "client_credentials", "scope": "OTHER"},
            400,
            "invalid_scope",
        ),
    ],
)
def test_a_token_when_asked_for_wrongly_is_refused(
    http: httpx.Client, auth: Any, form: dict[str, str], status: int, error: str
) -> None:
    answer = http.post(TOKEN_PATH, auth=auth, data=form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


@pytest.mark.parametrize("header", ["Basic !!!", "Basic eA==", "Digest x"])
def test_credentials_when_garbled_are_refused(http: httpx.Client, header: str) -> None:
    answer = http.post(TOKEN_PATH, headers={"Authorization": header}, data={"grant_type": "client_credentials"})
    assert answer.status_code == 401


def test_the_service_when_asked_without_token_says_401(http: httpx.Client) -> None:
    for path in ("/", "/$metadata", "/MeasurementDocument"):
        answer = http.get(SERVICE_ROOT + path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_service_when_asked_lists_itself(http: httpx.Client) -> None:
    logged_on(http)
    assert http.get(SERVICE_ROOT + "/").json()["value"] == [
        {"name": "MeasurementDocument", "url": "MeasurementDocument"}
    ]
    assert (
        'Property Name="MeasurementReadingInEntryUoM" Type="Edm.Double"' in http.get(SERVICE_ROOT + "/$metadata").text
    )
    missing = http.get("/sap/opu/odata4/sap/other")
    assert missing.status_code == 404
    assert missing.json()["error"]["message"]


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"filter": "NoSuch eq 1"}, 400),
        ({"filter": "MsmtRdngDate eq '2026-11-18'"}, 400),
        ({"filter": "MsmtRdngDate eq 2026-13-18"}, 400),
        ({"filter": "MeasuringPoint eq B1"}, 400),
        ({"filter": "substringof('B1',MeasuringPoint)"}, 501),
        ({"filter": "contains(MeasurementDocumentText,'boiler')"}, 501),
        ({"filter": "MsmtRdngDate eq datetime'2026-11-18T00:00:00'"}, 400),
        ({"filter": "(MsmtRdngDate eq 2026-11-18"}, 400),
        ({"filter": "MsmtRdngDate eq 2026-11-18 or"}, 400),
        ({"select": "NoSuch"}, 400),
        ({"orderby": "NoSuch desc"}, 400),
        ({"top": "-1"}, 400),
        ({"skiptoken": "???"}, 400),
        ({"skiptoken": "eHg"}, 400),
        ({"expand": "_FailedMeasurementReading"}, 400),
        ({"search": "boiler"}, 501),
    ],
)
def test_a_query_when_not_understood_is_refused(http: httpx.Client, options: dict[str, str], status: int) -> None:
    answer = ask(logged_on(http), **{"filter": "MsmtRdngDate eq 2026-11-18", **options})
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == "/IWBEP/CM_V4S_SER/0"


def test_a_query_when_understood_is_answered(http: httpx.Client) -> None:
    logged_on(http)
    body = ask(
        http,
        filter="MsmtRdngDate ge 2026-11-17 and MsmtRdngDate lt 2026-11-19 and MeasuringPoint eq 'B1-GAS' and "
        "MeasurementReadingInEntryUoM gt 1.5 and MsmtRdngIsReversed eq false and MsmtRdngTime ge 12:00:00",
        select="MsmtRdngDate,MsmtRdngTime",
        orderby="MsmtRdngDate desc,MsmtRdngTime",
        top="3",
        count="true",
    ).json()
    assert body["@odata.count"] == 24
    assert body["value"] == [{"MsmtRdngDate": "2026-11-18", "MsmtRdngTime": f"{hour}:00:00"} for hour in (12, 13, 14)]
    assert "@odata.nextLink" not in body


def test_pages_when_the_client_prefers_smaller_ones_are_smaller(http: httpx.Client) -> None:
    logged_on(http).headers["Prefer"] = "respond-async, odata.maxpagesize=7"
    body = ask(http, filter="MsmtRdngDate eq 2026-11-18", top="10").json()
    assert len(body["value"]) == 7
    rest = http.get(f"{SERVICE_ROOT}/{body['@odata.nextLink']}").json()
    assert len(rest["value"]) == 3
    assert "@odata.nextLink" not in rest
    http.headers["Prefer"] = "odata.maxpagesize=0"
    assert len(ask(http, filter="MsmtRdngDate eq 2026-11-18").json()["value"]) == 192


def test_documents_when_made_again_are_the_same_and_counters_agree_with_differences() -> None:
    one, other = MeterBook(seed=7), MeterBook(seed=7)
    assert one.day(DAY) == other.day(DAY)
    assert one.day(DAY) != MeterBook(seed=8).day(DAY)
    last = [d for d in one.day(DAY) if d["MeasuringPoint"] == "B1-STEAM"][-1]
    first = next(d for d in one.day(DAY + timedelta(days=1)) if d["MeasuringPoint"] == "B1-STEAM")
    gained = first["MeasurementCounterReading"] - last["MeasurementCounterReading"]
    assert gained == pytest.approx(first["MsmtCounterReadingDifference"])
    assert all(d["MsmtCounterReadingDifference"] > 0 for d in one.day(DAY))


def test_a_book_when_asked_for_today_has_what_has_been_read() -> None:
    clock = ManualClock(datetime(2026, 11, 18, 5, 30, tzinfo=UTC))
    book = MeterBook(clock=clock)
    assert book.today() == DAY
    assert len(book.day(DAY)) == 6 * 8
    assert book.day(date(2023, 12, 31)) == []
    with pytest.raises(KeyError):
        book.change("no such", {}, day=DAY)


def test_a_fault_when_unknown_is_refused() -> None:
    with pytest.raises(ValueError, match="no fault 'melt'"):
        SapControl().misbehave("melt")


def test_a_filter_when_it_compares_apples_fits_nothing() -> None:
    service = make_services(make_books())[0]
    entity = service.sets["MeasurementDocument"].type
    term = parse_filter("MeasurementReading gt 5", service, entity)
    assert not term.holds({"": {"MeasurementReading": "much"}})
    assert not term.holds({"": {}})
    for wrong in ("", "MeasurementReading gt five", "MeasurementReading 5"):
        with pytest.raises(BadQueryError):
            parse_filter(wrong, service, entity)
    with pytest.raises(BadQueryError):
        offset_of("x")
