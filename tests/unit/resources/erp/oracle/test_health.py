"""What the client says of a pod: token, clock, versions, what it may see, what its resources are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resources.core.errors import AuthError, ProtocolError, UnreachableError
from resources.erp.connector import CanDescribe, CanListKeys, CanLook, Day, Finding, KnowsServerTime, Whole
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.oracle.support import DAY, SATURDAY, OracleServer, oracle_server


def look(oracle: OracleServer, **changes: Any) -> list[Finding]:
    with oracle.client(**changes) as client:
        return client.look()


def unmapped(oracle: OracleServer) -> dict[str, Any]:
    return {**oracle.settings()["auth"], "client_id": oracle.login.unmapped_client_id}


def test_a_client_when_built_can_do_all_that_a_client_may(oracle: OracleServer) -> None:
    with oracle.client() as client:
        for capability in (CanDescribe, CanLook, CanListKeys, KnowsServerTime):
            assert isinstance(client, capability)


def test_a_pod_when_well_has_nothing_but_good_findings(oracle: OracleServer) -> None:
    findings = look(oracle)
    assert {finding.level for finding in findings} == {"ok"}
    assert len(findings) == 7


def test_an_unmapped_client_when_it_pulls_is_refused_instead_of_an_empty_day(oracle: OracleServer) -> None:
    with pytest.raises(AuthError, match="no Fusion user belongs to the client") as met:
        oracle.pull("energy_consumption", Day(DAY), auth=unmapped(oracle))
    assert "nothing stored is changed" in str(met.value)


def test_an_unmapped_client_when_looked_at_is_named_as_such(oracle: OracleServer) -> None:
    errors = [finding for finding in look(oracle, auth=unmapped(oracle)) if finding.level == "error"]
    assert len(errors) == 1
    assert "no Fusion user belongs to the client" in errors[0].says


def test_a_quiet_day_when_pulled_is_empty_and_asked_about_once(oracle: OracleServer) -> None:
    datasets = {"financial_transactions": {"where": [{"property": "parent.parent.UserJeSourceName", "value": "None"}]}}
    with oracle.client(datasets=datasets) as client:
        for _ in range(2):
            assert [page.records for page in client.fetch("financial_transactions", Day(SATURDAY))] == [[]]
    assert oracle.control.requests == 3


def test_a_resource_when_it_shows_no_record_at_all_is_refused(oracle: OracleServer) -> None:
    oracle.control.hidden = {"maintenanceWorkOrders"}
    with pytest.raises(AuthError, match=r"data access set.*maintenance_schedule.options.may_be_empty: true"):
        oracle.pull("maintenance_schedule", Day(DAY))
    may = {"maintenance_schedule": {"options": {"may_be_empty": True}}}
    assert oracle.pull("maintenance_schedule", Day(DAY), datasets=may).records == []
    said = [finding.says for finding in look(oracle) if finding.level == "error"]
    assert len(said) == 1
    assert "maintenance_schedule reads maintenanceWorkOrders without seeing any record" in said[0]


def test_a_refused_resource_when_looked_at_is_named(oracle: OracleServer) -> None:
    oracle.control.denied = {"journalBatches"}
    said = [finding.says for finding in look(oracle) if finding.level == "error"]
    assert len(said) == 1
    assert said[0].startswith("permission: financial_transactions: oracle: GET")


def test_what_must_exist_when_it_cannot_be_read_is_a_warning(oracle: OracleServer) -> None:
    oracle.control.hidden = {"installedBaseAssets"}
    findings = look(oracle, must_exist="noSuchResource")
    assert next(f.says for f in findings if f.level == "warning").startswith("permission: noSuchResource, which must")


def test_a_resource_when_unknown_is_named(oracle: OracleServer) -> None:
    datasets = {"assets": {"resource": "noSuchAssets"}}
    assert [f.level for f in look(oracle, datasets=datasets)] == ["ok", "ok", "ok", "error"]


@pytest.mark.parametrize(("skew", "words"), [(95.0, "95 s ahead of"), (-40.0, "40 s behind")])
def test_a_clock_when_it_differs_is_a_warning(oracle: OracleServer, skew: float, words: str) -> None:
    oracle.control.clock_skew_s = skew
    assert any(words in finding.says for finding in look(oracle) if finding.level == "warning")


def test_a_version_when_the_pod_does_not_list_it_is_a_warning(oracle: OracleServer) -> None:
    findings = look(oracle, api_path="/fscmRestApi/resources/11.13.17.11", datasets=[])
    assert [f.says for f in findings if f.level == "warning"] == [
        "versions: 11.13.17.11 of api_path is none of 11.13.18.05"
    ]
    assert not [f for f in look(oracle, api_path="/fscmRestApi/resources/latest") if f.level != "ok"]


def test_a_secret_when_refused_is_a_finding(oracle: OracleServer) -> None:
    auth = {**oracle.settings()["auth"], "client_id": "nobody"}
    findings = look(oracle, auth=auth)
    assert [f.level for f in findings] == ["error"]
    assert "invalid_client" in findings[0].says


def test_a_pod_when_it_cannot_be_reached_is_unreachable(authority: CertificateAuthority, oracle: OracleServer) -> None:
    with oracle_server(authority) as gone:
        client = gone.client()
    with client, pytest.raises(UnreachableError):
        client.look()


def test_a_description_when_read_has_the_files_and_every_property_of_a_declaration(oracle: OracleServer) -> None:
    config = oracle.config()
    with oracle.client() as client:
        found = client.describe()
    assert set(found.files) == {
        "meterReadings.json", "maintenanceWorkOrders.json", "installedBaseAssets.json", "journalBatches.json",
    }  # fmt: skip
    assert "meterReadings" in json.loads(found.files["meterReadings.json"])["Resources"]
    for name, declared in config.datasets.items():
        there = {prop.path for prop in found.properties[name]}
        assert set(declared.properties) - there == set()
    types = {prop.path: prop.type for prop in found.properties["financial_transactions"]}
    assert types["parent.DefaultEffectiveDate"] == "date"
    assert types["parent.parent.JeBatchId"] == "integer"
    operations = {prop.path for prop in found.properties["maintenance_schedule"]}
    assert "WorkOrderOperation.OperationName" in operations


def test_a_description_when_it_is_none_is_a_protocol_error(oracle: OracleServer) -> None:
    from resources.erp.oracle.description import described

    class NoPod:
        system = "oracle"

        def get(self, url: str, *, lane: str = "") -> bytes:
            return b'{"Resources": 3}' if "journal" in url else b'{"Resources": {}}'

        def path(self, resource: str) -> str:
            return f"/x/{resource}"

    datasets = oracle.config().datasets
    assert described(NoPod(), {"assets": datasets["assets"]}).properties == {}  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="journalBatches/describe answers something that is no description"):
        described(NoPod(), datasets)  # type: ignore[arg-type]


def test_assets_when_all_are_hidden_are_refused_as_well(oracle: OracleServer) -> None:
    oracle.control.hidden = {"installedBaseAssets", "currenciesLOV"}
    with pytest.raises(AuthError, match="no Fusion user belongs"):
        oracle.pull("assets", Whole())
