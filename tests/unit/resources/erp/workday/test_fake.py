"""The fake Workday by itself: it refuses what a real one refuses, and its objects are reproducible."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal

import httpx
import pytest

from resources.core.clock import ManualClock
from resources.demo_plant.erp.control import Fault
from resources.demo_plant.erp.workday.book import WorkdayBook
from resources.demo_plant.erp.workday.control import WorkdayControl, spoilt
from resources.demo_plant.erp.workday.oauth import WorkdayLogin
from resources.demo_plant.erp.workday.query import BadQueryError, answer
from resources.transport.trust.tls import client_context
from tests.unit.resources.erp.workday.support import DAY, NOW, WorkdayServer

LOGIN = WorkdayLogin()
WQL = "/ccx/api/wql/v1/gl_demo/data"
SOAP = "/ccx/service/gl_demo/Financial_Management/v43.0"


@pytest.fixture
def http(workday: WorkdayServer) -> Iterator[httpx.Client]:
    tls = client_context(ca_certificate=workday.authority.certificate)
    with httpx.Client(base_url=f"https://127.0.0.1:{workday.port}", verify=tls) as client:
        yield client


def token(http: httpx.Client, **form: str) -> httpx.Response:
    fields = {"grant_type": "refresh_token", "refresh_token": LOGIN.refresh_token, **form}
    return http.post(LOGIN.token_path, auth=(LOGIN.client_id, LOGIN.client_secret), data=fields)


def logged_on(http: httpx.Client) -> httpx.Client:
    http.headers["Authorization"] = f"Bearer {token(http).json()['access_token']}"
    return http


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"grant_type": "client_credentials"}, 400, "unsupported_grant_type"),
        ({"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "x.y.z"}, 400, "unsupported_grant_type"),
        ({"refresh_token": "guessed"}, 400, "invalid_grant"),
        ({}, 200, None),
    ],
    ids=["grant", "jwt-without-key", "refresh-token", "good"],
)  # fmt: skip
def test_a_token_when_asked_for_is_given_to_who_may_have_it(
    http: httpx.Client, form: dict[str, str], status: int, error: str | None
) -> None:
    response = token(http, **form)
    assert (response.status_code, response.json().get("error")) == (status, error)


def test_a_client_when_unknown_gets_no_token(http: httpx.Client) -> None:
    response = http.post(LOGIN.token_path, auth=("else", "x"), data={"grant_type": "refresh_token"})
    assert response.json()["error"] == "invalid_client"


def test_a_token_when_it_is_over_or_missing_is_refused(http: httpx.Client, workday: WorkdayServer) -> None:
    query = {"query": "SELECT costCenterID FROM costCenters"}
    assert http.get(WQL, params=query).status_code == 401
    assert logged_on(http).get(WQL, params=query).status_code == 200
    workday.control.expire_tokens()
    assert http.get(WQL, params=query).status_code == 401


def test_user_and_password_when_sent_to_wql_are_refused(http: httpx.Client) -> None:
    user = (f"{LOGIN.user}@{LOGIN.tenant}", LOGIN.password)
    assert http.get(WQL, params={"query": "SELECT costCenterID FROM costCenters"}, auth=user).status_code == 401
    report = "/ccx/service/customreport2/gl_demo/GL_Report_Owner/GL_Cost_Centers?format=json"
    assert http.get(report, auth=user).status_code == 200
    assert http.get(report.replace("=json", "=csv"), auth=user).status_code == 400
    assert http.get(report, auth=("ISU_GL", LOGIN.password)).status_code == 401


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELEC x FROM costCenters", "not valid WQL"),
        ("SELECT x FROM costCenters", "Field x does not exist"),
        ("SELECT costCenterID FROM nowhere", "does not exist or is not secured"),
        ("SELECT costCenterID FROM costCenters WHERE costCenterID = 'a' OR costCenterID = 'b'", "joined by AND"),
        ("SELECT costCenterID FROM costCenters WHERE costCenterID ~ 'a'", "Invalid condition"),
        ("SELECT workdayID FROM journalLines WHERE accountingDate = 'soon'", "is not a date"),
    ],
)
def test_a_query_when_it_is_wrong_is_refused(query: str, words: str) -> None:
    with pytest.raises(BadQueryError, match=words):
        answer(WorkdayBook(clock=ManualClock(NOW)), query, None)


def test_a_query_when_it_compares_and_orders_is_answered() -> None:
    book = WorkdayBook(clock=ManualClock(NOW))

    def codes(condition: str, order: str = "costCenterID") -> list[str]:
        rows = answer(book, f"SELECT costCenterID FROM costCenters WHERE {condition} ORDER BY {order}", None)
        return [row["costCenterID"] for row in rows]

    assert codes("costCenterID in ('4711', \"4713\")") == ["4711", "4713"]
    assert codes("costCenterID >= '4740'", "costCenterID DESC") == ["4790", "4740"]
    assert codes("inactive = true") == ["4790"]
    assert codes("inactiveDate != 'x'") == ["4790"]
    (row,) = answer(book, "SELECT costCenter FROM costCenters WHERE costCenterID = '4711'", None)
    wanted = f"costCenter = '{row['costCenter']['id']}'"
    assert codes(wanted, "costCenter") == ["4711"]
    part_time = answer(book, "SELECT employeeID FROM allWorkers WHERE fte < 1 AND fte > 0.6", None)
    assert [row["employeeID"] for row in part_time] == [w["worker_id"] for w in book.workers() if w["fte"] == "80"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ccx/api/common/v1/gl_demo/costCenters?limit=101", 400),
        ("/ccx/api/common/v1/gl_demo/costCenters?limit=few", 400),
        ("/ccx/api/common/v1/gl_demo/suppliers", 404),
        ("/ccx/api/common/v1/elsewhere/costCenters", 404),
        ("/ccx/service/gl_demo/Payroll/v43.0?wsdl", 404),
        ("/ccx/service/customreport2/gl_demo/Somebody/GL_Cost_Centers?format=json", 404),
        ("/ccx/api/wql/v1/gl_demo/dataSources/nowhere/fields", 404),
        (f"{WQL}?query={'x' * 2049}", 400),
        ("/ccx/api/common/v1/gl_demo/costCenters", 200),
    ],
)
def test_an_address_when_it_is_not_workdays_is_refused(http: httpx.Client, path: str, status: int) -> None:
    assert logged_on(http).get(path).status_code == status


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<a", "not XML"),
        (b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body/></e:Envelope>', "not an operation"),
        (
            b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
            b'<wd:Get_Journals_Request xmlns:wd="urn:com.workday/bsvc"/></e:Body></e:Envelope>',
            "Accounting_From_Date and Accounting_To_Date are required",
        ),
    ],
    ids=["xml", "body", "criteria"],
)
def test_a_soap_request_when_it_is_wrong_is_answered_by_a_fault(http: httpx.Client, body: bytes, words: str) -> None:
    response = logged_on(http).post(SOAP, content=body)
    assert response.status_code == 500
    assert "Fault" in response.text
    assert words in response.text
    assert "Unknown service" in http.post(SOAP.replace("Financial_Management", "Payroll"), content=body).text


def test_a_soap_request_when_nobody_signed_it_is_refused(http: httpx.Client) -> None:
    body = (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Body>'
        '<wd:Get_Cost_Centers_Request xmlns:wd="urn:com.workday/bsvc"/></e:Body></e:Envelope>'
    )
    assert "invalid username or password" in http.post(SOAP, content=body).text


def test_faults_when_told_come_as_told(http: httpx.Client, workday: WorkdayServer) -> None:
    query = {"query": "SELECT costCenterID FROM costCenters"}
    logged_on(http)
    workday.control.misbehave("throttle", retry_after="7")
    workday.control.misbehave("redirect")
    workday.control.misbehave("unauthorized")
    answers = [http.get(WQL, params=query) for _ in range(4)]
    assert [one.status_code for one in answers] == [429, 302, 401, 200]
    assert answers[0].headers["retry-after"] == "7"
    workday.control.misbehave("token_unavailable")
    workday.control.misbehave("token_html")
    assert token(http).status_code == 503
    assert "Workday Sign In" in token(http).text
    with pytest.raises(ValueError, match="no fault 'sulk'"):
        WorkdayControl().misbehave("sulk")


def test_records_when_spoilt_are_so_in_one_place_only() -> None:
    journals = WorkdayBook(clock=ManualClock(NOW)).journals(DAY, DAY)
    assert spoilt(journals, Fault("odd_currency"))[0]["currency"] == "QQQ"
    assert spoilt(journals, Fault("odd_currency"))[1:] == journals[1:]
    assert spoilt(journals, Fault("throttle")) == journals
    assert spoilt([], Fault("no_key")) == []


def test_a_day_when_generated_twice_is_the_same_and_balances() -> None:
    one, two = (WorkdayBook(clock=ManualClock(NOW)) for _ in range(2))
    for day in (DAY, date(2024, 12, 3), date(2026, 2, 28)):
        assert one.journals(day, day) == two.journals(day, day)
        for journal in one.journals(day, day):
            assert sum(Decimal(line["debit"]) - Decimal(line["credit"]) for line in journal["lines"]) == 0
    assert WorkdayBook(seed=7, clock=ManualClock(NOW)).journals(DAY, DAY) != one.journals(DAY, DAY)
    assert one.journals(DAY + timedelta(days=9), DAY + timedelta(days=9)) == []


def test_a_journal_when_changed_moved_or_gone_is_so() -> None:
    clock = ManualClock(NOW)
    book = WorkdayBook(clock=clock)
    first, second, *_ = (journal["number"] for journal in book.journals(DAY, DAY))
    count = len(book.journals(DAY, DAY))
    book.change(first, {"memo": "corrected by hand"})
    assert book.journals(DAY, DAY)[0]["memo"] == "corrected by hand"
    book.change(first, {"accounting_date": "2026-11-17"})
    book.vanish(second)
    assert len(book.journals(DAY, DAY)) == count - 2
    book.enter("JE-20240105-9000", {"accounting_date": "2024-01-05", "memo": "late"})
    assert {journal["number"] for journal in book.journals_updated(NOW - timedelta(minutes=1), NOW)} >= {
        first, "JE-20240105-9000",
    }  # fmt: skip
    with pytest.raises(KeyError):
        book.change("JE-20261118-0999", {})
    book.set_cost_center("4799", {"name": "New"})
    book.set_cost_center("4711", None)
    assert book.cost_centers()[0]["code"] == "4712"
    book.reset()
    assert len(book.journals(DAY, DAY)) == count
    assert isinstance(book.cost_centers()[0]["updated"], datetime)
