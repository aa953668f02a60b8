"""`gl ingest` as a process of its own, against a real Modbus server."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from click.testing import CliRunner

from gl_assets.cli.main import cli
from gl_assets.cli.running.ingest import faults
from gl_assets.cli.state import REPOSITORY
from gl_assets.scada.run import WindowsRun
from resources.demo_plant.servers.modbus import ModbusEndpoint, ModbusServer, Register
from resources.embedded.ports import free_port
from resources.embedded.programs import ServerPrograms
from resources.integrations import load_integrations
from sensors.collector.main import collect_for

FIELDS = {
    "sent", "buffered", "stored", "rejected", "deduplicated", "in_gaps", "lost", "duplicated", "windows",
    "window_to_table_s", "sources", "erp_rows", "agents", "checks",
}  # fmt: skip


@pytest.fixture
def plc() -> Iterator[ModbusServer]:
    """A Modbus server in a loop and thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ModbusServer(
        ModbusEndpoint("127.0.0.1", free_port()),
        [Register("holding_register", 0, "uint32"), Register("holding_register", 10, "float32")],
    )
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(30)
    server.set(0, 7)
    server.set(1, 2.5)
    yield server
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(30)
    loop.close()


def configuration(port: int, **changes: Any) -> dict[str, Any]:
    tags: list[dict[str, Any]] = [
        {"sensor_id": "plc.count", "unit": "1", "address": 0, "data_type": "uint32"},
        {"sensor_id": "plc.level", "unit": "m", "address": 10, "data_type": "float32", **changes.pop("level", {})},
    ]
    return {
        "site": "plant",
        "start": (datetime.now(UTC) - timedelta(days=1)).isoformat(),
        "window": "1m",
        "collector": {"port": 0},
        "logs": {"level": "warning"},
        "sources": {
            "plc": {"kind": "modbus", "host": "127.0.0.1", "port": port, "poll_interval": "200ms", "tags": tags}
        },
        **changes,
    }


class Gl:
    """Calls `gl` in a home of its own."""

    def __init__(self, home: Path, config: Path, **env: str) -> None:
        self.config = config
        self.env = {**os.environ, "GL_HOME": str(home), "GL_CONFIG": str(config), **env}

    def configure(self, document: dict[str, Any]) -> None:
        self.config.write_text(yaml.safe_dump(document))

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gl_assets.cli.main", *words],
            env=self.env, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip


@pytest.fixture
def gl(tmp_path: Path, database_url: str) -> Gl:
    return Gl(tmp_path / "gl", tmp_path / "integrations.yaml", GL_DATABASE_URL=database_url)


def test_ingest_when_a_source_answers_then_every_poll_is_stored_and_counted(
    gl: Gl, plc: ModbusServer, database_url: str
):
    gl.configure(configuration(plc.endpoint.port))
    done = gl("ingest", "--for", "3", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert set(result) >= FIELDS
    source = result["sources"]["plc"]
    assert source["kind"] == "modbus"
    assert source["stored"] == source["sent"] == source["buffered"] > 0
    assert (result["lost"], result["duplicated"], result["checks"]["failed"]) == (0, 0, 0)
    # of a fourth gate, gaps that a busy machine makes are no fault
    assert result["checks"]["passed"] >= 3 * result["windows"] > 0
    assert result["window_to_table_s"]["p95"] >= result["window_to_table_s"]["p50"] > 0
    assert result["agents"] == {"targeted": 0, "answered": 0, "p99_ms": None}
    assert result["erp_rows"] == {}
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            "SELECT sensor_id, min(value), max(value), count(*) FROM scada.sensor_readings GROUP BY 1 ORDER BY 1"
        ).fetchall()
        # Dagster's record of the run is in a schema of the same database
        runs = connection.execute("SELECT status FROM dagster.runs").fetchall()
    assert found == [("plc.count", 7.0, 7.0, source["stored"] // 2), ("plc.level", 2.5, 2.5, source["stored"] // 2)]
    assert set(runs) == {("SUCCESS",)}

    again = gl("ingest", "--for", "1")
    assert again.returncode == 0, again.stderr
    assert again.stdout == ""
    assert "modbus" in again.stderr
    assert "0 duplicated" in again.stderr


def test_ingest_when_a_window_cannot_be_stored_then_it_names_window_and_reason_and_fails(gl: Gl, plc: ModbusServer):
    gl.configure(configuration(plc.endpoint.port, level={"maximum": 1}, quality={"max_rejected_share": 0.1}))
    done = gl("ingest", "--for", "2", "--json")
    assert done.returncode == 1
    assert "windows are not stored: 20" in done.stderr
    assert "above the maximum" in " ".join(done.stderr.split())
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["stored"] == 0
    assert result["lost"] > 0


def test_ingest_when_the_window_length_differs_then_it_names_the_way_which_works(gl: Gl, plc: ModbusServer):
    gl.configure(configuration(plc.endpoint.port))
    assert gl("ingest", "--for", "1").returncode == 0
    gl.configure(configuration(plc.endpoint.port, window="5m"))
    refused = gl("ingest", "--for", "1")
    assert refused.returncode == 1
    assert "gl window migrate" in refused.stderr
    migrated = gl("window", "migrate", "--confirm")
    assert migrated.returncode == 0, migrated.stderr
    done = gl("ingest", "--for", "1", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["lost"], result["duplicated"]) == (0, 0)
    assert result["stored"] == result["sent"]


def test_ingest_when_no_database_is_named_then_the_embedded_one_is_used(
    tmp_path: Path, plc: ModbusServer, programs: ServerPrograms, server_folder: Path
):
    gl = Gl(server_folder / "ingest-home", tmp_path / "integrations.yaml")
    gl.env.pop("GL_DATABASE_URL", None)
    gl.configure(configuration(plc.endpoint.port))
    done = gl("ingest", "--for", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["stored"] > 0


def test_ingest_when_run_in_this_process_then_it_ends_with_the_counts(
    tmp_path: Path, plc: ModbusServer, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "integrations.yaml"
    path.write_text(yaml.safe_dump(configuration(plc.endpoint.port)))
    monkeypatch.setenv("GL_CONFIG", str(path))
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    result = CliRunner().invoke(cli, ["ingest", "--for", "1", "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[-1])["lost"] == 0
    path.write_text(
        yaml.safe_dump(configuration(plc.endpoint.port, level={"maximum": 1}, quality={"max_rejected_share": 0.1}))
    )
    assert CliRunner().invoke(cli, ["ingest", "--for", "1"], catch_exceptions=False).exit_code == 1


def test_ingest_when_tables_and_buffer_have_a_past_then_it_counts_its_own_run(
    tmp_path: Path, plc: ModbusServer, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "integrations.yaml"
    path.write_text(yaml.safe_dump(configuration(plc.endpoint.port)))
    monkeypatch.setenv("GL_CONFIG", str(path))
    monkeypatch.setenv("GL_DATABASE_URL", database_url)

    def ingest(home: str) -> dict[str, Any]:
        monkeypatch.setenv("GL_HOME", str(tmp_path / home))
        done = CliRunner().invoke(cli, ["ingest", "--for", "1", "--json"], catch_exceptions=False)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert (done.exit_code, found["lost"]) == (0, 0), done.stdout
        assert found["sent"] == found["stored"] == found["buffered"] > 0
        return found

    def readings() -> int:
        with psycopg.connect(database_url) as connection:
            ((count,),) = connection.execute("SELECT count(*) FROM scada.readings").fetchall()
        return int(count)

    first = ingest("one")
    with psycopg.connect(database_url) as connection:  # another minute than that of the next run
        connection.execute("CREATE TEMP TABLE past AS SELECT * FROM scada.readings")
        connection.execute("UPDATE past SET time = time - interval '2 hours'")
        connection.execute("DELETE FROM scada.readings")
        connection.execute("INSERT INTO scada.readings SELECT * FROM past")
        connection.execute("DELETE FROM scada.window_ledger")
    assert ingest("two")["stored"] == readings() - first["stored"]  # a new buffer beside an old database
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM scada.readings WHERE time < now() - interval '1 hour'")  # as retention does
    before = readings()
    assert ingest("two")["stored"] == readings() - before
    # what was collected and not stored is told with the next run
    before = readings()
    collected = asyncio.run(collect_for(load_integrations(), tmp_path / "two", 1))
    assert ingest("two")["stored"] == readings() - before > collected.counts["plc"].buffered > 0


def test_ingest_when_a_tag_reports_only_changes_then_what_is_left_out_is_not_lost(
    tmp_path: Path, plc: ModbusServer, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "integrations.yaml"
    path.write_text(yaml.safe_dump(configuration(plc.endpoint.port, level={"report": {"when": "change"}})))
    monkeypatch.setenv("GL_CONFIG", str(path))
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    monkeypatch.setenv("GL_HOME", str(tmp_path / "gl"))
    done = CliRunner().invoke(cli, ["ingest", "--for", "3", "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    result = json.loads(done.stdout.splitlines()[-1])
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT sensor_id, count(*) FROM scada.sensor_readings GROUP BY 1").fetchall()
    rows = dict(found)
    assert 2 <= rows["plc.level"] < rows["plc.count"]
    assert (result["lost"], result["stored"], result["sent"]) == (0, sum(rows.values()), sum(rows.values()))


def test_faults_when_many_windows_fail_in_one_run_then_all_are_counted_and_the_reason_is_there():
    outcome = WindowsRun(failed=[f"2026-11-22T{hour:02d}:00" for hour in range(12)], reasons=["the disk is [full]"])
    first, second = faults(outcome)
    assert first.startswith("12 windows are not stored: 2026-11-22T00:00, ")
    assert first.endswith(" and 2 more")
    assert second == "the disk is [full]"
    assert faults(WindowsRun()) == []


@pytest.mark.parametrize("seconds", ["0", "-5"])
def test_ingest_when_the_time_makes_no_sense_then_it_is_refused(seconds: str):
    assert CliRunner().invoke(cli, ["ingest", "--for", seconds]).exit_code == 2
