"""The Workday client over real TLS sockets against the fake: every protocol, every way of logging on."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from resources.core.clock import SystemClock
from resources.core.errors import AuthError, ProtocolError, SourceError
from resources.core.process.home import gl_home
from resources.erp.connector import CanDescribe, CanListKeys, CanLook, Changed, Day, KnowsServerTime, Whole
from resources.erp.kinds import connector
from resources.erp.workday.client import WorkdayClient
from resources.transport.http.call_stats import read_stats
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.workday.pulling import lines, pull
from tests.unit.resources.erp.workday.support import DAY, SECRETS, WorkdayServer, generated_keys, workday_server

PERSONAL = ("name", "given_name", "family_name", "birth_date", "email", "salary", "user")


@pytest.mark.parametrize("protocol", ["soap", "wql", "raas"])
def test_a_day_of_journals_when_pulled_by_any_protocol_has_the_same_lines(
    workday: WorkdayServer, protocol: str
) -> None:
    config = workday.config(datasets={"financial_transactions": {"protocol": protocol}})
    found = pull(config, "financial_transactions", Day(DAY))
    held = workday.book.journals(DAY, DAY)
    assert lines(found) == sorted((j["number"], str(line["order"])) for j in held for line in j["lines"])


@pytest.mark.parametrize("protocol", ["soap", "wql", "raas"])
def test_cost_centers_when_pulled_by_any_protocol_are_all_of_them(workday: WorkdayServer, protocol: str) -> None:
    config = workday.config(datasets={"cost_centers": {"protocol": protocol}})
    assert len(pull(config, "cost_centers", Whole())) == 7


@pytest.mark.parametrize(
    ("protocol", "changes"),
    [("wql", {}), ("soap", {}), ("raas", {}), ("raas", {"resource": "GL_Positions_With_Names"})],
    ids=["wql", "soap", "raas", "raas-with-names"],
)
def test_workforce_when_pulled_by_any_protocol_holds_nothing_personal(
    workday: WorkdayServer, protocol: str, changes: dict[str, Any]
) -> None:
    config = workday.config(datasets={"workforce": {"protocol": protocol, **changes}})
    found = pull(config, "workforce", Whole())
    text = json.dumps(found)
    assert len(found) == 60
    for worker in workday.book.workers():
        for field in PERSONAL:
            assert worker[field] not in text, field


def test_workforce_when_asked_for_declines_names_and_pay_in_the_request_itself(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"workforce": {"protocol": "soap"}})
    pull(config, "workforce", Whole())
    assert all(
        f"<ns0:{part}>false</ns0:{part}>" in workday.control.seen[-1]
        for part in ("Include_Personal_Information", "Include_Compensation", "Include_Photo")
    )
    pull(workday.config(datasets=["workforce"]), "workforce", Whole())
    asked = workday.control.seen[-1].partition("FROM")[0]
    assert not any(word in asked for word in ("fullName", "dateOfBirth", "email", "Pay"))


def test_changes_when_read_by_soap_are_the_journals_updated_in_between(workday: WorkdayServer) -> None:
    since, until = datetime(2026, 11, 17, tzinfo=UTC), datetime(2026, 11, 19, tzinfo=UTC)
    config = workday.config(datasets=["financial_transactions"])
    found = pull(config, "financial_transactions", Changed(since, until))
    assert {record["parent"]["Journal_Number"] for record in found} == {
        journal["number"] for journal in workday.book.journals_updated(since, until)
    }


def test_changed_workers_when_read_by_soap_are_asked_for_by_the_transaction_log(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"workforce": {"protocol": "soap"}})
    since, until = datetime(2015, 1, 1, tzinfo=UTC), datetime(2018, 1, 1, tzinfo=UTC)
    found = pull(config, "workforce", Changed(since, until))
    assert {record["parent"]["Worker_Reference"]["Employee_ID"] for record in found} == {
        worker["worker_id"] for worker in workday.book.workers() if since <= worker["updated"] <= until
    }
    assert (
        "<ns0:Transaction_Log_Criteria_Data><ns0:Transaction_Date_Range_Data><ns0:Updated_From>2015-01-01"
        in (workday.control.seen[-1])
    )


def test_a_changed_cost_center_when_read_by_soap_comes_alone(workday: WorkdayServer) -> None:
    workday.book.set_cost_center("4720", {"name": "Utilities and water"})
    config = workday.config(datasets={"cost_centers": {"protocol": "soap"}})
    now = workday.book.clock.now()
    found = pull(config, "cost_centers", Changed(now - timedelta(hours=1), now + timedelta(hours=1)))
    assert [record["Cost_Center_Data"]["Organization_Data"]["ID"] for record in found] == ["4720"]


def test_properties_when_selected_of_a_report_are_all_that_is_kept(workday: WorkdayServer) -> None:
    declared = {
        "inherit": False,
        "protocol": "raas",
        "resource": "GL_Cost_Centers",
        "key": "Cost_Center_ID",
        "select": ["Cost_Center_Name"],
        "options": {"owner": "GL_Report_Owner"},
    }
    found = pull(workday.config(datasets={"cost_centers": declared}), "cost_centers", Whole())
    assert {name for record in found for name in record} == {"Cost_Center_ID", "Cost_Center_Name"}


def test_keys_when_read_by_wql_ask_for_the_key_alone(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"financial_transactions": {"protocol": "wql"}, "cost_centers": {}})
    with WorkdayClient("wd", config) as client:
        keys = [json.loads(r) for page in client.fetch_keys("financial_transactions", Day(DAY)) for r in page.records]
    assert {record["workdayID"] for record in keys} == workday.keys("financial_transactions_wql", DAY)
    assert {name for record in keys for name in record} == {"workdayID", "accountingDate"}


def test_keys_when_read_by_soap_come_with_whole_records(workday: WorkdayServer) -> None:
    with WorkdayClient("wd", workday.config(datasets={"cost_centers": {"protocol": "soap"}})) as client:
        assert sum(len(page.records) for page in client.fetch_keys("cost_centers", Whole())) == 7


def test_the_client_when_built_by_the_connector_can_all_that_a_client_can(workday: WorkdayServer) -> None:
    client = connector("workday").client_factory("wd", workday.config())
    try:
        for ability in (CanDescribe, CanLook, CanListKeys, KnowsServerTime):
            assert isinstance(client, ability)
        assert client.server_time() is None
        list(client.fetch("cost_centers", Whole()))
        moment = client.server_time()
        assert moment is not None
        assert abs(moment - datetime.now(UTC)) < timedelta(minutes=5)
        assert client.token_requests == 1
    finally:
        client.close()


def test_connections_when_several_are_kept_are_counted_together(workday: WorkdayServer) -> None:
    user = {"username": "ISU_GL", "password": "${WORKDAY_PASSWORD}"}
    datasets = {"financial_transactions": {}, "cost_centers": {"protocol": "raas"}, "workforce": {}}
    before = workday.control.requests
    with WorkdayClient("wd", workday.config(integration_user=user, datasets=datasets)) as client:
        list(client.fetch("financial_transactions", Day(DAY)))
        list(client.fetch("cost_centers", Whole()))
        list(client.fetch("workforce", Whole()))
    figures = read_stats(gl_home())["wd"]
    assert figures["calls"] == figures["requests"] == workday.control.requests - before
    assert figures["connections_opened"] == 3


def test_a_jwt_when_signed_by_the_registered_key_logs_on(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    private, public = generated_keys()
    monkeypatch.setenv("WORKDAY_PRIVATE_KEY", private)
    with workday_server(authority, clock=SystemClock()) as server:
        server.login.public_key = public
        auth = {
            "type": "jwt_bearer",
            "token_url": server.settings()["auth"]["token_url"],
            "client_id": server.login.client_id,
            "private_key": "${WORKDAY_PRIVATE_KEY}",
            "subject": server.login.user,
            "audience": "wd",
        }
        assert len(pull(server.config(auth=auth), "cost_centers", Whole())) == 7
        with pytest.raises(AuthError, match="wrong claims"):
            pull(server.config(auth={**auth, "subject": "somebody"}), "cost_centers", Whole())


def test_an_integration_user_when_configured_signs_soap_and_reads_reports(workday: WorkdayServer) -> None:
    user = {"username": "ISU_GL", "password": "${WORKDAY_PASSWORD}"}
    datasets = {"financial_transactions": {}, "cost_centers": {"protocol": "raas"}}
    config = workday.config(integration_user=user, datasets=datasets)
    assert pull(config, "financial_transactions", Day(DAY))
    envelope, headers = workday.control.seen[-1], workday.control.headers[-1]
    assert "<wsse:Username>ISU_GL@gl_demo</wsse:Username>" in envelope
    assert "#PasswordText" in envelope
    assert "authorization" not in headers
    assert pull(config, "cost_centers", Whole())
    assert workday.control.headers[-1]["authorization"].startswith("Basic ")


def test_user_and_password_when_they_are_all_there_is_read_soap_and_reports(workday: WorkdayServer) -> None:
    auth = {"type": "basic", "username": "ISU_GL@gl_demo", "password": "${WORKDAY_PASSWORD}"}
    before = workday.control.token_requests
    config = workday.config(auth=auth, datasets={"financial_transactions": {}, "workforce": {"protocol": "raas"}})
    assert pull(config, "financial_transactions", Day(DAY))
    assert pull(config, "workforce", Whole())
    assert workday.control.token_requests == before


@pytest.mark.parametrize("dataset", ["financial_transactions", "cost_centers"], ids=["soap", "raas"])
def test_a_wrong_password_when_used_again_is_sent_once_and_never_shown(
    workday: WorkdayServer, monkeypatch: pytest.MonkeyPatch, dataset: str
) -> None:
    monkeypatch.setenv("WORKDAY_PASSWORD", "not-the-password")
    user = {"username": "ISU_GL", "password": "${WORKDAY_PASSWORD}"}
    config = workday.config(
        integration_user=user, datasets={"financial_transactions": {}, "cost_centers": {"protocol": "raas"}}
    )
    before = workday.control.requests
    with WorkdayClient("wd", config) as client:
        for _ in range(3):
            with pytest.raises(AuthError) as refused:
                list(client.fetch(dataset, Day(DAY) if dataset == "financial_transactions" else Whole()))
            assert "not-the-password" not in str(refused.value)
        assert workday.control.requests == before + 1
        assert "not sent again" in str(refused.value)
    with WorkdayClient("wd", config) as client:
        with pytest.raises(AuthError, match="not sent again"):
            list(client.fetch(dataset, Day(DAY) if dataset == "financial_transactions" else Whole()))
        assert workday.control.requests == before + 1
        monkeypatch.setenv("WORKDAY_PASSWORD", SECRETS["WORKDAY_PASSWORD"])
        assert list(client.fetch(dataset, Day(DAY) if dataset == "financial_transactions" else Whole()))


def test_a_gateways_key_when_configured_goes_with_every_data_request(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    key = {"type": "api_key", "key": "${WORKDAY_API_KEY}", "header": "X-API-Key"}
    with workday_server(authority) as server:
        server.login.api_key = SECRETS["WORKDAY_API_KEY"]
        config = server.config(api_key=key)
        assert pull(config, "financial_transactions", Day(DAY))
        assert pull(config, "workforce", Whole())
        with pytest.raises(AuthError):
            pull(server.config(), "workforce", Whole())


def test_a_refresh_token_when_workday_rotates_it_is_followed(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with workday_server(authority) as server:
        server.login.rotates_refresh_token = True
        with WorkdayClient("wd", server.config()) as client:
            assert list(client.fetch("cost_centers", Whole()))
            server.control.expire_tokens()
            assert list(client.fetch("workforce", Whole()))
            assert client.token_requests == 2


@pytest.mark.parametrize("protocol", ["soap", "wql", "raas"])
def test_records_of_another_day_when_sent_are_refused(workday: WorkdayServer, protocol: str) -> None:
    workday.control.misbehave("other_day", times=20)
    config = workday.config(datasets={"financial_transactions": {"protocol": protocol}})
    with pytest.raises(ProtocolError, match=r"page \d holds records of 2025-01-02: what asks for the day is ignored"):
        pull(config, "financial_transactions", Day(DAY))


@pytest.mark.parametrize("protocol", ["soap", "raas"])
def test_an_odd_date_when_sent_is_landed_for_the_mapping_to_judge(workday: WorkdayServer, protocol: str) -> None:
    workday.control.misbehave("odd_date")
    config = workday.config(datasets={"financial_transactions": {"protocol": protocol}})
    assert "20/11/2026" in json.dumps(pull(config, "financial_transactions", Day(DAY)))


@pytest.mark.parametrize(("dataset", "kind"), [("workforce", "wql"), ("financial_transactions", "soap")])
def test_fewer_records_than_counted_when_sent_are_an_error(workday: WorkdayServer, dataset: str, kind: str) -> None:
    config = workday.config()
    part = Day(DAY) if kind == "soap" else Whole()
    workday.control.misbehave("miscount", times=20)
    with pytest.raises(ProtocolError, match=r"counted 9 records but sent 8|is empty, but says that there are more"):
        pull(config, dataset, part)


def test_an_empty_page_when_more_is_counted_is_an_error(workday: WorkdayServer) -> None:
    workday.control.misbehave("empty_page", after=1)
    with pytest.raises(ProtocolError, match="page 2 of .* is empty, but says that there are more"):
        pull(workday.config(), "workforce", Whole())


def test_every_page_when_it_fails_is_named_with_its_dataset(workday: WorkdayServer) -> None:
    workday.control.misbehave("server_error", after=2)
    with pytest.raises(SourceError) as met:
        pull(workday.config(), "workforce", Whole())
    assert "(page 3 of " in str(met.value)
    assert "(workforce as a whole)" in str(met.value)


def test_a_day_without_journals_when_pulled_is_empty(workday: WorkdayServer) -> None:
    assert pull(workday.config(), "financial_transactions", Day(date(1999, 1, 1))) == []
