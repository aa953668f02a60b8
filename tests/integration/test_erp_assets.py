"""From the SAP-like service through Dagster into TimescaleDB."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from resources.databases.timescale.quality.gate_results import Release, release
from resources.demo_plant.erp.sap.login import SapLogin
from resources.erp.auditing.audit import recent_days
from resources.transport.trust.certificates import CertificateAuthority
from tests.integration.erp_platform import Platform
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

DAY = date(2026, 11, 18)
A_DAYS_DOCUMENTS = 8 * 24
LANDED = dg.AssetKey(["erp", "sap", "energy_consumption"])
STANDARD = dg.AssetKey(["erp", "energy_consumption"])


@pytest.fixture
def sap(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[SapServer]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    with sap_server(authority) as server:
        yield server


@pytest.fixture
def platform(sap: SapServer, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    return Platform(sap.integrations(http={"attempts": 1}, datasets=["energy_consumption"]), database_url, tmp_path)


def test_a_range_of_days_when_backfilled_is_one_run_and_one_materialization_a_day(platform: Platform) -> None:
    result = platform.pull(DAY, DAY + timedelta(days=2))
    assert result.success
    assert platform.one("SELECT count(*) FROM erp.landed_records") == 3 * A_DAYS_DOCUMENTS
    assert platform.rows("SELECT transaction_date, count(*) FROM erp.energy_consumption GROUP BY 1 ORDER BY 1") == [
        (DAY + timedelta(days=n), A_DAYS_DOCUMENTS) for n in range(3)
    ]
    for key in (LANDED, STANDARD):
        found = [e for e in result.get_asset_materialization_events() if e.asset_key == key]
        assert sorted(e.partition for e in found) == [(DAY + timedelta(days=n)).isoformat() for n in range(3)]
    metadata = result.asset_materializations_for_node("erp__sap__energy_consumption")[0].metadata
    assert metadata["rows"].value == metadata["server_count"].value == A_DAYS_DOCUMENTS
    last = result.asset_materializations_for_node("erp__energy_consumption")[-1]
    for chart in ("consumption", "quality"):
        assert "data:image/png;base64" in str(last.metadata[chart].value)
    steps = {name: entry.value for name, entry in last.metadata.items() if name.startswith("share_")}
    assert steps.keys() == {"share_read", "share_map", "share_validate", "share_score", "share_store"}
    assert sum(float(str(share)) for share in steps.values()) == pytest.approx(1, abs=0.001)
    assert (last.metadata["quality_score"].value, last.metadata["quality_level"].value) == (100.0, "EXCELLENT")
    assert platform.rows(
        "SELECT partition, source, rows, validity, completeness, consistency, uniqueness, score"
        " FROM quality.partition_scores WHERE asset = 'erp/energy_consumption' ORDER BY 1, 2"
    ) == [
        ((DAY + timedelta(days=n)).isoformat(), source, A_DAYS_DOCUMENTS, 100, 100, 100, 100, 100)
        for n in range(3)
        for source in ("", "sap")
    ]
    red = {c.check_name for c in result.get_asset_check_evaluations() if not c.passed}
    assert red <= {"yesterday_is_landed"}
    judged = dict(platform.rows('SELECT "check", count(*) FROM quality.gate_results WHERE passed GROUP BY 1'))
    assert judged["landed_rows_equal_the_servers_count"] == judged["each_meter_keeps_its_unit"] == 3
    assert platform.one("SELECT count(*) FROM quality.gate_results WHERE NOT passed") == 0


def test_standard_rows_when_stored_hold_what_the_meters_used(platform: Platform, sap: SapServer) -> None:
    platform.pull(DAY)
    steam = [d for d in sap.book.day(DAY) if d["MeasuringPoint"] == "B1-STEAM"]
    document = next(d for d in steam if d["MsmtRdngTime"] == "10:00:00")
    row = platform.rows(
        "SELECT system, company, plant_code, energy_type, consumption_value::float8, consumption_unit, meter_id,"
        " location_code, cost_center, period_start::text, period_end::text, quality_score, extra->>'text'"
        " FROM erp.energy_consumption WHERE source_key = %s",
        document["MeasurementDocument"],
    )[0]
    used = round(document["MsmtCounterReadingDifference"] / 1000, 9)
    assert row == (
        "sap", "1000", "P100", "steam", used, "t", "B1-STEAM", "P100-boiler_1", "4711",
        "2026-11-18 09:00:00+00", "2026-11-18 10:00:00+00", 100.0, "boiler_1 steam",
    )  # fmt: skip


def test_a_day_when_pulled_again_unchanged_keeps_its_rows(platform: Platform) -> None:
    platform.pull(DAY)
    landed = "SELECT source_key, hash, ingested_at, changed_at, run_id FROM erp.landed_records ORDER BY 1"
    before = platform.rows(landed)
    standard = platform.rows("SELECT * FROM erp.energy_consumption ORDER BY source_key")
    assert platform.pull(DAY).success
    assert before == platform.rows(landed)
    assert standard == platform.rows("SELECT * FROM erp.energy_consumption ORDER BY source_key")


def test_a_late_change_when_it_moves_a_document_moves_its_row(platform: Platform, sap: SapServer) -> None:
    after = DAY + timedelta(days=1)
    platform.pull(DAY, after)
    number = sap.book.day(DAY)[5]["MeasurementDocument"]
    sap.book.change(number, {"MsmtRdngDate": after.isoformat(), "MsmtRdngTime": "00:30:00"}, day=DAY)
    # only the new day is asked for: the row moves at once
    assert platform.pull(after).success
    held = "SELECT transaction_date FROM erp.energy_consumption WHERE source_key = %s"
    assert platform.rows(held, number) == [(after,)]
    # a run of the day it left does not bring it back, and takes nothing away
    assert platform.pull(DAY).success
    assert platform.rows(held, number) == [(after,)]
    assert platform.one("SELECT count(*) FROM erp.energy_consumption") == 2 * A_DAYS_DOCUMENTS
    assert platform.rows(
        "SELECT partition_date, deleted_at IS NULL FROM erp.landed_records WHERE source_key = %s ORDER BY 1", number
    ) == [(DAY, False), (after, True)]


def test_corrected_late_vanished_and_reversed_documents_when_pulled_again_are_what_the_table_says(
    platform: Platform, sap: SapServer
) -> None:
    platform.pull(DAY)
    corrected, vanished, turned, *_ = (d["MeasurementDocument"] for d in sap.book.day(DAY))
    sap.book.change(corrected, {"MeasurementReadingInEntryUoM": 123.456}, day=DAY)
    sap.book.vanish(vanished)
    sap.book.change(turned, {"MsmtRdngIsReversed": True}, day=DAY)
    sap.book.enter({**sap.book.day(DAY)[-1], "MeasurementDocument": "99999999999999999999", "MsmtRdngTime": "23:30:00"})
    assert platform.pull(DAY).success
    value = "SELECT consumption_value::float8 FROM erp.energy_consumption WHERE source_key = %s"
    assert platform.rows(value, corrected) == [(123.456,)]
    assert platform.rows(value, vanished) == []
    assert platform.rows(value, turned) == []
    assert len(platform.rows(value, "99999999999999999999")) == 1
    assert platform.rows("SELECT source_key FROM erp.landed_records WHERE deleted_at IS NOT NULL") == [(vanished,)]
    assert platform.one("SELECT count(DISTINCT ingested_at) FROM erp.landed_records WHERE deleted_at IS NULL") == 2


def test_bad_records_when_pulled_are_kept_with_their_reasons(platform: Platform, sap: SapServer) -> None:
    template = sap.book.day(DAY)[0]
    odd: dict[str, dict[str, Any]] = {
        "X1": {"MeasurementReadingInEntryUoM": -1},
        "X2": {"MeasurementReadingEntryUoM": "FURLONG"},
        "X3": {"MeasurementReadingInEntryUoM": None},
        "X4": {"MsmtRdngTime": "25 o'clock"},
        "X5": {"MeasurementDocumentText": "a\0b\ud800c"},
        "X6": {"MeasuringPoint": ""},
        "X7": {"MeasurementReadingInEntryUoM": "1e999999"},
    }
    for number, fields in odd.items():
        sap.book.enter({**template, "MeasurementDocument": number, "MsmtRdngTime": "00:01:00", **fields})
    result = platform.pull(DAY)
    assert result.success
    reasons = dict(platform.rows("SELECT source_key, reasons FROM erp.rejected_records"))
    assert reasons == {
        "X1": ["consumption_value: a consumption must not be negative (found -1.000000000)"],
        "X2": ["unit 'FURLONG' is not known: add it to unit_codes of the system"],
        "X3": ["MeasurementReadingInEntryUoM is missing"],
        "X4": ['MsmtRdngTime "25 o\'clock" is not of the form 10:15:00'],
        "X5": ["holds characters or numbers that a database cannot keep; they were replaced"],
        "X6": ["MeasuringPoint is missing"],
        "X7": ["MeasurementReadingInEntryUoM is larger than any amount"],
    }
    assert platform.one("SELECT count(*) FROM erp.energy_consumption") == A_DAYS_DOCUMENTS
    good = 10 + 90 * A_DAYS_DOCUMENTS / (A_DAYS_DOCUMENTS + len(odd))
    of_day = "SELECT rows, score FROM quality.partition_scores WHERE source = '' AND asset = 'erp/energy_consumption'"
    assert platform.rows(of_day) == [(A_DAYS_DOCUMENTS, pytest.approx(good, abs=0.001))]
    metadata = result.asset_materializations_for_node("erp__energy_consumption")[0].metadata
    assert metadata["quality_level"].value == "EXCELLENT"
    assert dict(metadata["reasons"].value) == {  # type: ignore[call-overload]
        "consumption_value: a consumption must not be negative (found ...)": 1,
        "unit ... is not known: add it to unit_codes of the system": 1,
        "MeasurementReadingInEntryUoM is missing": 1,
        "MsmtRdngTime ... is not of the form 10:15:00": 1,
        "holds characters or numbers that a database cannot keep; they were replaced": 1,
        "MeasuringPoint is missing": 1,
        "MeasurementReadingInEntryUoM is larger than any amount": 1,
    }
    raw = "SELECT raw->>'MeasurementReadingEntryUoM' FROM erp.rejected_records WHERE source_key = 'X2'"
    assert platform.one(raw) == "FURLONG"


def test_a_record_without_key_when_pulled_is_landed_and_rejected(platform: Platform, sap: SapServer) -> None:
    template = sap.book.day(DAY)[0]
    sap.book._changed[""] = {**template, "MeasurementDocument": ""}
    assert platform.pull(DAY).success
    assert platform.one("SELECT count(*) FROM erp.landed_records WHERE starts_with(source_key, '?')") == 1
    ((reasons,),) = platform.rows("SELECT reasons FROM erp.rejected_records")
    assert reasons[0].startswith("the key (MeasurementDocument) is not whole")
    assert reasons[1:] == ["MeasurementDocument is missing"]


def test_two_documents_of_one_time_when_stored_turn_the_check_red(platform: Platform, sap: SapServer) -> None:
    sap.book.enter({**sap.book.day(DAY)[0], "MeasurementDocument": "AGAIN"})
    result = platform.pull(DAY)
    red = {c.check_name: c for c in result.get_asset_check_evaluations() if not c.passed}
    assert set(red) == {"each_meter_is_booked_once_per_time", "yesterday_is_landed"}
    assert red["each_meter_is_booked_once_per_time"].severity == dg.AssetCheckSeverity.ERROR
    assert platform.rows('SELECT "check", partition, blocking FROM quality.gate_results WHERE NOT passed') == [
        ("each_meter_is_booked_once_per_time", DAY.isoformat(), True)
    ]


def test_a_day_when_the_server_counts_more_than_it_sends_stays_as_it_was(platform: Platform, sap: SapServer) -> None:
    platform.pull(DAY)
    sap.book.vanish(sap.book.day(DAY)[0]["MeasurementDocument"])
    sap.control.misbehave("miscount", times=4)
    result = platform.pull(DAY)
    assert not result.success
    assert "the server counted 192 records but sent 191" in str(result.get_failed_step_keys() and result.all_events)
    assert platform.one("SELECT count(*) FROM erp.landed_records WHERE deleted_at IS NULL") == A_DAYS_DOCUMENTS


def test_a_bad_day_when_in_a_range_is_set_aside_and_the_others_are_stored(platform: Platform, sap: SapServer) -> None:
    sap.control.misbehave("truncated", after=4)
    result = platform.pull(DAY, DAY + timedelta(days=2))
    assert not result.success
    assert platform.rows("SELECT DISTINCT partition_date FROM erp.landed_records ORDER BY 1") == [
        (DAY,),
        (DAY + timedelta(days=2),),
    ]
    stored = platform.instance.get_materialized_partitions(LANDED)
    assert stored == {DAY.isoformat(), (DAY + timedelta(days=2)).isoformat()}


def test_a_refused_secret_when_in_a_range_is_tried_once(
    platform: Platform, sap: SapServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "wrong")
    result = platform.pull(DAY, DAY + timedelta(days=2))
    assert not result.success
    assert sap.control.token_requests == 1
    assert "wrong" not in "".join(str(event) for event in result.all_events).replace("went wrong", "")


def test_a_day_when_not_ended_is_refused(platform: Platform) -> None:
    result = platform.pull(datetime.now(UTC).date() + timedelta(days=1))
    assert not result.success
    assert platform.one("SELECT count(*) FROM erp.landed_records") == 0


def test_the_database_when_lost_in_the_middle_of_a_day_leaves_it_as_it_was(platform: Platform, sap: SapServer) -> None:
    platform.pull(DAY)
    before = platform.rows("SELECT * FROM erp.landed_records ORDER BY source_key")
    sap.book.vanish(sap.book.day(DAY)[0]["MeasurementDocument"])
    cut = threading.Event()

    def cut_the_landing_off() -> None:
        deadline = time.monotonic() + 60
        while not cut.is_set() and time.monotonic() < deadline:
            killed = platform.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'idle in transaction'"
                " AND datname = current_database()"
            )
            if killed:
                cut.set()

    sap.control.misbehave("slow", times=3, after=1, seconds=0.5)
    thread = threading.Thread(target=cut_the_landing_off)
    thread.start()
    result = platform.pull(DAY, DAY + timedelta(days=1))
    cut.set()
    thread.join()
    assert not result.success
    failure = next(e for e in result.all_events if e.is_step_failure)
    assert "database: the connection was lost" in str(failure.event_specific_data)
    assert platform.rows("SELECT * FROM erp.landed_records ORDER BY source_key") == before


def vanish_all(sap: SapServer, day: date) -> None:
    for document in sap.book.day(day):
        sap.book.vanish(document["MeasurementDocument"])


BULK_GATES = (
    "SELECT passed FROM quality.gate_results WHERE \"check\" = 'records_do_not_vanish_in_bulk' ORDER BY gate_id"
)
STANDING = "SELECT count(*) FROM erp.energy_consumption"


def test_a_day_when_its_records_vanish_in_bulk_keeps_its_rows_until_that_is_released(
    platform: Platform, sap: SapServer
) -> None:
    assert platform.pull(DAY).success
    vanish_all(sap, DAY)
    # the second pull finds nothing new, and is no less red
    for _ in range(2):
        assert not platform.pull(DAY).success
        assert platform.one(STANDING) == A_DAYS_DOCUMENTS
    assert platform.rows(BULK_GATES) == [(True,), (False,), (False,)]
    with psycopg.connect(platform.url) as connection:
        said = Release("M. Keller", "the meters were scrapped")
        release(connection, asset=LANDED.to_user_string(), partition=DAY.isoformat(), said=said)
    assert platform.pull(DAY).success
    assert platform.one(STANDING) == 0
    # nothing stands any longer that could go
    assert platform.pull(DAY).success
    assert platform.rows(BULK_GATES)[-1] == (True,)


def test_a_day_when_what_vanished_in_bulk_comes_back_is_red_no_longer(platform: Platform, sap: SapServer) -> None:
    assert platform.pull(DAY).success
    before = sap.book.day(DAY)
    vanish_all(sap, DAY)
    assert not platform.pull(DAY).success
    for document in before:
        sap.book.enter(document)
    assert platform.pull(DAY).success
    assert platform.one(STANDING) == A_DAYS_DOCUMENTS
    assert platform.rows(BULK_GATES) == [(True,), (False,), (True,)]


def test_checks_when_run_by_themselves_judge_the_latest_days(platform: Platform) -> None:
    platform.pull(DAY, DAY + timedelta(days=1))
    with psycopg.connect(platform.url) as connection:
        assert recent_days(connection, "energy_consumption", 1) == [DAY + timedelta(days=1)]
    only = dg.define_asset_job("only_checks", selection=dg.AssetSelection.all_asset_checks())
    job = dg.Definitions.merge(platform.defs, dg.Definitions(jobs=[only])).resolve_job_def("only_checks")
    result = job.execute_in_process(instance=platform.instance)
    judged = {
        c.check_name: c.metadata["days"].value for c in result.get_asset_check_evaluations() if "days" in c.metadata
    }
    assert judged["landed_rows_equal_the_servers_count"] == judged["each_meter_keeps_its_unit"] == 2
