"""The Oracle client over real TLS sockets against the fake, which behaves."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from resources.core.errors import AuthError, ConfigError, ProtocolError
from resources.core.process.home import gl_home
from resources.erp.connector import Changed, Day, Whole
from resources.transport.http.call_stats import read_stats
from tests.unit.resources.erp.oracle.support import (
    DAY,
    NOW,
    PASSWORD_VARIABLE,
    SATURDAY,
    SECRET_VARIABLE,
    OracleServer,
    Pulled,
)

READINGS = 5 * 24


def keys(pulled: Pulled, name: str) -> list[Any]:
    return [record[name] for record in pulled.records]


def test_a_day_when_pulled_brings_every_reading_once_in_the_order_of_its_key(oracle: OracleServer) -> None:
    pulled = oracle.pull("energy_consumption", Day(DAY))
    found = keys(pulled, "MeterReadingId")
    assert len(found) == len(set(found)) == READINGS
    assert found == sorted(found)
    assert pulled.counts == [READINGS] * 3
    assert {text[:10] for text in keys(pulled, "ReadingDate")} == {"2026-11-20"}


def test_pages_when_read_are_sought_by_key_and_counted_once(oracle: OracleServer) -> None:
    last = keys(oracle.pull("energy_consumption", Day(DAY)), "MeterReadingId")[49]
    day = "ReadingDate >= '2026-11-20T00:00:00Z' and ReadingDate < '2026-11-21T00:00:00Z'"
    root = "/fscmRestApi/resources/11.13.18.05/meterReadings?onlyData=true"
    seen = list(oracle.control.seen)
    assert seen[0] == f"{root}&q={day}&orderBy=MeterReadingId:asc&totalResults=true&limit=50"
    assert seen[1] == f"{root}&q={day} and MeterReadingId > {last}&orderBy=MeterReadingId:asc&limit=50"
    assert len(seen) == 3


def test_a_day_when_the_framework_is_1_is_asked_for_by_example(oracle: OracleServer) -> None:
    pulled = oracle.pull("energy_consumption", Day(DAY), framework_version=1, datasets=["energy_consumption"])
    assert len(pulled.records) == READINGS
    assert (
        "q=ReadingDate>='2026-11-20T00:00:00Z';ReadingDate<'2026-11-21T00:00:00Z';MeterReadingId>"
        in (oracle.control.seen[1])
    )


def test_a_day_when_the_system_lies_in_another_zone_is_that_zones_day(oracle: OracleServer) -> None:
    pulled = oracle.pull("energy_consumption", Day(date(2026, 10, 25)), time_zone="Europe/Berlin")
    times = sorted(set(keys(pulled, "ReadingDate")))
    assert (times[0], times[-1]) == ("2026-10-24T22:00:00+00:00", "2026-10-25T22:00:00+00:00")
    assert len(pulled.records) == 5 * 25  # the hour that summer time gives back


def test_numbers_when_pulled_keep_their_digits(oracle: OracleServer) -> None:
    pulled = oracle.pull("energy_consumption", Day(DAY))
    assert json.loads(pulled.texts[0], parse_float=Decimal)["ReadingNetChange"] == Decimal("507.457")


def test_work_orders_when_pulled_are_those_planned_that_day(oracle: OracleServer) -> None:
    pulled = oracle.pull("maintenance_schedule", Day(DAY))
    assert pulled.counts == [len(pulled.records)] == [3]
    assert "links" not in pulled.records[0]


def test_assets_when_pulled_are_all(oracle: OracleServer) -> None:
    pulled = oracle.pull("assets", Whole(), http={"page_size": 10})
    assert len(set(keys(pulled, "AssetId"))) == 24
    assert pulled.counts == [24] * 3


def test_a_full_last_page_when_hasmore_says_no_is_followed_by_another(oracle: OracleServer) -> None:
    oracle.control.misbehave("no_more", times=9)
    assert len(oracle.pull("assets", Whole(), http={"page_size": 12}).records) == 24


def test_a_cap_when_below_the_limit_is_noticed(oracle: OracleServer) -> None:
    oracle.control.cap = 7
    oracle.control.misbehave("no_more", times=9)
    assert len(oracle.pull("assets", Whole()).records) == 24


def test_the_limit_when_the_page_size_is_large_stays_below_the_cap(oracle: OracleServer) -> None:
    oracle.pull("assets", Whole(), http={"page_size": 5_000})
    assert oracle.control.seen[0].endswith("limit=499")


def test_the_count_when_it_is_only_the_pages_own_is_not_passed_on(oracle: OracleServer) -> None:
    oracle.control.honest_total = False
    pulled = oracle.pull("energy_consumption", Day(DAY))
    assert pulled.counts == [None] * 3
    assert len(pulled.records) == READINGS


def test_a_record_when_it_goes_between_two_pages_costs_no_other(oracle: OracleServer) -> None:
    """What offset paging gets wrong: the record that would follow the page moves up and is never read."""
    with oracle.client() as client:
        pages = client.fetch("energy_consumption", Day(date(2026, 10, 4)))
        first = [json.loads(record)["MeterReadingId"] for record in next(pages).records]
        oracle.book.vanish("meterReadings", first[3])
        rest = [json.loads(record)["MeterReadingId"] for page in pages for record in page.records]
    assert len(set(first + rest)) == READINGS


def test_a_record_when_it_goes_while_paging_by_offset_is_noticed(oracle: OracleServer) -> None:
    datasets = {"energy_consumption": {"options": {"paging": "offset"}}}
    with oracle.client(datasets=datasets) as client:
        pages = client.fetch("energy_consumption", Day(date(2026, 10, 5)))
        first = next(pages).records
        oracle.book.vanish("meterReadings", json.loads(first[3])["MeterReadingId"])
        with pytest.raises(ProtocolError, match=r"energy_consumption of 2026-10-05: page 2 of .* the set changed"):
            next(pages)


def test_pages_when_read_by_offset_overlap_by_one_and_bring_all(oracle: OracleServer) -> None:
    datasets = {"energy_consumption": {"options": {"paging": "offset"}}}
    pulled = oracle.pull("energy_consumption", Day(DAY), datasets=datasets)
    assert len(set(keys(pulled, "MeterReadingId"))) == len(pulled.records) == READINGS
    assert oracle.control.seen[1].endswith("limit=50&offset=49")


def test_journals_when_pulled_are_lines_with_what_is_around_them(oracle: OracleServer) -> None:
    pulled = oracle.pull("financial_transactions", Day(DAY))
    line = pulled.records[-1]
    assert Counter(record["parent"]["DefaultEffectiveDate"] for record in pulled.records) == {"2026-11-20": 52}
    assert {record["parent"]["parent"]["Status"] for record in pulled.records} == {"P"}
    assert "links" not in line["parent"]
    assert "links" not in line["parent"]["parent"]
    assert set(line["parent"]["parent"]) == {
        "JeBatchId", "BatchName", "Status", "UserJeSourceName", "PostedDate", "LastUpdateDate",
    }  # fmt: skip
    named = {
        (r["parent"]["parent"]["JeBatchId"], r["parent"]["JournalName"], r["JeLineNumber"]) for r in pulled.records
    }
    assert len(named) == 52


def test_journals_when_a_batch_holds_two_days_are_those_of_the_day(oracle: OracleServer) -> None:
    """The manual batch of a day reverses itself on the next one."""
    pulled = oracle.pull("financial_transactions", Day(SATURDAY))
    assert {record["parent"]["parent"]["BatchName"] for record in pulled.records} == {"Manual 2026-11-20"}
    assert len(pulled.records) == 4


def test_journals_when_read_by_period_are_the_same_lines_of_the_day(oracle: OracleServer) -> None:
    """For a pod whose q does not compare attributes of children."""
    datasets = {"financial_transactions": {"options": {"period": {"attribute": "DefaultPeriodName"}}}}
    pulled = oracle.pull("financial_transactions", Day(DAY), datasets=datasets)
    assert "Status = 'P' and DefaultPeriodName = 'Nov-26'&" in oracle.control.seen[0]
    assert pulled.texts == oracle.pull("financial_transactions", Day(DAY)).texts


def test_a_finder_when_its_value_is_a_period_gets_the_days(oracle: OracleServer) -> None:
    options = {"finder": "JournalsFinder", "finder_values": {"AccountingPeriod": "{day:%b-%y}"}}
    oracle.pull("financial_transactions", Day(DAY), datasets={"financial_transactions": {"options": options}})
    assert "finder=JournalsFinder;AccountingPeriod=Nov-26&" in oracle.control.seen[0]


def test_children_when_they_do_not_fit_are_read_by_their_own_link(oracle: OracleServer) -> None:
    pulled = oracle.pull("financial_transactions", Day(DAY), http={"page_size": 15})
    below = [address for address in oracle.control.seen if "/child/journalLines" in address]
    assert len(below) == 3  # 40 lines, 15 a page, each page begins with the last line of the one before
    assert all("fields=JeLineNumber,AccountCombination" in address for address in below)
    assert len(pulled.records) == 52


def test_children_when_they_fit_are_not_asked_for_again(oracle: OracleServer) -> None:
    oracle.control.nested_limit = 500
    assert len(oracle.pull("financial_transactions", Day(DAY)).records) == 52
    assert oracle.control.requests == 1


def test_children_when_expanded_in_place_of_selected_are_the_same_lines(oracle: OracleServer) -> None:
    datasets = {"financial_transactions": {"select": None}}
    pulled = oracle.pull("financial_transactions", Day(DAY), datasets=datasets)
    assert "expand=journalHeaders.journalLines" in oracle.control.seen[0]
    assert len(pulled.records) == 52
    assert "LegalEntityName" in pulled.records[0]["parent"]


def test_headers_when_they_do_not_fit_are_read_with_their_lines(oracle: OracleServer) -> None:
    oracle.control.nested_limit = 1
    pulled = oracle.pull("financial_transactions", Day(SATURDAY), datasets={"financial_transactions": {"select": None}})
    assert len(pulled.records) == 4
    assert any(
        address.endswith("limit=50&offset=0") and "expand=journalLines" in address for address in oracle.control.seen
    )


def test_changes_when_read_are_those_of_the_window(oracle: OracleServer) -> None:
    since, until = NOW - timedelta(hours=5), NOW - timedelta(minutes=1)
    pulled = oracle.pull("energy_consumption", Changed(since, until))
    assert len(pulled.records) == 5 * 5
    assert (
        "q=LastUpdateDate >= '2026-11-22T05:30:00Z' and LastUpdateDate < '2026-11-22T10:29:00Z'"
        in (oracle.control.seen[0])
    )


def test_a_correction_when_made_is_among_the_changes(oracle: OracleServer) -> None:
    number = keys(oracle.pull("energy_consumption", Day(date(2026, 10, 3))), "MeterReadingId")[0]
    oracle.book.change("meterReadings", number, {"DisabledFlag": True})
    changed = oracle.pull("energy_consumption", Changed(NOW, NOW + timedelta(minutes=1)))
    assert [(r["MeterReadingId"], r["DisabledFlag"]) for r in changed.records] == [(number, True)]


def test_changed_batches_when_read_bring_all_their_lines(oracle: OracleServer) -> None:
    pulled = oracle.pull("financial_transactions", Changed(NOW - timedelta(days=2), NOW))
    assert {record["parent"]["DefaultEffectiveDate"] for record in pulled.records} == {"2026-11-20", "2026-11-21"}
    assert len(pulled.records) == 52


@pytest.mark.parametrize(
    ("dataset", "part", "members"),
    [
        ("energy_consumption", Day(DAY), {"MeterReadingId", "ReadingDate", "LastUpdateDate"}),
        ("assets", Whole(), {"AssetId", "LastUpdateDate"}),
        ("financial_transactions", Day(DAY), {"JeLineNumber", "parent"}),
    ],
    ids=["facts", "master", "children"],
)
def test_keys_when_read_alone_are_those_of_the_records(
    oracle: OracleServer, dataset: str, part: Any, members: set[str]
) -> None:
    with oracle.client() as client:
        alone = [json.loads(record) for page in client.fetch_keys(dataset, part) for record in page.records]
    assert set(alone[0]) == members
    assert len(alone) == len(oracle.pull(dataset, part).records)


def test_a_finder_when_declared_goes_along_with_its_values(oracle: OracleServer) -> None:
    finder = {"finder": "MetersByAssetMeterUserKey"}
    finder |= {"finder_values": {"MntAssetNumber": "HEX-1", "MntMeterCode": "HEX1-STEAM"}}
    pulled = oracle.pull("energy_consumption", Day(DAY), datasets={"energy_consumption": {"options": finder}})
    assert set(keys(pulled, "MeterCode")) == {"HEX1-STEAM"}
    assert len(pulled.records) == 24
    assert "finder=MetersByAssetMeterUserKey;MntAssetNumber=HEX-1,MntMeterCode=HEX1-STEAM" in oracle.control.seen[0]


def test_searches_when_several_are_declared_are_made_one_after_the_other(oracle: OracleServer) -> None:
    each = [{"MntAssetNumber": "HEX-1", "MntMeterCode": code} for code in ("HEX1-STEAM", "HEX1-POWER", "HEX1-NONE")]
    options = {"finder": "MetersByAssetMeterUserKey", "finder_each": each}
    datasets = {"energy_consumption": {"options": options}}
    pulled = oracle.pull("energy_consumption", Day(DAY), datasets=datasets)
    assert Counter(keys(pulled, "MeterCode")) == {"HEX1-STEAM": 24, "HEX1-POWER": 24}
    assert pulled.counts == [None] * 3
    assert oracle.control.requests == 3


def test_conditions_when_declared_are_quoted(oracle: OracleServer) -> None:
    where = [{"property": "MeterCode", "value": "it's"}, {"property": "ReadingValue", "operator": "gt", "value": 1.5}]
    datasets = {"energy_consumption": {"where": where, "options": {"may_be_empty": True}}}
    assert oracle.pull("energy_consumption", Day(DAY), datasets=datasets).records == []
    assert 'q=MeterCode = "it\'s" and ReadingValue > 1.5 and ReadingDate >=' in oracle.control.seen[0]


def test_selected_attributes_when_declared_are_the_only_ones(oracle: OracleServer) -> None:
    datasets = {"energy_consumption": {"select": ["MeterCode", "ReadingNetChange"]}}
    pulled = oracle.pull("energy_consumption", Day(DAY), datasets=datasets)
    assert set(pulled.records[0]) == {
        "MeterCode", "ReadingNetChange", "MeterReadingId", "ReadingDate", "LastUpdateDate",
    }  # fmt: skip


def test_children_when_expanded_without_exploding_stay_in_the_record(oracle: OracleServer) -> None:
    pulled = oracle.pull(
        "maintenance_schedule", Day(DAY), datasets={"maintenance_schedule": {"expand": ["WorkOrderOperation"]}}
    )
    assert len(pulled.records[0]["WorkOrderOperation"]["items"]) == 3


def test_basic_when_configured_logs_on(oracle: OracleServer) -> None:
    auth = {"type": "basic", "username": oracle.login.username, "password": f"${{{PASSWORD_VARIABLE}}}"}
    assert len(oracle.pull("assets", Whole(), auth=auth).records) == 24
    assert oracle.control.token_requests == 0


def test_a_token_when_it_expires_in_the_middle_of_a_pull_is_renewed(oracle: OracleServer) -> None:
    with oracle.client() as client:
        pages = client.fetch("energy_consumption", Day(DAY))
        records = next(pages).records
        oracle.control.expire_tokens()
        for page in pages:
            records += page.records
        assert len(records) == READINGS
        assert client.token_requests == 2


def test_a_scope_when_it_is_not_the_applications_is_an_auth_error(oracle: OracleServer) -> None:
    auth = {**oracle.settings()["auth"], "scope": oracle.login.scope.replace("urn:opc:resource:consumer", " urn:opc")}
    with pytest.raises(AuthError, match="invalid_scope"):
        oracle.pull("assets", Whole(), auth=auth)


def test_a_wrong_secret_when_used_again_is_sent_once_only(
    oracle: OracleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "not-the-secret")
    with oracle.client() as client:
        for _ in range(3):
            with pytest.raises(AuthError, match="invalid_client"):
                list(client.fetch("assets", Whole()))
        assert oracle.control.token_requests == 1


def test_a_secret_when_its_variable_is_unset_is_a_config_error(
    oracle: OracleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SECRET_VARIABLE)
    with pytest.raises(ConfigError, match=SECRET_VARIABLE):
        oracle.pull("assets", Whole())


def test_response_times_when_a_client_closes_are_in_the_file(oracle: OracleServer) -> None:
    oracle.pull("energy_consumption", Day(DAY))
    assert read_stats(gl_home())["oracle"]["calls"] == 3


def test_the_servers_time_when_it_has_answered_is_known(oracle: OracleServer) -> None:
    with oracle.client() as client:
        assert client.server_time() is None
        oracle.control.clock_skew_s = 90
        list(client.fetch("assets", Whole()))
        assert client.server_time() == NOW + timedelta(seconds=90)


def test_a_part_when_the_declaration_has_no_attribute_for_it_is_a_config_error(oracle: OracleServer) -> None:
    with pytest.raises(ConfigError, match="assets of 2026-11-20: it is read as a whole"):
        oracle.pull("assets", Day(DAY))
    with pytest.raises(ConfigError, match="it cannot be read by what changed"):
        oracle.pull("assets", Changed(NOW - timedelta(hours=1), NOW), datasets={"assets": {"changed": None}})
    assert oracle.control.requests == 0
