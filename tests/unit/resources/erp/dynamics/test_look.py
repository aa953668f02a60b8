"""`gl doctor` and `gl erp describe` of Dynamics, against FakeDynamics."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from resources.core.clock import ManualClock
from resources.core.errors import DataError, ProtocolError, UnreachableError
from resources.demo_plant.erp.dynamics.book import DynamicsBook
from resources.demo_plant.erp.dynamics.entra import EntraApp
from resources.erp.connector import Finding
from resources.erp.dynamics.client import DynamicsClient
from resources.erp.dynamics.config import DynamicsConfig
from resources.erp.dynamics.metadata import read_model
from resources.transport.connections.server_clock import ServerClock
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.dynamics.support import SECRET_VARIABLE, DynamicsServer, dynamics_server
from tests.unit.resources.erp.support import instant

NOW = instant("2026-11-22T06:00:00")


def look(config: DynamicsConfig, now: ManualClock | None = None) -> list[Finding]:
    with DynamicsClient("d365", config, clock=now or ManualClock(NOW)) as client:
        return client.look()


def said(findings: list[Finding], level: str) -> str:
    return "\n".join(finding.says for finding in findings if finding.level == level)


def test_an_environment_when_all_is_well_has_nothing_but_good_findings(dynamics: DynamicsServer) -> None:
    findings = look(dynamics.config(companies=["usmf", "demf"]))
    assert {finding.level for finding in findings} == {"ok"}
    assert "cost_allocation: LedgerJournalLines can be read" in said(findings, "ok")
    assert "companies: usmf, demf" in said(findings, "ok")


def test_an_application_when_not_registered_is_told_how_to_register_and_nothing_else_is_asked(
    dynamics: DynamicsServer,
) -> None:
    dynamics.control.registered = False
    findings = look(dynamics.config())
    assert len(findings) == len(dynamics.config().datasets)
    assert "register the client id inside Finance & Operations" in said(findings, "error")


def test_one_dataset_when_its_set_is_not_there_is_the_only_error(dynamics: DynamicsServer) -> None:
    config = dynamics.config(datasets={"production_schedule": {"resource": "Nothing"}, "cost_centers": {}})
    findings = look(config)
    assert said(findings, "error").startswith("production_schedule: ")
    assert "`gl erp describe` shows which there are" in said(findings, "error")


def test_a_clock_when_far_away_is_a_warning(dynamics: DynamicsServer) -> None:
    findings = look(dynamics.config(), ManualClock(NOW + timedelta(minutes=5)))
    assert said(findings, "warning") == "its clock is -300 s from ours"


def test_a_company_when_there_is_none_is_an_error_that_names_those_there_are(dynamics: DynamicsServer) -> None:
    findings = look(dynamics.config(companies=["usmf", "frsi"]))
    assert said(findings, "error") == "companies: frsi: no such legal entity; there are demf, usmf"


def test_one_company_when_read_alone_is_a_warning(dynamics: DynamicsServer) -> None:
    assert "only the default company" in said(look(dynamics.config(cross_company=False)), "warning")


def test_formats_when_they_differ_from_the_systems_are_errors_that_name_it(dynamics: DynamicsServer) -> None:
    changes: dict[str, Any] = {
        "ledger_dimension_format": ["MainAccount", "CostCenter", "Department", "BusinessUnit"],
        "dimension_delimiter": "|",
    }
    errors = said(look(dynamics.config(**changes)), "error")
    assert (
        "the system's active one is MainAccount, BusinessUnit, Department, CostCenter: segments are mixed up" in errors
    )
    assert "dimension_delimiter is '|', the system has '-'" in errors


@pytest.mark.parametrize(
    ("after", "warning"),
    [(5, "LegalEntities cannot be read"), (6, "DimensionIntegrationFormats cannot be read")],
)
def test_a_set_when_the_user_may_not_read_it_leaves_that_open(
    dynamics: DynamicsServer, after: int, warning: str
) -> None:
    dynamics.control.misbehave("forbidden", after=after)
    assert warning in said(look(dynamics.config()), "warning")


def test_a_format_when_none_is_active_is_a_warning(dynamics: DynamicsServer) -> None:
    for record in dynamics.book.masters("DimensionIntegrationFormats"):
        dynamics.book.vanish("DimensionIntegrationFormats", record)
    assert "ledger_dimension_format: the system has no active format" in said(look(dynamics.config()), "warning")


def test_an_environment_when_nothing_answers_is_unreachable(dynamics: DynamicsServer) -> None:
    config = dynamics.config(http={"base_url": "https://127.0.0.1:1", "attempts": 1})
    with pytest.raises(UnreachableError, match="d365"):
        look(config)


def test_metadata_when_described_is_saved_and_told_as_the_datasets_write_it(dynamics: DynamicsServer) -> None:
    config = dynamics.config()
    with DynamicsClient("d365", config) as client:
        found = client.describe()
    assert found.files["data-metadata.xml"].startswith(b"<?xml")
    for name, declared in config.datasets.items():
        there = {item.path for item in found.properties[name]}
        assert set(declared.properties) <= there, name
    types = {item.path: item.type for item in found.properties["purchase_orders"]}
    assert types["parent.AccountingDate"] == "Edm.DateTimeOffset"
    assert types["LineNumber"] == "Edm.Int64"
    assert any("changed: ModifiedDateTime1 lets poll_every work" in note for note in found.notes)


@pytest.fixture(scope="module")
def other_version(authority: CertificateAuthority) -> Iterator[DynamicsServer]:
    book = DynamicsBook(general_journal="GeneralJournalAccountEntryV2Entities", clock=ManualClock(NOW))
    with dynamics_server(authority, book=book, clock=ManualClock(NOW)) as server:
        yield server


def test_posted_entries_when_their_set_has_another_name_are_told_by_describe(
    other_version: DynamicsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, EntraApp().client_secret)
    declared = {"financial_transactions": {}, "production_schedule": {"expand": ["Misspelt"], "options": None}}
    with DynamicsClient("d365", other_version.config(datasets=declared)) as client:
        found = client.describe()
    assert "financial_transactions" not in found.properties
    assert found.notes == (
        "financial_transactions: there is no entity set GeneralJournalAccountEntries (names are case sensitive); there "
        "is GeneralJournalAccountEntryV2Entities: set datasets.financial_transactions.resource",
        "production_schedule: ProductionOrderHeaders has no navigation property Misspelt",
    )


def test_metadata_when_it_is_none_is_a_protocol_error(dynamics: DynamicsServer) -> None:
    declared = {"cost_centers": {"service": "/data/LegalEntities"}}
    client = DynamicsClient("d365", dynamics.config(datasets=declared))
    with client, pytest.raises(ProtocolError, match=r"\(\$metadata\)"):
        client.describe()


def test_metadata_when_it_is_cut_off_is_a_protocol_error_that_names_it(dynamics: DynamicsServer) -> None:
    dynamics.control.metadata_changes["</edmx:Edmx>"] = ""
    client = DynamicsClient("d365", dynamics.config())
    with client, pytest.raises(ProtocolError, match=r"GET /data/\$metadata: no CSDL document .* may be cut off"):
        client.describe()


@pytest.mark.parametrize("body", [b"", b"<a>", b"<a/>", b"{}", b'<!DOCTYPE x [<!ENTITY e "x">]><a>&e;</a>'])
def test_a_document_when_it_is_no_csdl_is_a_data_error(body: bytes) -> None:
    with pytest.raises(DataError, match="document of"):
        read_model(body)


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sun, 99 Nov 2026 06:00:00 GMT"])
def test_a_date_header_when_odd_tells_nothing(date: str | None) -> None:
    clock = ServerClock(ManualClock(NOW))
    clock.told(date)
    assert clock.now() is None
    assert clock.ahead is None


def test_a_date_header_when_without_zone_is_gmt() -> None:
    clock = ServerClock(ManualClock(NOW))
    clock.told("Sun, 22 Nov 2026 06:00:10 -0000")
    assert clock.ahead == timedelta(seconds=10)
