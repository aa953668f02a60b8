"""The block of a Dynamics system in integrations.yaml."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from resources.erp.dynamics.config import DynamicsConfig, enum_member

BASE: dict[str, Any] = {
    "kind": "dynamics",
    "http": {"base_url": "https://contoso.operations.dynamics.com"},
    "auth": {
        "token_url": "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token",
        "client_id": "0d3c7a52-6a3e-4f6e-9d0b-0a5f2f6f0d01",
        "client_secret": "${DYNAMICS_CLIENT_SECRET}",
        "client_auth": "client_secret_post",
        "scope": "https://contoso.operations.dynamics.com/.default",
    },
    "company": "usmf",
}


def config(**changes: Any) -> DynamicsConfig:
    return DynamicsConfig.model_validate({**BASE, **changes})


def allocation(**options: Any) -> dict[str, Any]:
    return {"cost_allocation": {"options": {"journal_names": ["ENALLOC"], **options}}}


def test_a_system_when_it_names_no_datasets_reads_what_needs_no_further_word() -> None:
    found = config()
    assert list(found.datasets) == ["financial_transactions", "production_schedule", "purchase_orders", "cost_centers"]


def test_every_dataset_of_a_company_when_shipped_has_data_area_id_in_its_key() -> None:
    datasets = config(
        datasets={**allocation(), **{name: {} for name in DynamicsConfig.shipped_datasets()}, **allocation()}
    )
    for name, declared in datasets.datasets.items():
        assert (declared.key[0] == "dataAreaId") == datasets.options_of(name).per_company


def test_segments_when_named_become_numbers_by_the_formats() -> None:
    found = config(
        ledger_dimension_format=["MainAccount", "CostCenter", "Department"],
        dimension_delimiter="|",
        datasets={**allocation(), "purchase_orders": {}},
        default_dimension_format=["CostCenter"],
    )
    rule = found.datasets["cost_allocation"].fields["cost_center"]
    assert (rule.segment, rule.delimiter) == (2, "|")
    assert found.datasets["purchase_orders"].fields["cost_center"].segment == 1


def test_a_configuration_when_dumped_and_read_again_is_the_same() -> None:
    found = config(datasets=allocation())
    assert DynamicsConfig.model_validate(found.model_dump(mode="json")) == found


def test_companies_when_in_capitals_become_lower_case_as_the_system_sends_them() -> None:
    assert config(companies=["USMF"]).companies == ("usmf",)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"datasets": ["cost_allocation"]}, "which journals allocate costs"),
        ({"datasets": allocation(finder="x")}, "datasets.cost_allocation.options.finder"),
        ({"ledger_dimension_format": ["MainAccount"]}, "ledger_dimension_format has MainAccount; correct the format"),
        (
            {"datasets": {"cost_centers": {"fields": {"name": {"path": "A", "segment": "other.X"}}}}},
            "segment 'other.X' is none",
        ),
        ({"companies": ["usmf"], "cross_company": False}, "companies needs cross_company"),
        (
            {"datasets": {"cost_centers": {"where": [{"property": "A.B", "value": 1}]}}},
            "cannot filter by what a navigation property leads to",
        ),
        (
            {"datasets": {"cost_centers": {"where": [{"property": "A", "operator": "gt", "value": "x.NoYes'Yes'"}]}}},
            "enumerations know eq and ne alone",
        ),
        ({"datasets": {"cost_centers": {"expand": ["A/B"]}}}, "expands the first level only"),
        ({"datasets": allocation(expand_select={"Other": ["A"]})}, "expand_select: Other is not among expand"),
    ],
)
def test_a_configuration_when_the_system_could_not_be_asked_so_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        config(**changes)


@pytest.mark.parametrize(
    ("value", "member"),
    [
        ("Microsoft.Dynamics.DataEntities.NoYes'Yes'", ("Microsoft.Dynamics.DataEntities.NoYes", "Yes")),
        ("Yes", None),
        ("x'y' or 1 eq 1", None),
        (3, None),
    ],
)
def test_a_value_when_it_is_a_member_of_an_enumeration_is_known_as_such(value: object, member: object) -> None:
    assert enum_member(value) == member
