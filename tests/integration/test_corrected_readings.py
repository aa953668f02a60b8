"""Rejected readings corrected and replayed: through the pipeline into the tables, exactly once, with who and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from click.testing import CliRunner, Result

from gl_assets.asset_keys import CORRECTED_READINGS, HOURLY_READINGS, SENSOR_READINGS
from gl_assets.cli.main import cli
from gl_assets.scada import correcting
from gl_assets.scada.corrected_readings import build_corrected_readings, corrections_job
from gl_assets.scada.persist import persist_window
from resources.core.clock import to_micros
from resources.core.errors import DataError
from resources.core.readings import ReadingBatch, Reject, readings_batch, rejects_batch
from resources.databases.timescale.derived.hours import due_hours, hour_revision, record_hour
from resources.databases.timescale.rework.regrid import regrid
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.embedded.postgres import EmbeddedPostgres
from resources.integrations import load_integrations
from resources.window_buffer.reader import BufferReader
from resources.wiring import TimescaleResource
from tests.conftest import fresh_database
from tests.integration.dagster_plant import HOUR, TEMPLATE, Plant

MINUTE = timedelta(minutes=1)
TABLES = ("scada.readings", "scada.rejected_readings", "scada.window_ledger", "scada.window_sources")
PRESSURE = "      - {sensor_id: B1/P, unit: bar, topic: p/p}\n"
MODE = "      - {sensor_id: B1/MODE, data: text, topic: p/mode}\n"


@pytest.fixture(scope="module")
def shared_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


class Quarantine:
    """A plant with one stored window, in which pressures above 50 bar were rejected."""

    def __init__(self, home: Path, url: str) -> None:
        self.home, self.url = home, url
        self.file = home / "integrations.yaml"
        self.limit(50)

    def limit(self, maximum: float | None) -> None:
        limited = PRESSURE if maximum is None else PRESSURE.replace("unit: bar", f"unit: bar, maximum: {maximum}")
        self.file.write_text(TEMPLATE.format(window="15m", start=HOUR.isoformat()).replace(PRESSURE, limited + MODE))

    def rows(self, statement: str, *terms: Any) -> list[Any]:
        with psycopg.connect(self.url, options="-c timezone=UTC") as connection:
            return connection.execute(statement, terms).fetchall()

    def state(self) -> list[Any]:
        return [self.rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in TABLES]

    def gl(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        result = self.run(*arguments, "--json")
        assert result.exit_code == code, result.output + str(result.exception)
        found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
        return found

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(cli, ["rejected", *arguments])


@pytest.fixture
def quarantine(shared_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Quarantine:
    with psycopg.connect(shared_url) as connection:
        connection.execute(
            "TRUNCATE scada.readings, scada.rejected_readings, scada.window_ledger, scada.window_sources,"
            " quality.gate_results, quality.hour_ledger, platform.settings CASCADE"
        )
        # a record that nobody may clear: a test goes behind it
        connection.execute("ALTER TABLE quality.corrected_readings DISABLE TRIGGER USER")
        connection.execute("DELETE FROM quality.corrected_readings")
        connection.execute("ALTER TABLE quality.corrected_readings ENABLE TRIGGER USER")
    found = Quarantine(tmp_path, shared_url)
    monkeypatch.setenv("GL_CONFIG", str(found.file))
    monkeypatch.setenv("GL_DATABASE_URL", shared_url)
    monkeypatch.setenv("GL_HOME", str(tmp_path))
    return found


def collect(quarantine: Quarantine, values: list[float]) -> Plant:
    """Store a window in which B1/P had these values, one a minute."""
    plant = Plant(quarantine.home, load_integrations(quarantine.file))
    plant.move_to(HOUR + 14 * MINUTE)
    times = [to_micros(HOUR + minute * MINUTE) for minute in range(len(values))]
    keys = [plant.catalog.key("B1/P")] * len(values)
    batch = readings_batch(times, keys, values, [0] * len(values), to_micros(plant.clock.now()))
    payload = Reject(
        "boiler_house",
        '{"p": "broken"}',
        ("the payload is no number",),
        to_micros(HOUR + 14 * MINUTE),
        to_micros(HOUR),
        "B1/P",
    )
    plant.buffer.append(ReadingBatch("boiler_house", readings=batch, rejects=rejects_batch([payload])))
    plant.buffer.commit()
    plant.move_to(HOUR + 16 * MINUTE)
    store(quarantine, plant)
    return plant


def store(quarantine: Quarantine, plant: Plant) -> None:
    with ReadingsStore(quarantine.url) as target:
        contents = BufferReader(quarantine.home / "buffer").read(HOUR)
        assert persist_window(contents, target, plant.config, run_id="r").stored


def replayed(quarantine: Quarantine, correction_id: int) -> list[dg.AssetMaterialization]:
    """Replay a batch as the Dagster UI does, and return what was materialised."""
    asset = build_corrected_readings(load_integrations(quarantine.file))
    job = dg.Definitions(assets=[asset], jobs=[corrections_job(asset)], resources={"timescale": TimescaleResource()})
    result = job.resolve_job_def("corrections_job").execute_in_process(
        run_config={"ops": {asset.op.name: {"config": {"correction_id": correction_id}}}}
    )
    events = result.get_asset_materialization_events()
    return [event.step_materialization_data.materialization for event in events]


GOOD = [40.0] * 8


def test_replay_when_rehearsed_then_it_says_what_would_come_and_changes_nothing(quarantine: Quarantine) -> None:
    collect(quarantine, [*GOOD, 400.0, 410.0])
    before = quarantine.state()
    told = quarantine.gl("replay", "readings", "--sensor", "B1/P", "--multiply", "0.1")
    assert (told["confirmed"], told["rows"], told["stored"], told["rejected"]) == (False, 3, 2, 1)
    assert any("what the source sent" in reason for reason in told["reasons"])
    assert quarantine.state() == before
    assert quarantine.rows("SELECT count(*) FROM quality.corrected_readings") == [(0,)]


def test_replay_when_confirmed_then_corrected_rows_stand_once_and_say_by_whom_for_ever(quarantine: Quarantine) -> None:
    collect(quarantine, [*GOOD, 400.0, 410.0])
    with psycopg.connect(quarantine.url) as connection:
        hour = hour_revision(connection, HOUR, site="plant")
        record_hour(connection, HOURLY_READINGS.to_user_string(), HOUR, revision=hour, rows=1, run_id="r")

    told = quarantine.gl(
        "replay", "readings", "--reason", "above the maximum", "--multiply", "0.1", "--confirm", "--because", "mbar"
    )

    assert (told["tried"], told["stored"], told["written"], told["windows"]) == (2, 2, 2, 1)
    values = quarantine.rows("SELECT value, collector FROM scada.sensor_readings ORDER BY time OFFSET 8")
    assert values == [(40.0, "c1-corrected"), (41.0, "c1-corrected")]
    listed = quarantine.gl("readings")
    assert [row["corrected_by"] is None for row in listed] == [row["raw"] == {"p": "broken"} for row in listed]  # type: ignore[call-overload, index]
    (batch,) = [one for one in quarantine.gl("corrections") if one["correction_id"] == told["correction_id"]]  # type: ignore[call-overload]
    assert (batch["because"], batch["outcomes"], batch["replays"]) == ("mbar", {"stored": 2}, 1)
    assert batch["how"] == {"chosen": {"reason": "above the maximum"}, "rules": {"multiply": 0.1}}
    with psycopg.connect(quarantine.url) as connection:
        due = due_hours(connection, [HOURLY_READINGS.to_user_string()], site="plant")
    assert [state.hour for state in due] == [HOUR]

    newest = 'SELECT DISTINCT ON ("check") metadata FROM quality.gate_results WHERE "check" = %s ORDER BY "check", gate_id DESC'
    ((figures,),) = quarantine.rows(newest, "rejected_rows_are_below_the_limit")
    assert (figures["rejected"], figures["corrected"], figures["share"]) == (3, 2, round(1 / 11, 6))

    before = quarantine.state()
    again = quarantine.gl("replay", "batch", str(told["correction_id"]))
    assert (again["tried"], again["written"]) == (0, 0)
    assert quarantine.state() == before

    for statement in (
        "UPDATE quality.corrections SET because = 'another'",
        "DELETE FROM quality.corrections",
        "UPDATE quality.corrected_readings SET value = 1",
        "TRUNCATE quality.corrected_readings",
    ):
        with (
            psycopg.connect(quarantine.url) as connection,
            pytest.raises(psycopg.errors.RaiseException, match="is a record"),
        ):
            connection.execute(statement)

    with psycopg.connect(quarantine.url) as connection:
        regrid(connection, site="plant", old=15 * MINUTE, new=5 * MINUTE)
    assert sum(row["corrected_by"] is not None for row in quarantine.gl("readings")) == 2  # type: ignore[call-overload]


def test_score_when_a_window_has_corrections_then_its_gate_judges_the_score_that_is_kept(
    quarantine: Quarantine,
) -> None:
    collect(quarantine, [*GOOD, 400.0, 410.0, 420.0, 430.0, 440.0])
    how = ("--reason", "400 bar", "--multiply", "0.1", "--confirm", "--because", "x")
    quarantine.gl("replay", "readings", "--sensor", "B1/P", *how)
    ((revision, score),) = quarantine.rows("SELECT revision, score FROM quality.partition_scores WHERE source = ''")
    (judged,) = quarantine.rows(
        "SELECT passed, (metadata ->> 'measured')::float8 FROM quality.gate_results"
        " WHERE \"check\" = 'the_windows_score_is_high_enough'"
    )
    assert (revision, judged) == (2, (False, pytest.approx(score, abs=1e-4)))


def test_replay_when_the_configuration_was_mended_then_rows_pass_as_they_are_once(quarantine: Quarantine) -> None:
    collect(quarantine, [*GOOD, 60.0])
    how = ("replay", "readings", "--reason", "maximum", "--confirm", "--because", "the limit was wrong")
    refused = quarantine.gl(*how, code=1)
    assert refused["rejected"] == 1
    quarantine.limit(100)
    window, batch = replayed(quarantine, refused["correction_id"])
    assert (window.asset_key, window.partition) == (SENSOR_READINGS, "2026-11-21T10:00")
    figures = {
        name: window.metadata[name].value for name in ("rejected", "corrected", "from_corrections", "corrected_now")
    }
    assert figures == {"rejected": 2, "corrected": 1, "from_corrections": 1, "corrected_now": 1}
    assert (batch.asset_key, batch.metadata["stored"].value) == (CORRECTED_READINGS, 1)
    assert quarantine.rows("SELECT max(value) FROM scada.sensor_readings") == [(60.0,)]

    # as if the process had died before it kept what came of the row
    before = quarantine.state()
    with psycopg.connect(quarantine.url) as connection:
        connection.execute("UPDATE quality.corrected_readings SET outcome = 'pending'")
    window, event = replayed(quarantine, refused["correction_id"])
    assert (window.partition, window.metadata["corrected"].value) == ("2026-11-21T10:00", 1)
    assert (event.metadata["tried"].value, event.metadata["stored"].value, event.metadata["written"].value) == (1, 1, 0)
    assert quarantine.state() == before


def test_a_later_revision_when_it_comes_leaves_the_correction_and_the_mark(quarantine: Quarantine) -> None:
    plant = collect(quarantine, [*GOOD, 400.0])
    quarantine.gl("replay", "readings", "--reason", "maximum", "--multiply", "0.1", "--confirm", "--because", "x")
    late = readings_batch(
        [to_micros(HOUR + 12 * MINUTE)], [plant.catalog.key("B1/P")], [39.0], [0], to_micros(plant.clock.now())
    )
    plant.buffer.append(ReadingBatch("boiler_house", readings=late))
    plant.buffer.commit()
    plant.move_to(plant.clock.now() + 2 * MINUTE)
    store(quarantine, plant)
    assert quarantine.rows(
        "SELECT count(*), count(*) FILTER (WHERE collector = 'c1-corrected') FROM scada.sensor_readings"
    ) == [(10, 1)]
    marked = [row for row in quarantine.gl("readings", "--reason", "maximum") if row["corrected_by"]]  # type: ignore[call-overload]
    assert len(marked) == 1


def test_replay_when_a_file_says_what_each_row_is_then_payloads_become_readings(
    quarantine: Quarantine, tmp_path: Path
) -> None:
    collect(quarantine, [*GOOD, 400.0])
    exported = quarantine.run("readings", "--csv").stdout
    # logs of a bare test go to stdout too
    header, *lines = exported[exported.index("rejected_id,") :].splitlines()
    assert header == "rejected_id,sensor_id,time,value,unit,status,source,reasons"
    payload = next(line for line in lines if "payload" in line)
    name = payload.split(",")[0]
    file = tmp_path / "mended.csv"
    file.write_text(f"rejected_id,time,value\n{name},2026-11-21T10:10:30Z,42.5\n")
    told = quarantine.gl("replay", "readings", "--file", str(file), "--confirm", "--because", "read off the gauge")
    assert told["stored"] == 1
    (row,) = quarantine.rows(
        "SELECT value, unit, status, source FROM scada.sensor_readings WHERE collector = 'c1-corrected'"
    )
    assert row == (42.5, "bar", "good", "boiler_house")
    shown = quarantine.gl("show", name)
    assert shown["corrections"][0]["because"] == "read off the gauge"
    text = quarantine.run("show", name).stdout
    assert "read off the gauge" in text
    assert "the payload is no number" in text


def test_replay_when_another_value_stands_there_then_it_gives_way_only_if_asked(
    quarantine: Quarantine, tmp_path: Path
) -> None:
    collect(quarantine, [*GOOD, 400.0])
    (name,) = [row["rejected_id"] for row in quarantine.gl("readings", "--reason", "maximum")]  # type: ignore[index]
    file = tmp_path / "mended.json"
    file.write_text(json.dumps([{"rejected_id": name, "time": HOUR.isoformat(), "value": 39.5}]))
    refused = quarantine.gl("replay", "readings", "--file", str(file), code=1)
    assert refused["occupied"] == 1
    told = quarantine.gl("replay", "readings", "--file", str(file), "--replace", "--confirm", "--because", "x")
    assert told["stored"] == 1
    assert quarantine.rows("SELECT value FROM scada.sensor_readings WHERE time = %s AND sensor_id = 'B1/P'", HOUR) == [
        (39.5,)
    ]
    displaced = quarantine.rows("SELECT raw ->> 'value', collector FROM scada.rejected_readings WHERE sequence < 0")
    assert displaced == [("40", "c1")]


def test_replay_when_only_unit_or_status_are_corrected_again_then_they_take_the_place_of_what_stood(
    quarantine: Quarantine,
) -> None:
    collect(quarantine, [*GOOD, 400.0])
    how = ("replay", "readings", "--reason", "maximum", "--again", "--confirm", "--because", "x")
    stands = "SELECT value, unit, calibrated_value, status FROM scada.sensor_readings WHERE collector = 'c1-corrected'"
    for rules, row in (
        (("--unit", "mbar"), (400.0, "mbar", pytest.approx(0.4), "good")),
        (("--unit", "kPa"), (400.0, "kPa", pytest.approx(4.0), "good")),
        (("--unit", "kPa", "--set-status", "uncertain"), (400.0, "kPa", pytest.approx(4.0), "uncertain")),
        (("--unit", "kg/cm2", "--multiply", "0.1"), (40.0, "kgf/cm2", pytest.approx(39.2266), "good")),
    ):
        told = quarantine.gl(*how, *rules)
        assert (told["stored"], told["written"]) == (1, 1)
        assert quarantine.rows(stands) == [row]
    before = quarantine.state()
    again = quarantine.gl(*how, *rules)
    assert (again["stored"], again["written"]) == (1, 0)
    assert quarantine.state() == before


def test_texts_when_replayed_then_they_stand_among_the_texts_once(quarantine: Quarantine) -> None:
    for number, (text, second) in enumerate((("RUN", 0), ("STOP", 1), ("STOP", 1))):
        quarantine.rows(
            "INSERT INTO scada.rejected_readings (collector, sequence, time, sensor_id, source, raw, reasons,"
            " window_start, run_id, rejected_at, site) VALUES ('c1', %s, %s, 'B1/MODE', 'boiler_house', %s, '{early}',"
            " %s, 'r', now(), 'plant') RETURNING 1",
            number, HOUR + timedelta(seconds=second), json.dumps({"value": text, "status": "good", "unit": ""}), HOUR,
        )  # fmt: skip
    told = quarantine.gl("replay", "readings", "--confirm", "--because", "start was too late")
    assert (told["stored"], told["repeated"], told["written"]) == (2, 1, 2)
    texts = quarantine.rows("SELECT value, collector FROM scada.text_readings ORDER BY time")
    assert texts == [("RUN", "c1-corrected"), ("STOP", "c1-corrected")]
    again = quarantine.gl("replay", "readings", "--again", "--confirm", "--because", "once more")
    assert (again["written"], again["standing"] + again["stored"]) == (0, 2)
    assert quarantine.rows("SELECT count(*) FROM scada.text_readings") == [(2,)]


def test_replay_when_a_window_cannot_be_stored_then_it_is_named_and_its_rows_stay_open(
    quarantine: Quarantine, monkeypatch: pytest.MonkeyPatch
) -> None:
    collect(quarantine, [*GOOD, 400.0])
    rules = ("--multiply", "0.1", "--add", "-1", "--shift", "-30s")
    rehearsed = quarantine.run("replay", "readings", "--reason", "maximum", *rules)
    assert "nothing was changed: --confirm --because" in rehearsed.output
    assert "B1/P 2026-11-21T10:07:30Z 39.0 bar good" in rehearsed.output

    def refuse(*_: object, **__: object) -> None:
        raise DataError("the window is refused")

    with monkeypatch.context() as faulty:
        faulty.setattr(correcting, "persist_window", refuse)
        how = ("replay", "readings", "--reason", "maximum", "--multiply", "0.1", "--confirm", "--because", "x")
        result = quarantine.run(*how)
    assert "1 windows could not be corrected" in str(result.exception)
    (batch,) = [one for one in quarantine.gl("corrections") if one["outcomes"] == {"pending": 1}]  # type: ignore[call-overload]
    told = quarantine.gl("replay", "batch", str(batch["correction_id"]))
    assert (told["tried"], told["stored"]) == (1, 1)
    listed = quarantine.run("list").output
    assert "boiler_house" in listed
    assert "the payload is no number" in listed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("readings", "--confirm"), "--confirm needs --because"),
        (("readings", "--sensor", "NOPE"), "no rejected reading"),
        (("readings", "--set-status", "fine"), "write one of good, uncertain, bad"),
        (("readings", "--multiply", "0"), "other than 0"),
        (("readings", "--shift", "soon"), "write a time such as"),
        (("readings", "--from", "yesterday"), "write the start of a window"),
        (("batch", "999999"), "no batch of that number"),
    ],
)
def test_replay_when_it_cannot_be_meant_then_it_says_what_to_do(
    quarantine: Quarantine, arguments: tuple[str, ...], message: str
) -> None:
    result = quarantine.run("replay", *arguments)
    assert message in str(result.exception)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plant/c1/2026-11-21T10:00/99", "1 rows are not rejected readings (any longer)"),
        ("plant/c2/2026-11-21T10:00/99", "is not of site plant and collector c1"),
    ],
)
def test_file_when_its_rows_are_not_there_then_it_says_which(
    quarantine: Quarantine, tmp_path: Path, name: str, message: str
) -> None:
    file = tmp_path / "mended.csv"
    file.write_text(f"rejected_id,value\n{name},1\n")
    assert message in str(quarantine.run("replay", "readings", "--file", str(file)).exception)
    both = quarantine.run("replay", "readings", "--file", str(file), "--multiply", "2")
    assert "leave the other options out" in str(both.exception)
    assert "no rejected reading" in str(quarantine.run("show", name).exception)
