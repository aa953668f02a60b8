"""Custom reports: prompts, slices, answers that are none, and their schemas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resources.core.errors import AuthError, ConfigError, DataError, ProtocolError
from resources.demo_plant.erp.workday.book import COMPANY, wid_of
from resources.erp.connector import Changed, Day, FoundProperty, Whole
from resources.erp.workday.sources.raas import columns_of
from tests.unit.resources.erp.workday.pulling import lines, pull
from tests.unit.resources.erp.workday.support import DAY, WorkdayServer

UPDATED: dict[str, Any] = {
    "protocol": "raas",
    "resource": "GL_Updated_Journal_Lines",
    "changed": "Last_Updated",
    "options": {"changed": {"Updated_From": "{since}", "Updated_To": "{until}"}},
}


def test_a_report_when_read_is_asked_for_by_its_prompts(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"financial_transactions": {"protocol": "raas"}})
    found = pull(config, "financial_transactions", Day(DAY))
    assert workday.control.seen[-1] == (
        "/ccx/service/customreport2/gl_demo/GL_Report_Owner/GL_Journal_Lines"
        "?Accounting_Date_From=2026-11-18&Accounting_Date_To=2026-11-18&format=json"
    )
    assert all(isinstance(value, str) for record in found for value in record.values())


def test_a_reference_prompt_when_declared_takes_a_workday_id(workday: WorkdayServer) -> None:
    def declared(wid: str) -> dict[str, Any]:
        return {"financial_transactions": {"protocol": "raas", "options": {"always": {"Company!WID": wid}}}}

    here = workday.config(datasets=declared(wid_of("company", COMPANY)))
    assert len(pull(here, "financial_transactions", Day(DAY))) == 28
    assert "Company!WID=" in workday.control.seen[-1]
    assert (
        pull(workday.config(datasets=declared(wid_of("company", "elsewhere"))), "financial_transactions", Day(DAY))
        == []
    )


def test_changes_when_read_from_a_report_come_slice_by_slice(workday: WorkdayServer) -> None:
    since, until = datetime(2026, 11, 16, 6, tzinfo=UTC), datetime(2026, 11, 18, 18, tzinfo=UTC)
    config = workday.config(datasets={"financial_transactions": UPDATED})
    workday.control.seen.clear()
    found = pull(config, "financial_transactions", Changed(since, until))
    held = workday.book.journals_updated(since, until)
    assert lines(found) == sorted((j["number"], str(line["order"])) for j in held for line in j["lines"])
    assert [seen.partition("?")[2] for seen in workday.control.seen] == [
        "Updated_From=2026-11-16T06:00:00.000Z&Updated_To=2026-11-17T06:00:00.000Z&format=json",
        "Updated_From=2026-11-17T06:00:00.000Z&Updated_To=2026-11-18T06:00:00.000Z&format=json",
        "Updated_From=2026-11-18T06:00:00.000Z&Updated_To=2026-11-18T18:00:00.000Z&format=json",
    ]


def test_changes_when_a_report_has_no_prompts_for_them_are_a_config_error(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"cost_centers": {"protocol": "raas"}})
    now = datetime(2026, 11, 18, tzinfo=UTC)
    with pytest.raises(ConfigError, match=r"cost_centers changed from .*: cannot be asked for: set options.changed"):
        pull(config, "cost_centers", Changed(now - timedelta(hours=1), now))


def test_a_prompt_when_the_report_ignores_it_is_noticed_by_the_day(workday: WorkdayServer) -> None:
    options = {"day": {"Accounting_Date_From": "2026-11-01", "Accounting_Date_To": "2026-11-19", "Day": "{day}"}}
    config = workday.config(datasets={"financial_transactions": {"protocol": "raas", "options": options}})
    with pytest.raises(ProtocolError, match=r"holds records of 2026-11-01: what asks for the day is ignored"):
        pull(config, "financial_transactions", Day(DAY))


def test_a_prompt_when_it_is_missing_is_told_in_workdays_words(workday: WorkdayServer) -> None:
    options = {"day": {"Accounting_Date_From": "{day}", "Accounting_Date_To": ""}}
    config = workday.config(datasets={"financial_transactions": {"protocol": "raas", "options": options}})
    with pytest.raises(ProtocolError) as met:
        pull(config, "financial_transactions", Day(DAY))
    assert "HTTP 500" in str(met.value)
    assert "Value required for prompt Accounting_Date_To" in str(met.value)
    assert str(met.value).endswith("(page 1: report GL_Journal_Lines for financial_transactions of 2026-11-18)")


def test_a_report_when_it_is_not_shared_is_an_auth_error(workday: WorkdayServer) -> None:
    workday.control.denied.add("GL_Cost_Centers")
    with pytest.raises(AuthError, match=r"HTTP 403.*share it with the user.*activate pending security policy changes"):
        pull(workday.config(datasets={"cost_centers": {"protocol": "raas"}}), "cost_centers", Whole())


def test_a_report_when_it_does_not_exist_is_told_with_its_name(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"cost_centers": {"protocol": "raas", "resource": "GL_Nowhere"}})
    words = r"no report GL_Nowhere.*report GL_Nowhere for cost_centers.*must be enabled as a web service"
    with pytest.raises(ProtocolError, match=words):
        pull(config, "cost_centers", Whole())


@pytest.mark.parametrize(
    ("kind", "words"),
    [("truncated", "may be cut off"), ("html_login", "login page"), ("not_utf8", "not UTF-8")],
)
def test_an_answer_when_it_is_no_report_is_told_as_what_it_is(workday: WorkdayServer, kind: str, words: str) -> None:
    workday.control.misbehave(kind)
    with pytest.raises(ProtocolError, match=words):
        pull(workday.config(datasets={"cost_centers": {"protocol": "raas"}}), "cost_centers", Whole())


def test_a_report_when_it_answers_late_is_waited_for_longer_than_a_page(workday: WorkdayServer) -> None:
    config = workday.config(datasets={"cost_centers": {"protocol": "raas"}}, http={"timeout": "2s"})
    workday.control.misbehave("slow", seconds=2.5)
    before = workday.control.requests
    assert len(pull(config, "cost_centers", Whole())) == 7
    assert workday.control.requests == before + 1


def test_columns_when_a_report_has_groups_are_paths() -> None:
    schema = b"""<xsd:schema xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:wd="urn:x">
      <xsd:complexType name="Report_EntryType"><xsd:sequence>
        <xsd:element name="Worker" type="xsd:string"/><xsd:element name="Lines_group" type="wd:Lines_groupType"/>
      </xsd:sequence></xsd:complexType>
      <xsd:complexType name="Lines_groupType"><xsd:sequence><xsd:element name="Amount" type="xsd:decimal"/>
        <xsd:element name="Tags_group" type="wd:Tags_groupType"/></xsd:sequence></xsd:complexType>
      <xsd:complexType name="Tags_groupType"><xsd:sequence><xsd:element name="Tag" type="xsd:string"/></xsd:sequence>
      </xsd:complexType></xsd:schema>"""
    assert columns_of(schema) == (
        FoundProperty("Worker", "xsd:string"),
        FoundProperty("Lines_group.Amount", "xsd:decimal"),
        FoundProperty("Lines_group.Tags_group.Tag", "xsd:string"),
    )
    with pytest.raises(DataError, match="without Report_Entry"):
        columns_of(b"<schema/>")
