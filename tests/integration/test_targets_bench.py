"""`gl bench targets` in small: that it measures and finds planted faults, not how fast; and the judgement of figures."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from benchmarks.agents import capability as agents_capability
from benchmarks.targets import agents as targets_agents
from benchmarks.targets import bench as targets
from benchmarks.targets import erp as targets_erp
from benchmarks.targets import faults as targets_faults
from benchmarks.targets import page as targets_page
from benchmarks.targets import plant as targets_plant
from benchmarks.targets import readings as targets_readings
from benchmarks.targets import system as targets_system
from benchmarks.targets import transforms as targets_transforms
from benchmarks.targets.listed import PARTS, TARGETS, judged, missed
from gl_assets.cli.bench import TARGETS_PARTS, bench
from resources.core.errors import ConfigError
from tests.integration.store_builders import query

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "targets.md"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    for module, names in {
        targets_erp: {"REPEATS": 1, "PER_MINUTE": 60_000, "PAGES": 2},
        targets_agents: {"AGENTS": 3, "BROADCASTS": 3, "MESSAGES": 5, "SEARCHES": 20, "REPEATS": 4},
        agents_capability: {"AGENTS": 50},
        targets_transforms: {"REPEATS": 1},
        targets_faults: {"SENSORS": 11, "SECONDS": 150},
    }.items():
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)
    return database_url


def test_bench_targets_when_run_then_every_figure_is_judged_and_planted_faults_are_found(
    small: str, tmp_path: Path
) -> None:
    page = tmp_path / "targets.md"
    page.write_text(f"before\n{targets_page.BEGIN}\n{targets_page.END}\nafter\n")
    parts = ["erp", "agents", "transforms", "faults"]
    arguments = [argument for part in parts for argument in ("--only", part)]
    result = CliRunner().invoke(bench, ["targets", "--json", *arguments, "--page", str(page)])

    found = json.loads(result.stdout.strip().splitlines()[-1])
    rows = {row["name"]: row for row in found["targets"]}
    assert rows.keys() == {name for name, target in TARGETS.items() if target.part in parts}
    assert all(row.keys() >= {"name", "target", "unit", "measured", "met"} for row in rows.values())
    assert rows["faults_readings_found"]["measured"] == rows["faults_records_found"]["measured"] == 1.0
    assert rows["faults_false_alarms"]["measured"] < 0.01
    assert rows["erp_connection_reuse"]["measured"] > 0
    assert (result.exit_code == 1) == bool(found["missed"])
    assert all(f"`{name}`" in page.read_text() for name in rows)
    assert query(small, "SELECT count(*) FROM pg_database WHERE datname LIKE 'gl_bench%'") == [(0,)]


async def test_readings_when_one_device_of_each_protocol_is_asked_then_connections_and_reads_take_some_time(
    broker: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(targets_readings, "CONNECTIONS", 2)
    monkeypatch.setattr(targets_readings, "READS", 3)
    figures = await targets_readings._single(broker.port, lambda _: None)  # type: ignore[attr-defined]

    connects = {f"connect_{kind}_ms" for kind in ("modbus", "opc_ua", "mqtt")}
    assert figures.keys() == connects | {"read_modbus_ms", "read_opc_ua_ms"}
    assert all(figure > 0 for figure in figures.values())
    assert targets_readings._buffered(lambda _: None) > 0


@pytest.mark.parametrize(
    ("figures", "met", "beyond"),
    [
        ({"erp_token_s": 1.0, "readings_per_s": 10_000}, [True, True], []),
        ({"erp_token_s": 1.01, "readings_per_s": 9_999}, [False, False], ["readings_per_s", "erp_token_s"]),
        ({"erp_100_requests_s": 59.3}, [True], []),
        ({"erp_100_requests_s": 40.0}, [False], ["erp_100_requests_s"]),
        ({"system_memory_mb": 1_100.0}, [False], []),
        ({"system_cpu_cores": 0.3}, [None], []),
    ],
    ids=["at the limit", "beyond", "about", "too quick for a limit", "told, not held", "no limit"],
)
def test_targets_when_figures_are_judged_then_those_beyond_are_missed(
    figures: dict[str, float], met: list[bool | None], beyond: list[str]
) -> None:
    assert sorted(map(str, (row["met"] for row in judged(figures)))) == sorted(map(str, met))
    assert missed(figures) == beyond


def test_bench_targets_when_a_part_is_unknown_then_it_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="there are readings, erp, agents, transforms, faults, system"):
        targets.run(lambda _: None, parts=["tarot"])


def test_bench_targets_when_its_parts_are_listed_for_the_command_then_they_are_the_same() -> None:
    assert TARGETS_PARTS == PARTS == tuple(dict.fromkeys(target.part for target in TARGETS.values()))


def test_page_when_it_is_in_the_documentation_then_it_has_every_target_as_it_is_declared() -> None:
    text = PAGE.read_text()
    for name, target in TARGETS.items():
        assert f"| {target.wording} | {target.words()} | " in text
        assert f"`{name}` |" in text


def test_page_when_one_part_is_measured_then_figures_of_the_others_stay(tmp_path: Path) -> None:
    page = tmp_path / "targets.md"
    page.write_text(PAGE.read_text())
    machine = {"cpus": 2, "memory_gib": 8, "python": "3.11", "load_before": 0.1}
    targets_page.write(page, {"machine": machine, "targets": judged({"erp_token_s": 0.123})})

    before, now = PAGE.read_text(), page.read_text()
    assert "| Token | at most 1 s | 0.123 s | yes | `erp_token_s` |" in now
    assert [line for line in before.splitlines() if "agent_message" in line] == [
        line for line in now.splitlines() if "agent_message" in line
    ]
    assert before.partition(targets_page.END)[2] == now.partition(targets_page.END)[2]


@pytest.mark.parametrize(
    ("text", "said"), [(None, "No such file"), ("nothing\n", "has no place for the table")], ids=["absent", "no place"]
)
def test_page_when_it_cannot_be_renewed_then_it_says_why(tmp_path: Path, text: str | None, said: str) -> None:
    page = tmp_path / "page.md"
    if text is not None:
        page.write_text(text)
    with pytest.raises(ConfigError, match=said):
        targets_page.write(page, {"machine": {}, "targets": []})


@pytest.mark.parametrize(
    ("command", "part"),
    [
        ("gl up supervisord python -m dagster api grpc -m gl_assets.definitions python -c run", "dagster"),
        ("supervisord python -m gl_assets.cli.main collect", "collector"),
        ("supervisord python -m gl_assets.cli.main agents serve", "orchestrator"),
        ("supervisord bin/postgres -D home/postgres postgres: checkpointer", "database"),
        ("supervisord python -m resources.demo_plant.agents --config x", "simulated"),
        ("supervisord -c supervisord.conf", None),
    ],
)
def test_part_of_when_given_the_command_of_a_program_and_its_forebears_then_names_the_part(
    command: str, part: str | None
) -> None:
    assert targets_system.part_of(command) == part


def test_watch_when_it_looks_at_a_program_then_memory_and_cpu_are_told_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets_system, "LOOK_S", 0.3)
    monkeypatch.setattr(targets_system, "EVERY_S", 0.05)
    busy = "import sys\nprint('up', flush=True)\nwhile True: pass"
    with subprocess.Popen([sys.executable, "-c", busy, "dagster._daemon"], stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            program.stdout.readline()
            watch = targets_system.Watch(psutil.Process())
            watch.wait_until_up(program)
            cores = watch.look()
        finally:
            program.kill()
    assert cores["dagster"] > 0
    assert min(watch.memory["dagster"]) > 1
    assert set(watch.memory["collector"]) == {0.0}


def test_plant_when_no_fault_is_planted_then_values_neither_jump_nor_stand_still() -> None:
    values = [arriving.values[0] for arriving in targets_plant.seconds(1, 100)]
    changes = [abs(after - before) for before, after in pairwise(values)]
    assert min(changes) > 0
    assert max(changes) < targets_plant.MAX_RATE
