"""`gl bench erp` in small: that it measures, not what it measures; and the judgement of figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks.erp import bench as erp
from benchmarks.erp import dlt_peer as erp_dlt
from gl_assets.cli.bench import bench
from resources.core.errors import ConfigError
from tests.integration.store_builders import query


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, database_url: str) -> str:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    monkeypatch.setattr(erp, "PAGES", 2)
    return database_url


def test_bench_erp_when_run_then_every_figure_is_there_and_the_scratch_database_is_gone(small: str) -> None:
    parts = [argument for part in ("pull", "land", "memory") for argument in ("--only", part)]
    result = CliRunner().invoke(bench, ["erp", "--json", "--repeats", "1", *parts])

    figures = json.loads(result.stdout.strip().splitlines()[-1])
    assert figures.keys() >= erp.TARGETS.keys() - {"pull_vs_dlt"}
    assert all(figures[name] > 0 for name in figures if "_vs_" in name or name.endswith("_per_s"))
    assert figures["token_requests"] >= 1
    assert (result.exit_code == 1) == bool(figures["missed"])
    assert query(small, "SELECT count(*) FROM pg_database WHERE datname LIKE 'gl_bench%'") == [(0,)]


@pytest.mark.parametrize(
    ("figures", "missed"),
    [
        ({"pull_vs_bare": 0.9, "land_vs_copy": 0.4, "rss_growth_mb": 60.0, "token_requests_beyond_limit": 0}, []),
        ({"pull_vs_bare": 0.89, "pull_vs_dlt": 3.1}, ["pull_vs_bare"]),
        ({"rss_growth_mb": 61.0, "rss_growth_ratio": 1.2}, ["rss_growth_mb", "rss_growth_ratio"]),
        (
            {"connection_reuse": 0.5, "token_requests_beyond_limit": 1},
            ["token_requests_beyond_limit", "connection_reuse"],
        ),
    ],
    ids=["all held", "too slow", "too large", "too many"],
)
def test_missed_when_figures_are_held_against_their_targets_then_those_beyond(
    figures: dict[str, float], missed: list[str]
) -> None:
    assert erp.missed(figures) == missed


def test_bench_erp_when_a_part_is_unknown_then_it_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="there are pull, land, memory, dlt"):
        erp.run(lambda _: None, parts=["airbyte"])


def test_an_environment_when_dlt_cannot_be_installed_then_it_says_which_parts_need_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erp_dlt.venv, "create", lambda *_, **__: None)  # an environment without pip
    with pytest.raises(ConfigError, match="--only pull --only land --only memory"):
        erp_dlt.environment(tmp_path / "dlt", lambda _: None)
