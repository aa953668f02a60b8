"""`gl erp describe` and `gl doctor` of Workday."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from resources.core.clock import ManualClock
from resources.core.errors import ProtocolError, UnreachableError
from resources.erp.connector import Finding, SystemDescription
from resources.erp.workday.client import WorkdayClient
from resources.erp.workday.config import WorkdayConfig
from resources.transport.connections.server_clock import ServerClock
from tests.unit.resources.erp.workday.support import WorkdayServer

NAMED = {"workforce": {"protocol": "raas", "resource": "GL_Positions_With_Names"}}
REST = {
    "table": "cost_centers",
    "protocol": "rest",
    "service": "common/v1",
    "resource": "costCenters",
    "key": "costCenterID",
}


def described(config: WorkdayConfig) -> SystemDescription:
    with WorkdayClient("wd", config) as client:
        return client.describe()


def looked(config: WorkdayConfig, **options: Any) -> list[Finding]:
    with WorkdayClient("wd", config, **options) as client:
        return client.look()


def test_a_tenant_when_described_gives_a_file_for_each_source(workday: WorkdayServer) -> None:
    found = described(workday.config(datasets=list(WorkdayConfig.shipped_datasets())))
    assert sorted(found.files) == [
        "Financial_Management.wsdl",
        "Human_Resources.wsdl",
        "report-GL_Cost_Centers.xsd",
        "report-GL_Journal_Lines.xsd",
        "report-GL_Positions.xsd",
        "wql-allWorkers-fields.json",
        "wql-costCenters-fields.json",
        "wql-dataSources.json",
        "wql-journalLines-fields.json",
    ]
    assert found.notes == ()


def test_the_wsdl_when_described_is_read_from_the_host_though_a_file_is_there(workday: WorkdayServer) -> None:
    workday.control.metadata_changes['name="Memo"'] = 'name="Line_Memo"'
    found = described(workday.config(datasets=["financial_transactions"]))
    paths = {one.path for one in found.properties["financial_transactions"]}
    assert "Line_Memo" in paths
    assert "Memo" not in paths


def test_sources_and_reports_when_they_are_not_there_are_noted(workday: WorkdayServer) -> None:
    datasets = {
        "cost_centers": {"resource": "costCentres"},
        "workforce": {"protocol": "raas", "resource": "GL_Nowhere"},
        "centers": REST,
    }
    found = described(workday.config(datasets=datasets))
    assert found.properties == {}
    assert found.notes[0] == (
        "cost_centers: there is no data source costCentres, or the client may not see it: wql-dataSources.json lists 3; "
        "set datasets.cost_centers.resource"
    )
    assert "workforce: the report has no schema: " in found.notes[1]


def test_a_schema_when_it_is_none_is_noted(workday: WorkdayServer) -> None:
    workday.control.metadata_changes["Report_EntryType"] = "OtherType"
    found = described(workday.config(datasets={"cost_centers": {"protocol": "raas"}}))
    assert found.notes == ("cost_centers: the schema of report GL_Cost_Centers is a schema without Report_Entry",)


def test_properties_when_a_group_of_a_report_is_exploded_stand_under_parent(workday: WorkdayServer) -> None:
    datasets = {"cost_centers": {"protocol": "raas", "explode": "Lines_group"}}
    found = described(workday.config(datasets=datasets))
    assert all(one.path.startswith("parent.") for one in found.properties["cost_centers"])


def test_a_listing_when_it_is_no_json_is_an_error(workday: WorkdayServer) -> None:
    workday.control.misbehave("truncated")
    with pytest.raises(ProtocolError, match="not JSON"):
        described(workday.config(datasets=["cost_centers"]))


def test_a_tenant_when_all_is_well_says_what_it_shows(workday: WorkdayServer) -> None:
    datasets = {"cost_centers": {}, "financial_transactions": {"protocol": "wql"}, "centers": REST, "workforce": {}}
    found = looked(workday.config(datasets=datasets))
    assert {finding.level for finding in found} == {"ok"}
    assert found[0].says == "cost_centers: costCenters shows 7 records as a whole"
    assert found[2].says == "centers: costCenters shows 7 records as a whole"


def test_a_report_when_it_has_names_and_pay_is_warned_of(workday: WorkdayServer) -> None:
    (warned,) = [finding for finding in looked(workday.config(datasets=NAMED)) if finding.level != "ok"]
    assert warned.says == (
        "workforce: report GL_Positions_With_Names has personal columns (Legal_Name, Base_Pay): they are dropped here, "
        "but take them out of the report, so that they do not leave Workday"
    )


def test_a_source_when_it_shows_nothing_at_all_is_warned_of(workday: WorkdayServer) -> None:
    where = [{"property": "costCenterName", "value": "No such name"}]
    found = looked(workday.config(datasets={"cost_centers": {"where": where}}))
    assert found[0].level == "warning"
    assert "costCenters shows no record at all: most likely the security group" in found[0].says


@pytest.mark.parametrize(("protocol", "denied"), [("wql", "costCenters"), ("raas", "GL_Cost_Centers")])
def test_a_permission_when_it_is_missing_is_an_error_of_its_dataset(
    workday: WorkdayServer, protocol: str, denied: str
) -> None:
    workday.control.denied.add(denied)
    found = looked(workday.config(datasets={"cost_centers": {"protocol": protocol}, "workforce": {}}))
    assert [finding.level for finding in found] == ["error", "ok", "ok"]
    assert found[0].says.startswith("cost_centers: wd: GET ")


def test_a_schema_when_it_cannot_be_read_is_warned_of(workday: WorkdayServer) -> None:
    workday.control.metadata_changes["Report_EntryType"] = "OtherType"
    found = looked(workday.config(datasets={"cost_centers": {"protocol": "raas"}}))
    assert found[0] == Finding("warning", "cost_centers: report GL_Cost_Centers: a schema without Report_Entry")


def test_a_tenant_when_it_is_away_is_unreachable(workday: WorkdayServer) -> None:
    workday.control.misbehave("bad_gateway", times=20)
    with pytest.raises(UnreachableError):
        looked(workday.config())


def test_a_clock_when_it_tells_nothing_is_warned_of(workday: WorkdayServer) -> None:
    clock = ServerClock(ManualClock(datetime(2026, 11, 20, tzinfo=UTC)))
    clock.told(None)
    clock.told("soon")
    assert clock.now() is None
    assert clock.now_or_ours() == datetime(2026, 11, 20, tzinfo=UTC)
    clock.told("Fri, 20 Nov 2026 00:02:00 -0000")
    assert clock.ahead == timedelta(minutes=2)
    found = looked(workday.config(datasets={}))
    assert found == [Finding("warning", "the answers carry no Date: the tenant's clock cannot be compared")]


def test_a_clock_when_it_is_far_off_says_what_that_breaks(workday: WorkdayServer) -> None:
    clock = ManualClock(datetime.now(UTC) - timedelta(minutes=10))
    found = looked(workday.config(datasets=["cost_centers"]), clock=clock)
    assert found[-1].level == "warning"
    assert "signed assertions may be refused" in found[-1].says
