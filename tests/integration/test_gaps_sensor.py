"""The trigger of gaps, evaluated as the daemon does, on a real database; and `gl gaps fill`."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import psycopg
import pytest
import yaml
from click.testing import CliRunner

from gl_assets.checks.gates import ASSET
from gl_assets.cli.stored.gaps import gaps
from gl_assets.scada.gap_job import GAP_JOB
from resources.databases.timescale.quality.gate_results import GAPS_GATE, GateResult, record_results
from resources.integrations import Integrations
from sensors.triggers.unfilled_gaps import Asked, build_gaps_sensor, load_asked
from tests.integration.dagster_plant import HOUR
from tests.integration.test_dagster_triggers import Tick
from tests.integration.test_gap_filling import SENSORS, checks, configuration, fill, note_gap, query
from tests.opc_ua_server import PlainServer, node_id


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def config(**more: object) -> Integrations:
    return configuration(PlainServer(), **more)


def tick_of(found: Integrations, home: Path, url: str, instance: dg.DagsterInstance) -> Tick:
    return Tick(found, home, url, instance, build_gaps_sensor)


def test_gaps_sensor_when_a_gap_is_over_then_it_asks_once_and_then_pauses(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    tick = tick_of(config(), tmp_path, database_url, instance)
    assert tick() == "no gap is left to be dealt with"
    note_gap(database_url, 3, 14)
    (request,) = tick()
    assert request.run_key.startswith("gaps/")
    # the run died without a trace: it is asked for again only after a pause
    assert "the last run has changed nothing" in tick()
    asked = load_asked(tick.cursor)
    assert asked.may_ask(asked.state, datetime.now(UTC) + timedelta(minutes=1))
    run = tick.start(request, GAP_JOB, dg.DagsterRunStatus.STARTED)
    assert tick() == "a run is filling gaps"
    instance.report_run_canceled(run)
    # a step forward is another state
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE scada.gaps SET filled_to = %s", (HOUR + timedelta(minutes=5),))
    assert len(tick()) == 1


def test_gaps_sensor_when_a_gap_lasts_or_waits_then_it_says_so(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    tick = tick_of(config(), tmp_path, database_url, instance)
    note_gap(database_url, 3, None)
    assert tick() == "no gap is left to be dealt with"
    now = (datetime.now(UTC) - HOUR) / timedelta(minutes=1)
    note_gap(database_url, now - 2, now - 1)
    assert "1 gaps wait" in tick()


def test_gaps_sensor_when_a_gap_without_history_was_judged_with_its_window_then_no_run_is_needed(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    tick = tick_of(config(history=False), tmp_path, database_url, instance)
    note_gap(database_url, 3, 14)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE scada.gaps SET changed_at = now() - interval '1 minute'")
        record_results(connection, [GateResult(ASSET, "2026-11-21T10:00", 1, GAPS_GATE, passed=False, blocking=False)])
    assert tick() == "no gap is left to be dealt with"
    assert query(database_url, 'SELECT judged_to = "to" FROM scada.gaps') == [(True,)]
    # one that became known after its window was judged needs a look
    note_gap(database_url, 20, 21)
    assert len(tick()) == 1


async def test_gaps_sensor_when_a_gap_is_withdrawn_then_only_windows_that_stand_red_are_judged_again(
    tmp_path: Path, database_url: str, instance: dg.DagsterInstance
):
    found = config()
    tick = tick_of(found, tmp_path, database_url, instance)
    note_gap(database_url, 3, 3)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE scada.gaps SET changed_at = %s", (HOUR + timedelta(minutes=20),))
    # no window was judged while it was there
    assert tick() == "no gap is left to be dealt with"
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE scada.gaps SET judged_to = NULL")
        record_results(connection, [GateResult(ASSET, "2026-11-21T10:00", 1, GAPS_GATE, passed=False, blocking=False)])
    assert len(tick()) == 1

    told, result = await fill(found, database_url)

    assert (told["judged"], told["windows"], told["failed"]) == (2, 0, {})
    assert checks(result) == {"2026-11-21T10:00": True, "2026-11-21T10:15": True}
    assert tick() == "no gap is left to be dealt with"


def test_gaps_sensor_when_the_database_is_away_then_it_waits(tmp_path: Path, instance: dg.DagsterInstance):
    tick = tick_of(config(), tmp_path, "postgresql://u:p@127.0.0.1:1/none", instance)
    assert "waiting: database 127.0.0.1:1/none" in tick()


def test_asked_when_the_cursor_is_of_another_version_then_it_counts_as_none():
    assert load_asked('{"other": 1}') == load_asked("rubbish") == load_asked(None) == Asked()


async def test_gl_gaps_fill_when_run_then_it_fills_and_tells(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    server = PlainServer()
    await server.start()
    for sensor in SENSORS:
        node = await server.add(sensor)
        await server.historize(node)
        await server.keep(node, HOUR + timedelta(minutes=4), 4.0)
    tags = [{"sensor_id": s, "unit": "bar", "node_id": node_id(s)} for s in SENSORS]
    source = {"kind": "opc_ua", "endpoint_url": server.url, "insecure_no_security": True, "history": True, "tags": tags}
    file = tmp_path / "integrations.yaml"
    collector = {"name": "c1"}
    file.write_text(
        yaml.safe_dump(
            {"site": "plant", "start": HOUR.isoformat(), "collector": collector, "sources": {"server": source}}
        )
    )
    monkeypatch.setenv("GL_CONFIG", str(file))
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    note_gap(database_url, 3, 14)
    note_gap(database_url, 50, 51)

    done = await asyncio.to_thread(CliRunner().invoke, gaps, ["fill", "--json"])
    await server.stop()

    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["filled"], told["rows"]) == (["server from 2026-11-21T10:03:00Z"], 2)
    assert "its history holds nothing" in told["failed"]["server from 2026-11-21T10:50:00Z"]
    assert done.exit_code == 1
    shown = json.loads(CliRunner().invoke(gaps, ["--json"]).stdout)
    assert [(gap["rows_filled"], gap["filled_by"]) for gap in shown] == [(0, None), (2, "history of server")]
    assert "its history holds nothing" in shown[0]["not_filled"]
    table = CliRunner().invoke(gaps, []).stdout
    assert "history of server" in table
    again = await asyncio.to_thread(CliRunner().invoke, gaps, ["fill"])
    assert "0 rows in 0 windows" in again.stdout
