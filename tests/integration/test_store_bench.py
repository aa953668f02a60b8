"""`gl bench store` from end to end, with little data: that it measures, not what it measures."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from benchmarks.store import bare_copy as store_copy
from benchmarks.store import bench as bench_store
from benchmarks.store import layout as store_layout
from benchmarks.store import persist as store_persist
from benchmarks.store import workload as store_workload
from gl_assets.cli.bench import bench
from tests.integration.store_builders import query


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    monkeypatch.setattr(store_workload, "SENSORS", 8)
    monkeypatch.setattr(store_workload, "SECONDS", 400)
    monkeypatch.setattr(store_layout, "SENSORS", 8)
    monkeypatch.setattr(store_layout, "ROWS", 80)
    monkeypatch.setattr(store_layout, "WINDOWS", 2)
    monkeypatch.setattr(store_layout, "DAY_WINDOWS", 3)
    monkeypatch.setattr(store_persist, "TO_SQL_ROWS", 50)
    monkeypatch.setattr(bench_store, "COMPANIONS", ("benchmarks.no_such_module",))
    return database_url


def test_bench_store_when_run_then_every_ratio_is_there_and_the_scratch_database_is_gone(small: str):
    result = CliRunner().invoke(bench, ["store", "--json", "--repeats", "1"])

    figures = json.loads(result.stdout.strip().splitlines()[-1])
    ratios = {name for name in figures if "_vs_" in name}
    assert ratios >= bench_store.TARGETS.keys() - {"buffer_vs_disk", "buffer_read_per_s"}
    assert all(figures[name] > 0 for name in ratios)
    assert figures["reads"].keys() == set(store_layout.QUERIES)
    assert all(ratio > 0 for ratio in figures["reads"].values())
    assert (result.exit_code == 1) == bool(figures["missed"])
    assert query(small, "SELECT count(*) FROM pg_database WHERE datname LIKE 'gl_bench%'") == [(0,)]


def test_bench_store_when_shown_as_a_table_then_figures_have_dotted_names(small: str):
    result = CliRunner().invoke(bench, ["store", "--only", "reads", "--repeats", "1"])

    assert "reads.one_sensor_a_day" in result.stdout
    assert "machine.cpus" in result.stdout


def test_missed_when_figures_are_below_their_targets_then_they_are_named():
    figures = {"persist_vs_copy": 0.5, "layout_vs_text_key": 2.0, "reads": {"a": 1.6, "b": 1.5}}

    assert bench_store.missed(figures) == ["persist_vs_copy", "reads.a"]


def test_bare_copy_when_the_server_does_not_see_the_file_then_the_bytes_go_over_the_connection(
    database_url: str, tmp_path: Path
):
    tmp_path.chmod(0o700)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (time int8)")
        copy = store_copy.BareCopy(connection, tmp_path)
        copy.where = "COPY over the connection"
        assert copy.seconds("t", ("time",), store_copy.encode({"time": [1, 2]}, {"time": "i8"})) > 0
        assert connection.execute("SELECT array_agg(time) FROM t").fetchone() == ([1, 2],)
