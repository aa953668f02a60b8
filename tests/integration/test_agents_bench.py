"""`gl bench agents` in small: that it measures, not what it measures; and the judgement of figures."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from benchmarks.agents import bench as agents
from benchmarks.agents import capability as agents_capability
from gl_assets.cli.bench import AGENTS_PARTS, bench
from resources.core.errors import ConfigError
from tests.integration.store_builders import query


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    monkeypatch.setattr(agents, "AGENTS", 3)
    monkeypatch.setattr(agents, "MANY", 4)
    monkeypatch.setattr(agents, "SEARCHES", 20)
    monkeypatch.setattr(agents_capability, "AGENTS", 50)
    return database_url


def test_bench_agents_when_run_then_every_figure_is_there_and_the_scratch_database_is_gone(small: str) -> None:
    result = CliRunner().invoke(bench, ["agents", "--json", "--broadcasts", "3"])

    figures = json.loads(result.stdout.strip().splitlines()[-1])
    assert figures.keys() >= agents.TARGETS.keys() | agents.GOALS.keys()
    assert (figures["agents"], figures["thousand_agents"], figures["registry_agents"]) == (3, 4, 50)
    assert figures["thousand_complete"] == 1.0
    assert all(figures[name] > 0 for name in figures if name.endswith(("_ms", "_per_s", "_vs_bare")))
    assert (result.exit_code == 1) == bool(figures["missed"])
    assert query(small, "SELECT count(*) FROM pg_database WHERE datname LIKE 'gl_bench%'") == [(0,)]


@pytest.mark.parametrize(
    ("figures", "missed", "goals"),
    [
        ({"fanout_vs_bare": 2.5, "messages_per_s": 3000, "capability_query_ms": 5.0}, [], []),
        ({"fanout_vs_bare": 2.51, "fanout_p99_ms": 80.1}, ["fanout_vs_bare"], ["fanout_p99_ms"]),
        ({"messages_per_s": 1000, "message_p99_ms": 10.1}, [], ["message_p99_ms", "messages_per_s"]),
        ({"thousand_complete": 0.999, "capability_stale_s": 1.1}, ["capability_stale_s", "thousand_complete"], []),
    ],
    ids=["all held", "too slow", "goals alone", "incomplete"],
)
def test_missed_when_figures_are_held_against_targets_and_goals_then_those_beyond(
    figures: dict[str, float], missed: list[str], goals: list[str]
) -> None:
    assert agents.missed(figures) == missed
    assert agents.missed(figures, agents.GOALS) == goals


def test_bench_agents_when_a_part_is_unknown_then_it_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="there are fanout, message, throughput, capability, thousand"):
        agents.run(lambda _: None, parts=["tarot"])


def test_bench_agents_when_its_parts_are_listed_for_the_command_then_they_are_the_same() -> None:
    assert AGENTS_PARTS == agents.PARTS
