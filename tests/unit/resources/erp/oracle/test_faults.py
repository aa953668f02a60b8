"""The Oracle client against the fake misbehaving: right, or an error that says what, where and what to do."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from resources.core.errors import AuthError, ProtocolError, SourceError, ThrottledError, UnreachableError
from resources.erp.connector import Changed, Day, Whole
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.oracle.support import DAY, NOW, OracleServer, oracle_server

READINGS = 5 * 24


@pytest.mark.parametrize("kind", ["throttle", "unavailable", "bad_gateway", "gateway_timeout", "drop"])
def test_a_passing_fault_when_it_ends_in_time_costs_nothing(oracle: OracleServer, kind: str) -> None:
    oracle.control.misbehave(kind, times=2, after=1)
    assert len(oracle.pull("energy_consumption", Day(DAY)).records) == READINGS
    assert oracle.control.requests == 5


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("throttle", ThrottledError, "HTTP 429, the server says: "),
        ("unavailable", ThrottledError, "HTTP 503"),
        ("bad_gateway", UnreachableError, "HTTP 502"),
        ("gateway_timeout", UnreachableError, "HTTP 504"),
        ("server_error", ProtocolError, "HTTP 500"),
        ("forbidden", AuthError, "HTTP 403"),
        ("unauthorized", AuthError, "a new token is refused too"),
        ("html_login", ProtocolError, "it looks like a login page"),
        ("redirect", ProtocolError, "sends us to another address"),
        ("truncated", ProtocolError, "may be cut off"),
        ("not_utf8", ProtocolError, "is not UTF-8"),
        ("not_json", ProtocolError, "no list of records under `items`"),
        ("drop", UnreachableError, "the connection broke"),
        ("repeat_page", ProtocolError, "holds records of the page before it again"),
        ("empty_page", ProtocolError, "is empty, but says that there are more"),
        ("other_day", ProtocolError, "holds records of 2026-11-21T00:00:00+00:00: the pod ignores q"),
        ("ignore_filter", ProtocolError, "the pod ignores q"),
        ("token_unavailable", ThrottledError, "/oauth2/v1/token: HTTP 503"),
        ("token_html", ProtocolError, "check auth.token_url"),
    ],
)
def test_a_lasting_fault_when_met_is_told_as_what_it_is(
    oracle: OracleServer, kind: str, error: type[SourceError], words: str
) -> None:
    after = 1 if kind in ("repeat_page", "empty_page") else 0
    oracle.control.misbehave(kind, times=10, after=after)
    with pytest.raises(error) as met:
        oracle.pull("energy_consumption", Day(DAY))
    said = str(met.value)
    assert words in said
    assert said.startswith("oracle: ")
    assert "energy_consumption of 2026-11-20" in said
    assert f"page {5 if kind == 'empty_page' else 1 + after}" in said
    assert "ReadingDate >=" not in said
    assert met.value.source == "oracle"


def test_an_error_when_it_has_details_says_them(oracle: OracleServer) -> None:
    where = [{"property": "NoSuch", "value": 1}]
    with pytest.raises(ProtocolError, match=r"Bad Request.*NoSuch is no queryable attribute"):
        oracle.pull("energy_consumption", Day(DAY), datasets={"energy_consumption": {"where": where}})


def test_an_error_when_it_is_plain_text_says_it(oracle: OracleServer) -> None:
    where = [{"property": "NoSuch", "value": 1}]
    with pytest.raises(ProtocolError, match="the server says: URL request parameter q cannot be used: NoSuch"):
        oracle.pull(
            "energy_consumption", Day(DAY), framework_version=1, datasets={"energy_consumption": {"where": where}}
        )


def test_a_page_when_too_heavy_for_the_gateway_is_read_in_smaller_ones(oracle: OracleServer) -> None:
    oracle.control.heavy_above = 10
    assert len(oracle.pull("financial_transactions", Day(DAY)).records) == 52
    limits = [address.rpartition("limit=")[2] for address in oracle.control.seen if "orderBy=JeBatchId" in address]
    assert limits == ["50"] * 3 + ["12"] * 3 + ["3"] * 2


def test_a_page_when_too_heavy_however_small_tells_the_remedy(oracle: OracleServer) -> None:
    oracle.control.heavy_above = 0
    with pytest.raises(UnreachableError) as met:
        oracle.pull("financial_transactions", Day(DAY))
    assert "HTTP 504" in str(met.value)
    assert "lower datasets.financial_transactions.options.page_size, 50 now" in str(met.value)


def test_a_pod_when_it_does_not_answer_at_all_is_not_asked_for_smaller_pages(oracle: OracleServer) -> None:
    oracle.control.misbehave("gateway_timeout", times=99)
    with pytest.raises(UnreachableError, match="financial_transactions of 2026-11-20; children make a page heavy"):
        oracle.pull("financial_transactions", Day(DAY))
    assert oracle.control.requests == 6


def test_a_link_of_children_when_it_leads_to_another_host_is_refused(oracle: OracleServer) -> None:
    oracle.control.misbehave("foreign_link", times=10)
    with pytest.raises(ProtocolError, match=r"refused to follow a link to https://other-host.invalid/.*journalLines"):
        oracle.pull("financial_transactions", Day(DAY))


def test_journals_of_another_day_when_sent_are_refused(oracle: OracleServer) -> None:
    oracle.control.misbehave("ignore_filter", times=10)
    with pytest.raises(
        ProtocolError, match="page 1 of .*journalBatches holds nothing of 2026-11-20: the pod ignores q"
    ):
        oracle.pull("financial_transactions", Day(DAY))


def test_changes_outside_the_window_when_sent_are_refused(oracle: OracleServer) -> None:
    oracle.control.misbehave("ignore_filter", times=10)
    with pytest.raises(ProtocolError, match="the pod ignores q"):
        oracle.pull("assets", Changed(NOW - timedelta(hours=1), NOW))


def test_fewer_batches_than_counted_when_read_are_an_error(oracle: OracleServer) -> None:
    oracle.control.misbehave("miscount")
    with pytest.raises(ProtocolError, match="was the last, with 4 of the 5 records that were counted"):
        oracle.pull("financial_transactions", Day(DAY))


def test_a_count_when_too_high_is_passed_on(oracle: OracleServer) -> None:
    """Landing compares it with what came."""
    oracle.control.misbehave("miscount")
    assert oracle.pull("energy_consumption", Day(DAY)).counts[-1] == READINGS + 1


def test_a_record_without_key_when_sent_is_passed_on(oracle: OracleServer) -> None:
    oracle.control.misbehave("no_key")
    pulled = oracle.pull("energy_consumption", Day(DAY))
    assert len(pulled.records) == READINGS
    assert "MeterReadingId" not in pulled.records[0]


def test_a_date_in_another_form_when_sent_is_passed_on_for_rejection(oracle: OracleServer) -> None:
    oracle.control.misbehave("other_date_format", times=10)
    pulled = oracle.pull("energy_consumption", Day(DAY))
    assert pulled.records[0]["ReadingDate"] == "20-NOV-2026"


def test_an_unknown_currency_when_sent_is_passed_on_for_rejection(oracle: OracleServer) -> None:
    oracle.control.misbehave("unknown_currency", times=10)
    assert {r["parent"]["CurrencyCode"] for r in oracle.pull("financial_transactions", Day(DAY)).records} == {"XXZ"}


def test_a_field_of_ten_megabytes_when_sent_is_passed_on(oracle: OracleServer) -> None:
    oracle.control.misbehave("huge_field", times=1)
    pulled = oracle.pull("maintenance_schedule", Day(DAY))
    assert len(pulled.records[0]["WorkOrderDescription"]) == 10_000_000


def test_a_large_answer_when_above_the_limit_is_refused(oracle: OracleServer) -> None:
    with pytest.raises(ProtocolError, match=r"http.max_response_bytes"):
        oracle.pull("energy_consumption", Day(DAY), http={"max_response_bytes": 2048})


def test_a_pause_when_longer_than_configured_is_not_waited_for(oracle: OracleServer) -> None:
    oracle.control.misbehave("throttle", times=5, retry_after="3600")
    with pytest.raises(ThrottledError, match="a pause of 3600 s"):
        oracle.pull("energy_consumption", Day(DAY))
    assert oracle.control.requests == 1


def test_no_server_when_asked_is_unreachable(authority: CertificateAuthority, oracle: OracleServer) -> None:
    with oracle_server(authority) as gone:
        client = gone.client()
    with client, pytest.raises(UnreachableError, match="cannot connect"):
        list(client.fetch("assets", Whole()))


def test_links_when_onlydata_is_ignored_are_taken_out(oracle: OracleServer) -> None:
    """They carry a change indicator, by which every record would look changed."""
    record = {"AssetId": 300200000000000, "AssetNumber": "FRN-2", "Note": 'see "links"'}
    from resources.erp.oracle.codec import without_links

    sent = json.dumps({**record, "links": [{"rel": "self", "href": "x"}]}).encode()
    assert json.loads(without_links(sent)) == record
    plain = json.dumps(record).encode()
    assert without_links(plain) == plain
