"""A change of calibrations and what is stored: told, asked for, carried out, and only then different."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from gl_assets.cli.stored.calibrations import calibrations as command
from gl_assets.scada.persist import persist_window
from gl_assets.scada.recalibration import PendingWindow, Recalibrator, pending_windows
from gl_assets.scada.recalibration_job import run_recalibration
from resources.core.clock import ManualClock, to_micros
from resources.core.errors import DataError, PlatformError
from resources.core.readings import ReadingBatch, Status, readings_batch
from resources.databases.timescale.derived.hourly_table import read_hour
from resources.databases.timescale.derived.hours import hour_revision
from resources.databases.timescale.rework.recalibrations import request, requests
from resources.databases.timescale.rework.regrid import regrid
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.embedded.postgres import EmbeddedPostgres
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.reader import BufferReader
from resources.wiring import TimescaleResource
from sensors.triggers.recalibrations import build_recalibrations_sensor
from tests.conftest import fresh_database
from tests.integration.store_builders import query

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LENGTH = timedelta(minutes=5)
CERTIFICATE = {
    "sensor_id": "flow",
    "certificate": "K-1",
    "valid_from": START.isoformat(),
    "linear": {"factor": 1.5, "offset": 2.0},
}


def document(*certificates: dict[str, Any], atmosphere_kpa: float = 101.325) -> dict[str, Any]:
    return {
        "site": "north",
        "start": START.isoformat(),
        "window": "5m",
        "units": {"atmosphere_kpa": atmosphere_kpa},
        "calibrations": list(certificates),
        "sources": {
            "plc": {
                "kind": "modbus",
                "host": "localhost",
                "tags": [
                    {"sensor_id": "flow", "unit": "t/h", "canonical_unit": "kg/s", "address": 0},
                    {"sensor_id": "pressure", "unit": "barg", "canonical_unit": "bar", "address": 2},
                ],
            }
        },
    }


def configured(*certificates: dict[str, Any], **changes: float) -> Integrations:
    return Integrations.model_validate(document(*certificates, **changes))


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def store(url: str) -> Iterator[ReadingsStore]:
    """The store of an empty database."""
    with ReadingsStore(url) as opened:
        opened.connection.execute(
            "TRUNCATE scada.readings, scada.window_ledger, scada.calibrations, scada.calibration_sets,"
            " scada.recalibrations, quality.gate_results, platform.settings,"
            " scada.sensor_metadata RESTART IDENTITY CASCADE"
        )
        yield opened


@pytest.fixture
def windows(tmp_path: Path) -> list[WindowContents]:
    """Three windows, each with two readings of the flow (36 t/h are 10 kg/s) and one of the pressure."""
    config, clock = configured(), ManualClock(START)
    buffer = WindowBuffer(
        tmp_path / "buffer", collector="edge", grid=config.grid, start=START, catalog=config.catalog(), clock=clock
    )
    for number in range(3):
        at = to_micros(START + number * LENGTH) + np.array([1, 2, 1]) * 1_000_000
        batch = readings_batch(at, [0, 0, 1], [36.0, 72.0, 6.0], [Status.GOOD] * 3, at + 1000)
        buffer.append(ReadingBatch("plc", readings=batch))
        clock.advance(LENGTH.total_seconds())
    buffer.close_all()
    buffer.close()
    reader = BufferReader(tmp_path / "buffer")
    return [reader.read(START + number * LENGTH) for number in range(3)]


def flows(url: str, window: int = 0) -> list[tuple[Any, ...]]:
    start = START + window * LENGTH
    return query(
        url,
        "SELECT value, unit, round(calibrated_value::numeric, 6)::float8, calibrated_unit FROM scada.sensor_readings"
        f" WHERE sensor_id = 'flow' AND time >= '{start}' AND time < '{start + LENGTH}' ORDER BY time",
    )


def calibrated(config: Integrations, store: ReadingsStore, start: datetime = START) -> dict[str, int]:
    return dict(Recalibrator(config, store, "run").carry_out(start).sensors)


def test_window_when_a_calibration_is_added_then_it_is_pending_until_asked_for(
    windows: list[WindowContents], store: ReadingsStore, url: str
):
    before, after = configured(), configured(CERTIFICATE)
    for contents in windows:
        persist_window(contents, store, before, run_id="run")
    assert pending_windows(store.connection, before) == []

    pending = pending_windows(store.connection, after)

    assert pending == [PendingWindow(START + n * LENGTH, frozenset({"flow"})) for n in (2, 1, 0)]
    assert flows(url)[0] == (36.0, "t/h", 10.0, "kg/s")
    made_from = hour_revision(store.connection, START, site="north")
    assert calibrated(after, store) == {"flow": 2}
    assert flows(url) == [(36.0, "t/h", round(56 / 3.6, 6), "kg/s"), (72.0, "t/h", round(110 / 3.6, 6), "kg/s")]
    assert flows(url, window=1)[0][2] == 10.0
    assert hour_revision(store.connection, START, site="north") == made_from + 1
    assert query(
        url, "SELECT stored_revision, recalibrated, rows FROM scada.window_ledger ORDER BY window_start LIMIT 1"
    ) == [(1, 1, 3)]
    assert [window.start for window in pending_windows(store.connection, after)] == [START + 2 * LENGTH, START + LENGTH]
    assert calibrated(after, store) == {}
    assert pending_windows(store.connection, before, only=START) == [PendingWindow(START, frozenset({"flow"}))]
    assert calibrated(before, store) == {"flow": 2}
    assert flows(url)[0] == (36.0, "t/h", 10.0, "kg/s")


def test_window_when_stored_under_the_present_calibration_then_the_pipeline_and_calibrating_anew_agree(
    windows: list[WindowContents], store: ReadingsStore, url: str
):
    config = configured({**CERTIFICATE, "unit": "kg/h", "linear": {"factor": 1.003, "offset": 7.0}})
    persist_window(windows[0], store, config, run_id="run")
    assert pending_windows(store.connection, config) == []
    wanted = flows(url)
    # by another certificate and back: what comes out is what the pipeline has written, to the last digit
    exact = query(url, "SELECT calibrated_value FROM scada.sensor_readings ORDER BY sensor_id, time")
    assert calibrated(configured(CERTIFICATE), store) == {"flow": 2}
    assert calibrated(config, store) == {"flow": 2}
    assert flows(url) == wanted
    assert query(url, "SELECT calibrated_value FROM scada.sensor_readings ORDER BY sensor_id, time") == exact
    assert query(url, "SELECT certificate FROM scada.calibrations") == [("K-1",), ("K-1",)]
    found = query(url, "SELECT sensor_id, certificate FROM scada.sensor_metadata ORDER BY 1")
    assert found == [("flow", "K-1"), ("pressure", None)]


def test_window_when_a_certificate_holds_for_a_part_of_it_then_only_that_changes(
    windows: list[WindowContents], store: ReadingsStore, url: str
):
    persist_window(windows[0], store, configured(), run_id="run")
    until = (START + timedelta(seconds=2)).isoformat()
    assert calibrated(configured({**CERTIFICATE, "valid_until": until}), store) == {"flow": 1}
    assert [row[2] for row in flows(url)] == [round(56 / 3.6, 6), 20.0]


def test_window_when_only_the_certificates_number_changes_then_nothing_is_pending(
    windows: list[WindowContents], store: ReadingsStore
):
    persist_window(windows[0], store, configured(CERTIFICATE), run_id="run")
    assert pending_windows(store.connection, configured({**CERTIFICATE, "certificate": "K-2"})) == []


def test_window_when_the_tags_unit_has_changed_then_a_certificate_without_unit_is_in_the_tags(
    windows: list[WindowContents], store: ReadingsStore, url: str
):
    persist_window(windows[0], store, configured(), run_id="run")
    changed = document({**CERTIFICATE, "linear": {"factor": 1, "offset": 7.0}})
    changed["sources"]["plc"]["tags"][0]["unit"] = "kg/h"
    assert calibrated(Integrations.model_validate(changed), store) == {"flow": 2}
    assert flows(url)[0] == (36.0, "t/h", round(36.007 / 3.6, 6), "kg/s")


def test_window_when_the_atmosphere_changes_then_gauge_pressures_follow(
    windows: list[WindowContents], store: ReadingsStore, url: str
):
    persist_window(windows[0], store, configured(), run_id="run")
    high_up = configured(atmosphere_kpa=84.0)
    assert pending_windows(store.connection, high_up) == [PendingWindow(START, None)]
    assert calibrated(high_up, store) == {"pressure": 1}
    assert query(
        url,
        "SELECT round(calibrated_value::numeric, 6)::float8 FROM scada.sensor_readings WHERE sensor_id = 'pressure'",
    ) == [(6.84,)]


def test_window_when_later_rows_were_merged_under_another_calibration_then_it_is_pending_either_way(
    windows: list[WindowContents], store: ReadingsStore
):
    persist_window(windows[0], store, configured(), run_id="run")
    merged = replace(windows[0], revision=2, complete=False)
    persist_window(merged, store, configured(CERTIFICATE), run_id="run")
    for config in (configured(), configured(CERTIFICATE)):
        assert pending_windows(store.connection, config) == [PendingWindow(START, frozenset({"flow"}))]


def test_windows_when_cut_to_another_length_then_what_they_were_made_with_goes_along(
    windows: list[WindowContents], store: ReadingsStore, url: str
):
    before, after = configured(), configured(CERTIFICATE)
    for contents, config in zip(windows, (before, before, after), strict=True):
        persist_window(contents, store, config, run_id="run")
    assert calibrated(after, store) == {"flow": 2}
    with store.transaction() as connection:
        regrid(connection, site="north", old=LENGTH, new=3 * LENGTH)
    names = {"", after.calibration_book.name}
    assert [set(row[0]) for row in query(url, "SELECT calibrations FROM scada.window_ledger")] == [names]
    longer = Integrations.model_validate(document(CERTIFICATE) | {"window": "15m"})
    assert pending_windows(store.connection, longer) == [PendingWindow(START, frozenset({"flow"}))]
    # of three windows one was made with none, and is the only one whose rows change
    assert calibrated(longer, store) == {"flow": 2}
    assert pending_windows(store.connection, longer) == []


def test_window_when_a_calibration_overflows_then_nothing_of_it_is_changed(
    windows: list[WindowContents], store: ReadingsStore, url: str
):
    persist_window(windows[0], store, configured(), run_id="run")
    broken = configured({**CERTIFICATE, "linear": {"factor": 1e308, "offset": 0.0}})
    with pytest.raises(DataError, match="2 values of flow and others are infinite after calibration"):
        calibrated(broken, store)
    assert flows(url)[0][2] == 10.0
    assert len(pending_windows(store.connection, broken)) == 1


def test_hour_when_rows_are_calibrated_then_it_has_them_in_the_unit_of_the_sensor(
    windows: list[WindowContents], store: ReadingsStore
):
    persist_window(windows[0], store, configured(CERTIFICATE), run_id="run")
    (hour,) = read_hour(store.connection, START, site="north")
    found = dict(zip(zip(hour.sensor_id, hour.unit, strict=True), hour.value.tolist(), strict=True))
    assert found["flow", "t/h"] == pytest.approx(110.0)
    assert found["pressure", "bar{gauge}"] == 6.0


def test_job_when_asked_for_then_windows_are_reported_and_who_asked_is_kept(
    windows: list[WindowContents], store: ReadingsStore, url: str, tmp_path: Path
):
    config = configured(CERTIFICATE)
    for contents in windows:
        persist_window(contents, store, configured(), run_id="run")
    done = run_recalibration(config, tmp_path, url, because="new certificate", by="ada")
    assert (done["windows"], done["changed"], done["rows"], done["left"]) == (3, 3, 6, 0)
    assert (done["sensors"], done["because"], done["requested_by"]) == ({"flow": 6}, "new certificate", "ada")
    (kept,) = requests(store.connection, "north")
    assert (kept.requested_by, kept.because, kept.windows, kept.rows) == ("ada", "new certificate", 3, 6)
    assert kept.completed_at is not None
    again = run_recalibration(config, tmp_path, url, because="once more", by="ada")
    assert (again["windows"], again["rows"]) == (0, 0)
    persist_window(windows[0], store, configured(), run_id="run")  # the same revision: nothing is written
    assert pending_windows(store.connection, config) == []


def test_job_when_a_window_cannot_be_calibrated_then_it_is_named_and_the_request_stays_open(
    windows: list[WindowContents], store: ReadingsStore, url: str, tmp_path: Path
):
    persist_window(windows[0], store, configured(), run_id="run")
    broken = configured({**CERTIFICATE, "linear": {"factor": 1e308, "offset": 0.0}})
    with pytest.raises(PlatformError, match="1 windows could not be calibrated anew, the others are: 2026-11-22T10:00"):
        run_recalibration(broken, tmp_path, url, because="typing error", by="ada")
    assert [one.completed_at for one in requests(store.connection, "north")] == [None]


def look(config: Integrations, url: str, instance: dg.DagsterInstance, cursor: str | None = None) -> Any:
    sensor = build_recalibrations_sensor(config)
    with dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"timescale": TimescaleResource(url=url)}
    ) as context:
        return sensor(context)


def test_trigger_when_windows_are_pending_then_it_says_so_and_starts_only_what_was_asked_for(
    windows: list[WindowContents], store: ReadingsStore, url: str
):
    config = configured(CERTIFICATE)
    persist_window(windows[0], store, configured(), run_id="run")
    with dg.DagsterInstance.ephemeral() as instance:
        waits = look(config, url, instance)
        assert "1 windows were stored under other calibrations than hold now" in waits.skip_reason.skip_message
        with store.transaction() as connection:
            request(connection, "north", book=config.calibration_book.name, by="ada", because="new certificate")
        asked = look(config, url, instance, waits.cursor)
        assert [run.run_key.split("/a")[0] for run in asked.run_requests] == ["recalibration/1/0"]
        assert "the last run has changed nothing" in look(config, url, instance, asked.cursor).skip_message
        # asked for under another state of the configuration: not this
        other = look(configured(), url, instance, "not JSON")
        assert other.skip_reason.skip_message == "every stored window is calibrated as the configuration says"
        away = look(config, "postgresql://nobody@127.0.0.1:1/none", instance)
        assert away.skip_message.startswith("waiting: ")


def test_command_when_calibrations_change_then_it_lists_them_and_applies_them(
    windows: list[WindowContents], store: ReadingsStore, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    old = {**CERTIFICATE, "valid_until": (START + timedelta(days=1)).isoformat()}
    persist_window(windows[0], store, configured(old), run_id="run")
    file = tmp_path / "integrations.yaml"
    file.write_text(yaml.safe_dump(document(CERTIFICATE)), encoding="utf-8")
    monkeypatch.setenv("GL_CONFIG", str(file))
    monkeypatch.setenv("GL_HOME", str(tmp_path))
    monkeypatch.setenv("GL_DATABASE_URL", url)

    def called(*arguments: str) -> Any:
        result = CliRunner().invoke(command, [*arguments, "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout.splitlines()[-1])

    listed = called("list")
    assert [(row["state"], row["kind"], row["used"]) for row in listed] in (
        [("holds", "linear", False), ("withdrawn", "linear", True)],
        [("withdrawn", "linear", True), ("holds", "linear", False)],
        [("to come", "linear", False), ("withdrawn", "linear", True)],
        [("withdrawn", "linear", True), ("to come", "linear", False)],
    )
    assert called("list", "--sensor", "pressure") == []
    pending = called("pending")
    assert (pending["windows"], pending["first"], pending["asked_for"]) == (1, "2026-11-22T10:00", [])
    assert pending["sensors"] == [
        {"sensor_id": "flow", "windows": 1, "first": "2026-11-22T10:00", "last": "2026-11-22T10:00"}
    ]
    assert called("apply", "--because", "new certificate", "--in-dagster")["pending"] == 1
    assert called("pending")["asked_for"][0]["because"] == "new certificate"
    done = called("apply", "--because", "new certificate", "--by", "ada")
    # the certificate's period is another one, and its values in this window are not
    assert (done["windows"], done["rows"]) == (1, 0)
    assert called("pending")["windows"] == 0
    shown = CliRunner().invoke(command, ["pending"])
    assert "every stored window is calibrated" in shown.output
    assert "K-1" in CliRunner().invoke(command, ["list"]).output
    with pytest.raises(DataError, match="--because is empty"):
        CliRunner().invoke(command, ["apply", "--because", " "], catch_exceptions=False)
