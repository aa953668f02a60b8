from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from pydantic import ValidationError

from resources.erp.connector import Day, Whole
from resources.erp.declared import DatasetConfig
from resources.erp.kinds import connector
from resources.erp.oracle.client import OracleClient
from resources.erp.oracle.config import OracleConfig, OracleOptions, at_resource, wire_path
from resources.erp.oracle.query import address, asked, asked_of_children, day_bounds

REPOSITORY = Path(__file__).parents[5]
UTC_ZONE = ZoneInfo("UTC")
SCOPE = "urn:opc:resource:fa:instanceid=500001234urn:opc:resource:consumer::all"
BASE: dict[str, Any] = {
    "kind": "oracle",
    "http": {"base_url": "https://pod.fa.example"},
    "auth": {
        "token_url": "https://idcs.example/oauth2/v1/token",
        "client_id": "GL",
        "client_secret": "${ORACLE_CLIENT_SECRET}",
        "scope": SCOPE,
    },
    "company": "01",
}


def config(**changes: Any) -> OracleConfig:
    return OracleConfig.model_validate({**BASE, **changes})


def test_a_kind_when_asked_for_gives_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    found = connector("oracle")
    client = found.client_factory("pod", found.config_class.model_validate(BASE))
    assert isinstance(client, OracleClient)
    client.close()


def test_datasets_when_not_named_are_those_shipped() -> None:
    assert list(config().datasets) == ["energy_consumption", "maintenance_schedule", "assets", "financial_transactions"]
    assert config().datasets["assets"].is_master


def test_a_configuration_when_dumped_and_read_again_is_the_same() -> None:
    first = config(
        meters={"M": {"energy_type": "steam", "plant_code": "P", "unit": "t"}},
        account_segments=["account", "cost_center"],
    )
    assert OracleConfig.model_validate(first.model_dump(mode="json")) == first


def test_a_scope_when_given_is_taken_verbatim() -> None:
    assert config().auth.scope == SCOPE  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"auth": {**BASE["auth"], "scope": None}}, "auth.scope is missing"),
        ({"framework_version": 2}, "explode needs framework_version 3 at least"),
        ({"framework_version": 10}, "less than or equal to 9"),
        ({"datasets": {"assets": {"protocol": "odata_v4"}}}, "Fusion has rest"),
        ({"datasets": {"assets": {"select": ["AssetId"], "expand": ["Meters"]}}}, "select and expand exclude"),
        ({"datasets": {"assets": {"key": ["A", "B"]}}}, "needs options.order_by"),
        ({"datasets": {"assets": {"options": {"find": "x"}}}}, "find"),
        ({"datasets": {"assets": {"options": {"finder_values": {"a": "b"}}}}}, "finder_values and finder_each need finder"),
        ({"datasets": {"assets": {"options": {"finder": "F", "finder_values": {"a": "b,c"}}}}}, "without semicolon"),
        ({"datasets": {"assets": {"options": {"finder": "F", "finder_each": [{"a": "b;c"}]}}}}, "without semicolon"),
        ({"datasets": {"assets": {"options": {"finder": "F", "finder_values": {"a": "{now}"}}}}}, "only {day} and"),
        ({"datasets": {"assets": {"options": {"period": {"attribute": "P"}}}}}, "options.period goes with explode"),
        ({"datasets": {"financial_transactions": {"changed": "LastUpdateDate"}}}, "belongs to a child"),
        ({"datasets": {"financial_transactions": {"key": "JeLineNumber"}}}, "name one to order by"),
        ({"account_segments": ["company", "account"]}, "there is no segment 'cost_center' among account_segments"),
    ],
)  # fmt: skip
def test_a_configuration_when_it_cannot_work_says_why(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        config(**changes)


def blocks() -> list[str]:
    text = (REPOSITORY / "docs" / "how-to" / "connect-oracle.md").read_text(encoding="utf-8")
    return re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)


def test_the_configuration_of_the_how_to_when_validated_is_one() -> None:
    first, *others = blocks()
    system = yaml.safe_load(first)["erp"]["systems"]["oracle"]
    assert list(OracleConfig.model_validate(system).datasets) == [
        "energy_consumption", "maintenance_schedule", "assets", "financial_transactions",
    ]  # fmt: skip
    for block in others:
        OracleConfig.model_validate({**system, **yaml.safe_load(block)})
    assert len(others) == 6


def test_account_segments_when_named_go_into_account_and_cost_center() -> None:
    fields = (
        config(account_segments=["company", "cost_center", "account"], account_delimiter=".")
        .datasets["financial_transactions"]
        .fields
    )
    assert (fields["account"].segment, fields["account"].delimiter) == (3, ".")
    assert fields["cost_center"].segment == 2


def test_account_segments_when_unknown_leave_the_combination_whole() -> None:
    fields = config().datasets["financial_transactions"].fields
    assert fields["account"].segment is None
    assert "cost_center" not in fields


def test_units_of_meters_when_configured_become_those_of_their_readings() -> None:
    meters = {
        "A": {"energy_type": "steam", "plant_code": "P", "unit": "t"},
        "B": {"energy_type": "x", "plant_code": "P"},
    }
    assert config(meters=meters).datasets["energy_consumption"].fields["consumption_unit"].values == {"A": "t"}


def test_the_page_size_when_several_are_given_is_the_smallest() -> None:
    datasets = {"assets": {"options": {"page_size": 100}}, "maintenance_schedule": {}}
    found = config(datasets=datasets)
    assert found.page_size_of("assets") == 100
    assert found.page_size_of("maintenance_schedule") == 499
    assert config(http={**BASE["http"], "page_size": 1}).page_size_of("assets") == 2


@pytest.mark.parametrize(
    ("path", "explode", "wire"),
    [
        ("A", None, "A"),
        ("parent.A", None, "parent.A"),
        ("A", "h.l", "h.l.A"),
        ("parent.A", "h.l", "h.A"),
        ("parent.parent.A", "h.l", "A"),
        ("parent.parent", "h.l", "h.parent"),
    ],
)
def test_a_path_when_written_for_the_wire_names_its_level(path: str, explode: str | None, wire: str) -> None:
    assert wire_path(path, explode) == wire
    assert at_resource(path, explode) == (wire if "." not in wire else None)


def declared(**changes: Any) -> DatasetConfig:
    return DatasetConfig.model_validate({"resource": "things", "key": "Id", "business_date": "On", **changes})


def test_a_day_when_it_is_a_date_is_compared_as_one() -> None:
    wish = asked(declared(), OracleOptions(), Day(date(2026, 11, 20)), UTC_ZONE, 4)
    assert wish.conditions == ("On = '2026-11-20'",)
    assert wish.order_by == "Id"
    assert asked(declared(), OracleOptions(), Day(date(2026, 11, 20)), UTC_ZONE, 1).conditions == ("On='2026-11-20'",)


def test_a_finder_when_its_value_holds_the_day_gets_it() -> None:
    options = OracleOptions(finder="F", finder_values={"on": "{day}"})
    assert asked(declared(), options, Day(date(2026, 11, 20)), UTC_ZONE, 4).parameters["finder"] == "F;on=2026-11-20"
    assert asked(declared(), OracleOptions(finder="F"), Whole(), UTC_ZONE, 4).parameters["finder"] == "F"


def test_children_when_read_by_themselves_are_asked_for_what_the_page_has() -> None:
    whole = declared(key=["parent.parent.Id", "No"], explode="h.l", business_date="parent.On")
    assert asked_of_children(whole, "h", "Name").parameters == {"onlyData": "true", "expand": "l"}
    assert asked_of_children(whole, "h.l", "No").parameters == {"onlyData": "true"}
    some = whole.model_copy(update={"select": ("parent.Name", "Text")})
    assert asked_of_children(some, "h", "Name").parameters["fields"] == "Name,On;l:Text,No"
    assert asked_of_children(some, "h.l", "No").parameters["fields"] == "Text,No"


def test_an_address_when_built_is_encoded() -> None:
    assert address("/r", {"q": "A = 'x&y'", "fields": "A,B;c:D"}) == "/r?q=A%20%3D%20%27x%26y%27&fields=A,B%3Bc%3AD"


def test_a_value_when_it_would_end_its_literal_is_refused() -> None:
    where = [{"property": "Name", "value": "a'b\"c"}]
    with pytest.raises(ValueError, match="both quotes"):
        asked(declared(where=where), OracleOptions(), Whole(), UTC_ZONE, 4)
    with pytest.raises(ValueError, match="semicolon"):
        asked(declared(where=[{"property": "Name", "value": "a;b"}]), OracleOptions(), Whole(), UTC_ZONE, 1)


def test_the_bounds_of_a_day_when_clocks_change_are_the_zones_own() -> None:
    begin, end = day_bounds(date(2026, 3, 29), ZoneInfo("Europe/Berlin"))
    assert (end - begin).total_seconds() == 23 * 3600
