"""Looking for deletions in days that are not pulled again, against the SAP-like service and a real database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from gl_assets.erp.judging.pull_checks import BULK
from gl_assets.erp.sweep import build_sweep_jobs, days_to_sweep
from resources.core.configuration.gates import GateSetting
from resources.demo_plant.erp.sap.login import SapLogin
from resources.erp.resources import build_erp_resources
from resources.transport.trust.certificates import CertificateAuthority
from resources.wiring import TimescaleResource
from tests.integration.erp_platform import Platform, failure
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

LANDED = dg.AssetKey(["erp", "sap", "energy_consumption"])
YESTERDAY = datetime.now(UTC).date() - timedelta(days=1)
DAYS = [YESTERDAY - timedelta(days=number) for number in (4, 3, 2, 1, 0)]
ONLY = ["erp/sap/energy_consumption", "erp/energy_consumption"]


@pytest.fixture
def sap(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[SapServer]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    with sap_server(authority) as server:
        yield server


@pytest.fixture
def platform(sap: SapServer, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Platform:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    config = sap.integrations(datasets={"energy_consumption": {"sweep": 1}}, overlap="1d", http={"attempts": 1})
    found = Platform(config, database_url, tmp_path)
    assert found.pull(DAYS[0], DAYS[-1], only=ONLY).success
    return found


def test_older_days_when_swept_lose_what_the_system_lost_and_gain_what_it_gained(
    platform: Platform, sap: SapServer
) -> None:
    gone, kept = (sap.book.day(day)[3] for day in (DAYS[0], DAYS[-1]))
    sap.book.vanish(gone["MeasurementDocument"])
    sap.book.vanish(kept["MeasurementDocument"])
    late = {**sap.book.day(DAYS[1])[-1], "MeasurementDocument": "LATE", "MsmtRdngTime": "23:31:00"}
    sap.book.enter(late)
    result = platform.run("erp_sap_sweep_job")
    assert result.success
    deleted = "SELECT source_key FROM erp.landed_records WHERE deleted_at IS NOT NULL"
    # the newest days are the daily pull's to look at
    assert platform.rows(deleted) == [(gone["MeasurementDocument"],)]
    assert platform.rows("SELECT partition_date FROM erp.landed_records WHERE source_key = 'LATE'") == [(DAYS[1],)]
    touched = "SELECT partition_date FROM erp.touched_days ORDER BY partition_date"
    assert platform.rows(touched) == [(DAYS[0],), (DAYS[1],)]
    observed = [
        event.event_specific_data for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"
    ]
    assert len(observed) == 1
    assert platform.instance.get_latest_materialization_event(LANDED) is not None


def test_a_sweep_when_a_day_fails_goes_on_with_the_others(platform: Platform, sap: SapServer) -> None:
    gone = sap.book.day(DAYS[1])[3]
    sap.book.vanish(gone["MeasurementDocument"])
    sap.control.misbehave("truncated")
    result = platform.run("erp_sap_sweep_job")
    assert not result.success
    assert f"energy_consumption {DAYS[0]}" in failure(result)
    assert platform.one("SELECT count(*) FROM erp.landed_records WHERE deleted_at IS NOT NULL") == 1


def test_a_sweep_when_the_system_names_no_record_of_a_day_leaves_it_as_it_was(
    platform: Platform, sap: SapServer
) -> None:
    for document in sap.book.day(DAYS[0]):
        sap.book.vanish(document["MeasurementDocument"])
    gone = sap.book.day(DAYS[1])[3]["MeasurementDocument"]
    sap.book.vanish(gone)
    result = platform.run("erp_sap_sweep_job")
    assert not result.success
    said = failure(result)
    assert f"sap: energy_consumption of {DAYS[0]}: the system no longer names 192 stored records, and names 0" in said
    assert "release the gate records_do_not_vanish_in_bulk" in said
    # the other days are swept all the same
    deleted = "SELECT source_key FROM erp.landed_records WHERE deleted_at IS NOT NULL"
    assert platform.rows(deleted) == [(gone,)]
    assert platform.rows("SELECT partition_date FROM erp.touched_days") == [(DAYS[1],)]


def test_a_sweep_when_the_gate_of_bulk_deletions_only_warns_marks_them(platform: Platform, sap: SapServer) -> None:
    for document in sap.book.day(DAYS[0]):
        sap.book.vanish(document["MeasurementDocument"])
    gates = {"erp/sap/energy_consumption": {BULK: GateSetting(effect="warn")}}
    quality = platform.config.quality.model_copy(update={"gates": gates})
    config = platform.config.model_copy(update={"quality": quality})
    (job,) = build_sweep_jobs(config)
    resources = {"timescale": TimescaleResource(), **build_erp_resources(config.erp.systems)}
    definitions = dg.Definitions(jobs=[job], resources=resources)
    assert definitions.resolve_job_def("erp_sap_sweep_job").execute_in_process(instance=platform.instance).success
    assert platform.one("SELECT count(*) FROM erp.landed_records WHERE deleted_at IS NOT NULL") == 192


def test_the_job_when_no_dataset_is_swept_is_not_there(sap: SapServer, tmp_path: Path, database_url: str) -> None:
    config = sap.integrations(datasets=["energy_consumption"])
    assert "erp_sap_sweep_job" not in {
        job.name for job in Platform(config, database_url, tmp_path).defs.resolve_all_job_defs()
    }


def test_each_day_when_nights_pass_comes_once_in_its_turn() -> None:
    first = date(2026, 11, 1)
    stored = [first + timedelta(days=number) for number in range(20)]
    before = first + timedelta(days=15)
    nights = [days_to_sweep(stored, 7, before, before + timedelta(days=number)) for number in range(7)]
    assert sorted(day for night in nights for day in night) == stored[:15]
    assert max(len(night) for night in nights) == 3
