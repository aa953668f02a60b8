"""Datasets as data: what a declaration may say, how a block is laid over the shipped one, and who reads it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest
from pydantic import ValidationError

from resources.core.configuration.settings import parse_yaml
from resources.core.errors import ConfigError
from resources.erp.connector import Changed, Connector, Day, Whole
from resources.erp.declared import Comparison, DatasetConfig, FieldRule, merged, split_path
from resources.erp.kinds import connector, kinds
from resources.erp.resources import ErpResource, build_erp_resources, resource_key
from resources.erp.sap.config import SapConfig
from resources.integrations import ErpConfig, Integrations

OWN = {"service": "/s", "resource": "Set", "key": "id", "business_date": "day"}


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "sap",
        "http": {"base_url": "https://sap.example"},
        "auth": {"token_url": "https://sap.example/t", "client_id": "c", "client_secret": "${S}"},
        "company": "1000",
        **changes,
    }


def sap(**changes: Any) -> SapConfig:
    return SapConfig.model_validate(settings(**changes))


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("id", ("id",)),
        ("parent.CompanyCode", ("parent", "CompanyCode")),
        (r"@odata\.etag", ("@odata.etag",)),
        (r"a\.b.c", ("a.b", "c")),
    ],
)
def test_a_path_when_split_is_its_names(path: str, names: tuple[str, ...]) -> None:
    assert split_path(path) == names


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b", " a", "a\0"])
def test_a_path_when_empty_somewhere_is_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        DatasetConfig(resource="R", key=(path,))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"value": "x"}, "x"),
        ({"value": 5}, 5),
        ({"value": 1.5}, Decimal("1.5")),
        ({"value": True}, True),
        ({"value": "2026-01-01"}, "2026-01-01"),
        ({"value": date(2026, 1, 1)}, date(2026, 1, 1)),
        ({"value": "2026-01-01", "type": "date"}, date(2026, 1, 1)),
        ({"value": datetime(2026, 1, 1, tzinfo=UTC)}, datetime(2026, 1, 1, tzinfo=UTC)),
        ({"value": "2026-01-01T00:00:00Z", "type": "instant"}, datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_comparison_when_dumped_and_read_again_has_the_same_value(written: dict[str, Any], read: object) -> None:
    comparison = Comparison.model_validate({"property": "p", **written})
    again = Comparison.model_validate(comparison.model_dump(mode="json"))
    assert comparison.literal() == again.literal() == read
    assert type(again.literal()) is type(read)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ({"value": "soon", "type": "date"}, "'soon' is no date"),
        ({"value": "2026-01-01T00:00:00", "type": "instant"}, "needs its zone"),
        ({"value": "x", "operator": "like"}, "operator"),
        ({"value": "x", "property": "a..b"}, "is no property path"),
    ],
)
def test_a_comparison_when_wrong_is_refused(written: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Comparison.model_validate({"property": "p", **written})


@pytest.mark.parametrize(
    ("rule", "properties"),
    [
        ({"path": "a.b"}, ("a.b",)),
        ({"paths": ["a", "b"]}, ("a", "b")),
        ({"constant": 0}, ()),
        ({"constant": ""}, ()),
        ({"setting": "company"}, ()),
        ({"join": ["a", "b"], "separator": "-"}, ("a", "b")),
        ({"date": "d", "time": "t"}, ("d", "t")),
        ({"debit": "s", "credit": "h"}, ("s", "h")),
        ({"path": "a", "negate_when": {"path": "c", "values": "H"}}, ("a", "c")),
        ({"path": "a", "segment": 2}, ("a",)),
    ],
)
def test_a_rule_when_it_has_one_source_reads_its_properties(rule: dict[str, Any], properties: tuple[str, ...]) -> None:
    assert FieldRule.model_validate(rule).properties == properties


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, "none of them"),
        ({"default": "x"}, "none of them"),
        ({"path": "a", "constant": 0}, "this one has path and constant"),
        ({"path": "a", "debit": "s", "credit": "h"}, "path and debit and credit"),
        ({"path": "a", "time": "t"}, "time needs date"),
        ({"debit": "s"}, "debit and credit go together"),
        ({"path": "a", "segment": 0}, "segment counts from 1"),
        ({"path": "a", "formula": "x"}, "formula"),
    ],
)
def test_a_rule_when_it_has_another_number_of_sources_is_refused(rule: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        FieldRule.model_validate(rule)


def test_a_declaration_when_read_names_every_property_once() -> None:
    declared = DatasetConfig.model_validate(
        {
            **OWN,
            "changed": "at",
            "totals": "amount",
            "fields": {"a": "day", "b": {"join": ["id", "line"]}},
            "extra": {"x": "at", "y": "note"},
            "withdrawn_when": [{"path": "gone", "values": "X"}],
        }
    )
    assert declared.properties == ("id", "day", "at", "amount", "line", "note", "gone")
    assert not declared.is_master
    assert DatasetConfig(resource="R", key=("id",)).is_master


def test_a_declaration_when_polled_without_change_stamp_is_refused() -> None:
    with pytest.raises(ValidationError, match="poll_every needs changed"):
        DatasetConfig.model_validate({**OWN, "poll_every": "5m"})
    with pytest.raises(ValidationError, match="greater than or equal to"):
        DatasetConfig.model_validate({**OWN, "changed": "at", "poll_every": "59s"})


def test_a_declaration_when_a_property_is_called_like_a_column_of_landed_records_is_refused() -> None:
    with pytest.raises(ValidationError, match="changed_at names a column of every landed record"):
        DatasetConfig.model_validate({**OWN, "changed": "changed_at"})


def test_a_block_when_laid_over_the_shipped_one_changes_what_it_names() -> None:
    shipped = {"resource": "R", "key": "id", "fields": {"a": "A", "b": "B"}, "select": ["A"], "options": {"x": 1}}
    given = {"fields": {"b": "C", "a": None, "d": "D"}, "select": None, "key": ["id", "line"], "options": {"y": 2}}
    assert merged(shipped, given) == {
        "resource": "R", "key": ["id", "line"], "fields": {"b": "C", "d": "D"}, "options": {"x": 1, "y": 2},
    }  # fmt: skip
    assert merged(shipped, None) == shipped
    assert merged(shipped, {"inherit": False, "resource": "X"}) == {"inherit": False, "resource": "X"}
    assert merged(None, {"resource": "X"}) == {"resource": "X"}


def test_datasets_when_named_overridden_or_own_are_complete() -> None:
    assert set(sap().datasets) == {"energy_consumption"}
    assert set(sap(datasets=["purchase_orders", "materials"]).datasets) == {"purchase_orders", "materials"}
    config = sap(datasets={"energy_consumption": {"contract": "freeze"}, "mine": OWN, "materials": None})
    assert config.datasets["energy_consumption"].contract == "freeze"
    assert config.datasets["energy_consumption"].resource == "MeasurementDocument"
    assert config.datasets["mine"].key == ("id",)
    assert config.table_of("mine") == "mine"
    orders = sap(datasets={"a": {**OWN, "table": "purchase_orders"}, "purchase_orders": {}})
    assert set(orders.datasets_of("purchase_orders")) == {"a", "purchase_orders"}


def test_a_configuration_when_dumped_and_read_again_is_the_same() -> None:
    override = {"fields": {"meter_id": None}, "where": [{"property": "p", "value": 1.5}]}
    config = sap(datasets={"energy_consumption": override, "mine": OWN})
    assert "meter_id" not in config.datasets["energy_consumption"].fields
    assert SapConfig.model_validate(config.model_dump(mode="json")) == config
    assert SapConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"datasets": ["weather"]}, "'weather' is none that the connector knows \\(energy_consumption, "),
        ({"datasets": {"weather": {}}}, "datasets.weather.resource"),
        ({"datasets": {"weather": "daily"}}, "datasets.weather"),
        ({"datasets": "energy_consumption"}, "datasets"),
        ({"datasets": {"energy_consumption": {"colour": 1}}}, "datasets.energy_consumption.colour"),
        ({"time_zone": "Mars/Olympus"}, "unknown time zone 'Mars/Olympus'"),
        ({"oauth": {"token_url": "https://t"}}, "auth and oauth are the same"),
        ({"auth": {"type": "guess"}}, "auth"),
    ],
)
def test_a_system_when_wrong_is_refused_with_its_key(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        sap(**changes)


def test_oauth_when_written_as_before_is_client_credentials() -> None:
    old = settings()
    old["oauth"] = old.pop("auth")
    config = SapConfig.model_validate(old)
    assert config.auth.type == "client_credentials"
    assert config == sap()


def test_a_kind_when_there_is_a_folder_is_found_and_loaded() -> None:
    assert {"sap", "oracle", "dynamics", "workday"} <= set(kinds())
    for kind in kinds():
        found = connector(kind)
        assert isinstance(found, Connector)
        assert found.kind == kind
        for name, raw in found.config_class.shipped_datasets().items():
            DatasetConfig.model_validate(raw)
            assert name.isidentifier()
    with pytest.raises(ConfigError, match="unknown kind of ERP system 'abacus': there are dynamics"):
        connector("abacus")


def test_systems_when_of_a_wrong_kind_or_key_are_told_with_the_line() -> None:
    text = """
site: demo
start: 2026-01-01T00:00:00Z
erp:
  systems:
    one:
      kind: abacus
    two:
      company: "1"
    three:
      kind: sap
      http: {base_url: "https://h"}
      company: "1000"
      colour: blue
      auth: {token_url: "https://t", client_id: c, client_secret: "${S}"}
"""
    with pytest.raises(ConfigError) as met:
        parse_yaml(text, Integrations, name="file")
    lines = str(met.value).splitlines()
    assert lines[0].startswith("file:6: erp.systems.one: kind 'abacus' is none: write one of dynamics")
    assert lines[1].startswith("file:8: erp.systems.two: kind is missing")
    assert lines[2] == "file:14: erp.systems.three.colour: unknown key"


def test_a_system_when_it_is_a_model_already_stays() -> None:
    config = sap()
    assert ErpConfig(systems={"sap": config}).systems["sap"] is config
    dumped = ErpConfig(systems={"sap": config}).model_dump(mode="json")
    assert dumped["systems"]["sap"]["sap_client"] == "100"


def test_systems_when_their_names_differ_by_a_sign_only_are_refused() -> None:
    with pytest.raises(ValidationError, match="systems sap-eu and sap_eu differ by - and _ only"):
        ErpConfig(systems={"sap-eu": sap(), "sap_eu": sap()})


def test_parts_when_named_read_as_words() -> None:
    assert str(Day(date(2026, 11, 20))) == "of 2026-11-20"
    assert str(Whole()) == "as a whole"
    since = datetime(2026, 11, 20, tzinfo=UTC)
    assert "2026-11-20T00:00:00+00:00 to " in str(Changed(since, since + timedelta(hours=1)))


def test_a_resource_when_a_step_runs_has_its_client_and_closes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S", raising=False)
    resources = build_erp_resources({"sap-eu": sap()})
    resource = resources[resource_key("sap-eu")]
    assert isinstance(resource, ErpResource)
    with dg.build_init_resource_context() as context:
        resource.setup_for_execution(context)
        assert resource.client.system == "sap-eu"
        # the secret is looked up when the first token is needed
        with pytest.raises(ConfigError, match="environment variable S is not set"):
            next(resource.fetch("energy_consumption", Day(date(2026, 11, 20))))
        resource.teardown_after_execution(context)
        resource.teardown_after_execution(context)
    with pytest.raises(AssertionError):
        _ = resource.client
