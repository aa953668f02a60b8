"""The configuration of a tenant: declarations by protocol, and what is refused before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resources.erp.workday.config import WorkdayConfig
from resources.erp.workday.privacy import is_personal

BASE: dict[str, Any] = {
    "kind": "workday",
    "http": {"base_url": "https://workday.example"},
    "auth": {
        "type": "refresh_token",
        "token_url": "https://workday.example/ccx/oauth2/acme/token",
        "client_id": "c",
        "client_secret": "${WORKDAY_CLIENT_SECRET}",
        "refresh_token": "${WORKDAY_REFRESH_TOKEN}",
    },
    "tenant": "acme",
    "company": "ACME",
}
FULL: dict[str, Any] = {"protocol": "raas", "resource": "R", "key": "k", "options": {"owner": "O"}}


def config(datasets: Any = None, **changes: Any) -> WorkdayConfig:
    block = {**BASE, **changes}
    return WorkdayConfig.model_validate(block if datasets is None else {**block, "datasets": datasets})


def test_a_tenant_when_no_dataset_is_named_has_the_three() -> None:
    found = config().datasets
    assert {name: declared.protocol for name, declared in found.items()} == {
        "cost_centers": "wql",
        "financial_transactions": "soap",
        "workforce": "wql",
    }


@pytest.mark.parametrize(
    ("dataset", "protocol", "resource"),
    [
        ("cost_centers", "wql", "costCenters"),
        ("cost_centers", "soap", "Get_Cost_Centers"),
        ("cost_centers", "raas", "GL_Cost_Centers"),
        ("financial_transactions", "wql", "journalLines"),
        ("financial_transactions", "raas", "GL_Journal_Lines"),
        ("workforce", "soap", "Get_Workers"),
    ],
)
def test_a_dataset_when_its_protocol_is_named_takes_the_declaration_for_it(
    dataset: str, protocol: str, resource: str
) -> None:
    read = config({dataset: {"protocol": protocol, "contract": "freeze"}})
    declared = read.datasets[dataset]
    assert (declared.resource, declared.contract) == (resource, "freeze")
    assert read.table_of(dataset) == dataset


def test_a_configuration_when_dumped_is_read_again_as_it_was() -> None:
    read = config({"cost_centers": {"protocol": "soap"}, "workforce": {}})
    assert WorkdayConfig.model_validate(read.model_dump(mode="json")) == read


def test_a_dataset_when_it_stands_alone_takes_nothing_over() -> None:
    declared = config({"cost_centers": {**FULL, "inherit": False}}).datasets["cost_centers"]
    assert (declared.resource, declared.fields) == ("R", {})


@pytest.mark.parametrize(
    ("datasets", "words"),
    [
        ({"x": {**FULL, "protocol": "odata_v4"}}, "datasets.x: protocol 'odata_v4' is none of Workday's: wql, raas"),
        ({"x": {**FULL, "options": {}}}, "datasets.x.options.owner: Field required"),
        ({"x": {**FULL, "options": {"owner": "O", "day": {"D": "{today}"}}}}, r"datasets.x.options.day: .*only \{day\}"),
        ({"x": {**FULL, "options": {"owner": "O", "day": {"D&x": "1"}}}}, "is no prompt"),
        ({"x": {**FULL, "options": {"owner": "O", "pages": 3}}}, "datasets.x.options.pages"),
        ({"cost_centers": {"protocol": "soap", "service": None}}, "soap needs service"),
        ({"x": {**FULL, "where": [{"property": "a", "value": "b"}]}}, "where is for wql alone"),
        ({"cost_centers": {"expand": ["a"]}}, "expand for none"),
        ({"cost_centers": {"protocol": "soap", "resource": "Put_Cost_Center"}}, "is not a Get_ operation"),
        ({"cost_centers": {"protocol": "soap", "options": {"always": {"a b": 1}}}}, "is no name of an element"),
        ({"cost_centers": {"protocol": "soap", "options": {"always": {"A": [{"B": "{x}"}]}}}}, "there are only"),
        ({"cost_centers": {"options": {"prompts": {"p": 3}}}}, "datasets.cost_centers.options.prompts"),
        ({"workforce": {"fields": {"position": "fullName"}}}, "fullName: names, pay and other personal data"),
        ({"workforce": {"extra": {"pay": "totalBasePay.value"}}}, "totalBasePay.value: names, pay"),
        ({"workforce": {"select": ["employeeID", "dateOfBirth"]}}, "dateOfBirth: names, pay"),
        ({"people": {**FULL, "table": "workforce", "key": "Email_Address"}}, "Email_Address: names, pay"),
        (
            {"workforce": {"protocol": "soap", "options": {"response_group": {"Include_Personal_Information": True}}}},
            "response_group may not ask for Include_Personal_Information",
        ),
    ],
)  # fmt: skip
def test_a_declaration_when_it_cannot_be_right_is_refused_by_name(datasets: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(datasets)


def test_a_user_and_password_alone_when_wql_is_wanted_are_refused() -> None:
    basic = {"type": "basic", "username": "ISU", "password": "${WORKDAY_PASSWORD}"}
    with pytest.raises(ValidationError, match="datasets.cost_centers: wql takes OAuth only"):
        config(auth=basic)
    read = config({"cost_centers": {"protocol": "soap"}}, auth=basic)
    assert read.isu is not None
    assert read.full_name(read.isu) == "ISU@acme"


def test_page_sizes_when_the_tenant_gives_less_are_its_own() -> None:
    http = {"base_url": "https://workday.example", "page_size": 5000}
    read = config(http=http, largest_pages={"wql": 2000})
    assert [read.page_size(protocol) for protocol in ("wql", "rest", "soap")] == [2000, 100, 999]


@pytest.mark.parametrize(
    "path",
    ["fullName", "Legal_Name", "Worker_Data.Personal_Data.Name_Data.First_Name", "dateOfBirth", "Birth_Date", "gender",
     "email_Work", "Home_Address", "totalBasePay", "Annual_Salary", "Worker_Reference.Descriptor", "National_ID",
     "User_ID", "Bank_Account", "employeeName", "Name"],
)  # fmt: skip
def test_a_path_when_it_names_what_is_personal_is_known(path: str) -> None:
    assert is_personal(path)


@pytest.mark.parametrize(
    "path",
    ["employeeID", "positionTitle", "Position_Data.Position_ID", "costCenterName", "Business_Site_Summary_Data.Location_Reference",
     "fte", "Start_Date", "Organization_Name", "Worker_Reference.Employee_ID", "locationID"],
)  # fmt: skip
def test_a_path_when_it_names_a_position_is_not_personal(path: str) -> None:
    assert not is_personal(path)
