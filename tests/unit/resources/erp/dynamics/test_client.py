"""The Dynamics client over real TLS sockets against FakeDynamics, behaving and misbehaving."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest

from resources.core.errors import (
    AuthError,
    ConfigError,
    ProtocolError,
    SourceError,
    ThrottledError,
    UnreachableError,
)
from resources.demo_plant.erp.dynamics.ledger import COST_CENTERS
from resources.erp.connector import CanDescribe, CanListKeys, CanLook, Changed, Day, KnowsServerTime, Part, Whole
from resources.erp.dynamics.client import DynamicsClient
from resources.erp.dynamics.config import DynamicsConfig
from resources.erp.kinds import connector
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.dynamics.support import DAY, SECRET_VARIABLE, DynamicsServer, dynamics_server


def pull(
    config: DynamicsConfig, dataset: str, part: Part | None = None, *, keys: bool = False
) -> tuple[list[dict[str, Any]], int | None]:
    """Return all records and the last count that a page carried."""
    records: list[dict[str, Any]] = []
    count = None
    with DynamicsClient("d365", config) as client:
        asked = part or Day(DAY)
        for page in client.fetch_keys(dataset, asked) if keys else client.fetch(dataset, asked):  # type: ignore[arg-type]
            records += [json.loads(record) for record in page.records]
            count = page.server_count
    return records, count


def entities(server: DynamicsServer, entity_set: str, day: date = DAY) -> list[dict[str, Any]]:
    return server.book.day(entity_set, day)


@pytest.mark.parametrize(
    ("dataset", "entity_set"),
    [
        ("financial_transactions", "GeneralJournalAccountEntries"),
        ("production_schedule", "ProductionOrderHeaders"),
        ("purchase_orders", "PurchaseOrderLinesV2"),
    ],
)
def test_a_day_when_pulled_brings_every_record_of_both_companies_once(
    dynamics: DynamicsServer, dataset: str, entity_set: str
) -> None:
    config = dynamics.config()
    records, count = pull(config, dataset)
    there = entities(dynamics, entity_set)
    assert len(records) == len(there) == count
    keys = {tuple(record[name] for name in config.datasets[dataset].key) for record in records}
    assert len(keys) == len(records)
    assert {record["dataAreaId"] for record in records} == {"usmf", "demf"}


def test_cost_allocation_when_pulled_is_a_debit_line_for_each_cost_center_of_the_chosen_journal(
    dynamics: DynamicsServer,
) -> None:
    records, count = pull(dynamics.config(), "cost_allocation")
    assert len(records) == count == 2 * len(COST_CENTERS)
    assert {record["LedgerJournalHeader"]["JournalName"] for record in records} == {"ENALLOC"}
    assert {record["AccountDisplayValue"] for record in records} >= {"618100-001-OPS-1100", "618100-001-OPS-HX\\-01"}
    assert all(record["DebitAmount"] > 0 for record in records)


def test_cost_allocation_when_journals_are_not_posted_yet_leaves_them_out_unless_told(dynamics: DynamicsServer) -> None:
    today = Day(date(2026, 11, 22))
    assert pull(dynamics.config(), "cost_allocation", today) == ([], 0)
    options = {"journal_names": ["enalloc"], "posted_only": False}
    drafts, _ = pull(dynamics.config(datasets={"cost_allocation": {"options": options}}), "cost_allocation", today)
    assert len(drafts) == 2 * len(COST_CENTERS)


def test_cost_allocation_when_chosen_by_batch_asks_by_wildcard(dynamics: DynamicsServer) -> None:
    options = {"journal_names": None, "journal_batches": ["A1-*"]}
    config = dynamics.config(datasets={"cost_allocation": {"options": options}})
    records, _ = pull(config, "cost_allocation")
    assert {record["JournalBatchNumber"][:3] for record in records} == {"A1-"}
    assert "JournalBatchNumber eq 'A1-*'" in dynamics.control.seen[0]


def test_a_query_when_written_keeps_to_the_dialect(dynamics: DynamicsServer) -> None:
    pull(dynamics.config(companies=["USMF", "demf"], http={"page_size": 1000}), "cost_allocation")
    assert list(dynamics.control.seen) == [
        "LedgerJournalLines?$filter=TransDate ge 2026-11-20T00:00:00Z and TransDate lt 2026-11-21T00:00:00Z and "
        "(dataAreaId eq 'usmf' or dataAreaId eq 'demf') and DebitAmount ne 0&$select=dataAreaId,JournalBatchNumber,"
        "LineNumber,AccountType,AccountDisplayValue,DefaultDimensionDisplayValue,DebitAmount,CreditAmount,CurrencyCode,"
        "TransDate,Voucher,Text,Document,Quantity&$expand=LedgerJournalHeader($select=JournalName,Description,IsPosted)"
        "&$orderby=dataAreaId,JournalBatchNumber,LineNumber&$count=true&cross-company=true"
    ]


def test_a_condition_when_it_names_an_enumeration_member_is_written_with_its_full_type(
    dynamics: DynamicsServer,
) -> None:
    member = "Microsoft.Dynamics.DataEntities.ProdStatus'ReportedFinished'"
    where = [{"property": "ProductionOrderStatus", "value": member}]
    records, _ = pull(dynamics.config(datasets={"production_schedule": {"where": where}}), "production_schedule")
    assert {record["ProductionOrderStatus"] for record in records} == {"ReportedFinished"}
    assert f"ProductionOrderStatus eq {member}" in dynamics.control.seen[0]


def test_one_company_when_configured_is_the_only_one_read(dynamics: DynamicsServer) -> None:
    records, _ = pull(dynamics.config(companies=["demf"]), "production_schedule")
    assert {record["dataAreaId"] for record in records} == {"demf"}


def test_companies_when_not_read_across_are_the_users_default_alone(dynamics: DynamicsServer) -> None:
    records, _ = pull(dynamics.config(cross_company=False), "production_schedule")
    assert {record["dataAreaId"] for record in records} == {"usmf"}


def test_lines_when_exploded_carry_their_order_as_parent(dynamics: DynamicsServer) -> None:
    records, _ = pull(dynamics.config(), "purchase_orders")
    first = records[0]
    assert first["parent"]["AccountingDate"] == "2026-11-20T12:00:00Z"
    assert first["parent"]["PurchaseOrderNumber"] == first["PurchaseOrderNumber"]
    assert "PurchaseOrderLinesV2" not in first["parent"]


def test_lines_when_the_rest_of_them_is_on_another_page_are_refused(dynamics: DynamicsServer) -> None:
    dynamics.control.misbehave("cut_children")
    with pytest.raises(ProtocolError, match="page 1 holds an entity of which not all that is expanded came with it"):
        pull(dynamics.config(), "purchase_orders")


def test_production_orders_when_pulled_carry_the_unit_of_their_product(dynamics: DynamicsServer) -> None:
    records, _ = pull(dynamics.config(), "production_schedule")
    assert {record["ReleasedProductV2"]["InventoryUnitSymbol"] for record in records} == {"ea"}
    assert all(isinstance(record["ScheduledStartTime"], int) for record in records)


def test_cost_centers_when_pulled_as_a_whole_are_the_values_of_that_dimension(dynamics: DynamicsServer) -> None:
    records, count = pull(dynamics.config(), "cost_centers", Whole())
    assert {record["DimensionValue"] for record in records} == {center.value for center in COST_CENTERS}
    assert count == len(COST_CENTERS)


@pytest.mark.parametrize("dataset", ["cost_allocation", "purchase_orders", "production_schedule"])
def test_keys_when_fetched_alone_are_those_of_the_records(dynamics: DynamicsServer, dataset: str) -> None:
    config = dynamics.config()
    names = config.datasets[dataset].key
    whole, _ = pull(config, dataset)
    keys, _ = pull(config, dataset, keys=True)
    assert [[record[name] for name in names] for record in keys] == [[record[n] for n in names] for record in whole]
    assert len(keys[0]) < len(whole[0])


def test_keys_when_of_master_data_are_read_as_a_whole(dynamics: DynamicsServer) -> None:
    keys, _ = pull(dynamics.config(), "cost_centers", Whole(), keys=True)
    assert set(keys[0]) == {"@odata.etag", "FinancialDimension", "DimensionValue"}


def test_changes_when_the_entity_tells_of_them_are_read_by_their_stamp(dynamics: DynamicsServer) -> None:
    name = dynamics.book.general_journal
    late = {**entities(dynamics, name)[0], "ModifiedDateTime1": "2026-11-22T05:00:00Z", "Description": "late"}
    dynamics.book.enter(name, late, day=DAY)
    config = dynamics.config(datasets={"financial_transactions": {"changed": "ModifiedDateTime1"}})
    since, until = datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 22, 5, 30, tzinfo=UTC)
    records, _ = pull(config, "financial_transactions", Changed(since, until))
    assert [record["Description"] for record in records] == ["late"]
    assert records[0]["AccountingDate"] == "2026-11-20T12:00:00Z"


def test_changes_when_the_dataset_names_no_stamp_are_a_configuration_error(dynamics: DynamicsServer) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    with pytest.raises(ConfigError, match="d365: production_schedule: cannot be read by what changed"):
        pull(dynamics.config(), "production_schedule", Changed(now, now))


def test_master_data_when_asked_for_a_day_is_a_configuration_error(dynamics: DynamicsServer) -> None:
    with pytest.raises(ConfigError, match="cost_centers: is read as a whole"):
        pull(dynamics.config(), "cost_centers")


def test_days_when_business_dates_are_instants_begin_by_the_clock_of_the_zone(dynamics: DynamicsServer) -> None:
    declared = {"business_date": "ModifiedDateTime1", "options": {"business_date": "instant"}}
    config = dynamics.config(datasets={"financial_transactions": declared}, time_zone="Europe/Berlin")
    pull(config, "financial_transactions")
    assert (
        "ModifiedDateTime1 ge 2026-11-19T23:00:00Z and ModifiedDateTime1 lt 2026-11-20T23:00:00Z"
        in (dynamics.control.seen[0])
    )


def test_days_when_asked_for_by_noon_are_the_same(dynamics: DynamicsServer) -> None:
    config = dynamics.config(datasets={"production_schedule": {"options": {"business_date": "noon"}}})
    assert pull(config, "production_schedule") == pull(dynamics.config(), "production_schedule")
    assert "ScheduledStartDate eq 2026-11-20T12:00:00Z" in dynamics.control.seen[0]


def test_a_token_when_it_expires_in_the_middle_of_a_pull_is_renewed(dynamics: DynamicsServer) -> None:
    with DynamicsClient("d365", dynamics.config()) as client:
        pages = client.fetch("financial_transactions", Day(DAY))
        records = len(next(pages).records)
        dynamics.control.expire_tokens()
        records += sum(len(page.records) for page in pages)
        assert records == len(entities(dynamics, "GeneralJournalAccountEntries"))
        assert client.token_requests == 2


@pytest.mark.parametrize(
    ("kind", "retry_after"), [("throttle", "0"), ("unavailable", None), ("bad_gateway", None), ("drop", None)]
)
def test_a_passing_fault_when_it_strikes_between_pages_is_tried_again(
    dynamics: DynamicsServer, kind: str, retry_after: str | None
) -> None:
    dynamics.control.misbehave(kind, after=1, retry_after=retry_after)
    records, count = pull(dynamics.config(), "financial_transactions")
    assert len(records) == count == len(entities(dynamics, "GeneralJournalAccountEntries"))


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("throttle", ThrottledError, "Throttling priority mapping"),
        ("unauthorized", AuthError, "Microsoft Entra ID applications"),
        ("forbidden", AuthError, "give the user behind the application a role"),
        ("server_error", ProtocolError, "HTTP 500"),
        ("html_login", ProtocolError, "login page"),
        ("redirect", ProtocolError, "HTTP 302"),
        ("truncated", ProtocolError, "cut off"),
        ("not_utf8", ProtocolError, "not UTF-8"),
        ("foreign_link", ProtocolError, "refused to follow a link to https://other-host.invalid"),
        ("repeat_page", ProtocolError, "page"),
        ("ignore_filter", ProtocolError, "the service ignores \\$filter"),
    ],
)
def test_a_fault_when_it_stays_ends_the_pull_naming_dataset_day_and_remedy(
    dynamics: DynamicsServer, kind: str, error: type[SourceError], words: str
) -> None:
    dynamics.control.misbehave(kind, times=6, retry_after="0" if kind == "throttle" else None)
    with pytest.raises(error, match=words) as caught:
        pull(dynamics.config(), "financial_transactions")
    assert str(caught.value).startswith("d365: ")
    assert str(caught.value).endswith("(financial_transactions of 2026-11-20)")


def test_a_500_when_its_words_hide_in_innererror_is_told_with_them(dynamics: DynamicsServer) -> None:
    dynamics.control.misbehave("server_error")
    with pytest.raises(ProtocolError, match="The record is locked by another user"):
        pull(dynamics.config(), "production_schedule")


def test_an_empty_page_when_it_links_on_is_followed(dynamics: DynamicsServer) -> None:
    dynamics.control.misbehave("empty_page")
    records, _ = pull(dynamics.config(), "production_schedule")
    assert len(records) == len(entities(dynamics, "ProductionOrderHeaders"))


def test_a_count_when_larger_than_what_came_is_refused_for_lines_and_left_to_landing_for_entities(
    dynamics: DynamicsServer,
) -> None:
    dynamics.control.misbehave("miscount")
    with pytest.raises(ProtocolError, match="the server counted .* entities but sent"):
        pull(dynamics.config(), "purchase_orders")
    dynamics.control.misbehave("miscount", times=9)
    records, count = pull(dynamics.config(), "production_schedule")
    assert count == len(records) + 1


def test_a_business_date_when_it_is_no_date_is_left_to_the_rules_of_the_table(dynamics: DynamicsServer) -> None:
    dynamics.control.misbehave("odd_date")
    records, _ = pull(dynamics.config(), "financial_transactions")
    assert records[0]["AccountingDate"] == "20.11.2026"


def test_an_application_when_not_registered_inside_is_told_how_to_register(dynamics: DynamicsServer) -> None:
    dynamics.control.registered = False
    with pytest.raises(AuthError, match="register the client id inside Finance & Operations"):
        pull(dynamics.config(), "production_schedule")


def test_an_entity_set_when_misspelt_is_told_with_where_to_look(dynamics: DynamicsServer) -> None:
    config = dynamics.config(datasets={"production_schedule": {"resource": "productionorderheaders"}})
    with pytest.raises(ProtocolError, match="case sensitive .* `gl erp describe`"):
        pull(config, "production_schedule")


def test_a_property_when_this_version_lacks_it_is_told_with_where_to_look(dynamics: DynamicsServer) -> None:
    config = dynamics.config(datasets={"production_schedule": {"select": ["dataAreaId", "OvenType"]}})
    with pytest.raises(ProtocolError, match="OvenType.*this version lacks the property"):
        pull(config, "production_schedule")


def test_a_line_when_its_journal_is_not_expanded_is_refused(dynamics: DynamicsServer) -> None:
    declared = {"expand": [], "options": {"journal_names": ["ENALLOC"], "expand_select": {}}}
    with pytest.raises(ProtocolError, match="page 1 holds a line without LedgerJournalHeader.JournalName"):
        pull(dynamics.config(datasets={"cost_allocation": declared}), "cost_allocation")


@pytest.mark.parametrize("kind", ["token_unavailable", "token_throttle"])
def test_the_token_endpoint_when_it_stays_busy_ends_the_pull(dynamics: DynamicsServer, kind: str) -> None:
    dynamics.control.misbehave(kind, times=6, retry_after="0")
    with pytest.raises((UnreachableError, ThrottledError), match="oauth2/v2.0/token"):
        pull(dynamics.config(), "production_schedule")


def test_a_refused_secret_when_used_again_is_sent_once_only(
    dynamics: DynamicsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "wrong")
    before = dynamics.control.token_requests
    with DynamicsClient("d365", dynamics.config()) as client:
        for _ in range(2):
            with pytest.raises(AuthError, match="AADSTS7000215"):
                list(client.fetch("production_schedule", Day(DAY)))
    assert dynamics.control.token_requests == before + 1


def test_the_first_generation_of_the_endpoint_when_configured_is_asked_by_resource(dynamics: DynamicsServer) -> None:
    auth = dynamics.secret_auth(
        token_url=f"{dynamics.base}/{dynamics.app.tenant}/oauth2/token", scope=None, extra={"resource": dynamics.base}
    )
    assert pull(dynamics.config(auth=auth), "production_schedule")[0]


def test_a_resource_when_it_ends_in_a_slash_is_told_as_a_likely_cause(dynamics: DynamicsServer) -> None:
    auth = dynamics.secret_auth(scope=f"{dynamics.base}//.default")
    with pytest.raises(AuthError, match="without a slash at its end"):
        pull(dynamics.config(auth=auth), "production_schedule")


@pytest.fixture(scope="module")
def assertion(authority: CertificateAuthority) -> Iterator[tuple[DynamicsServer, dict[str, Any]]]:
    """An environment whose application signs in by a certificate, and how."""
    from resources.demo_plant.erp.dynamics.entra import EntraApp

    issued = authority.issue("dynamics_client", application_uri="urn:gl:dynamics")  # RSA
    with dynamics_server(authority, entra=EntraApp(certificate=issued.certificate.read_bytes())) as server:
        auth = {
            "type": "jwt_bearer",
            "used_as": "client_assertion",
            "token_url": f"{server.base}/{server.app.tenant}/oauth2/v2.0/token",
            "client_id": server.app.client_id,
            "scope": f"{server.base}/.default",
            "private_key": "${DYNAMICS_PRIVATE_KEY}",
            "certificate": str(issued.certificate),
        }
        yield server, {**auth, "_key": str(issued.key)}


def test_a_certificate_when_it_signs_the_assertion_signs_the_client_in(
    assertion: tuple[DynamicsServer, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, auth = assertion
    monkeypatch.setenv("DYNAMICS_PRIVATE_KEY", auth["_key"])
    config = server.config(auth={name: value for name, value in auth.items() if name != "_key"})
    assert pull(config, "production_schedule", Day(server.book.today()))[0]


def test_an_assertion_when_its_certificate_is_not_named_is_refused(
    assertion: tuple[DynamicsServer, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, auth = assertion
    monkeypatch.setenv("DYNAMICS_PRIVATE_KEY", auth["_key"])
    config = server.config(auth={name: value for name, value in auth.items() if name not in ("_key", "certificate")})
    with pytest.raises(AuthError, match="AADSTS700027"):
        pull(config, "production_schedule", Day(server.book.today()))


def test_the_client_when_built_by_its_connector_can_do_all_that_a_client_can(dynamics: DynamicsServer) -> None:
    client = connector("dynamics").client_factory("d365", dynamics.config())
    assert client.system == "d365"
    for capability in (CanDescribe, CanLook, CanListKeys, KnowsServerTime):
        assert isinstance(client, capability)
    client.close()


def test_the_servers_time_when_it_has_answered_is_known_by_its_clock(dynamics: DynamicsServer) -> None:
    with DynamicsClient("d365", dynamics.config()) as client:
        assert client.server_time() is None
        list(client.fetch("cost_centers", Whole()))
        found = client.server_time()
        assert found is not None
        assert found.replace(minute=0, second=0, microsecond=0) == datetime(2026, 11, 22, 6, tzinfo=UTC)
