"""The checks of the last command, from what its materialisation says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from gl_assets.agents.assets import ASSETS, COMMAND_RESULTS
from gl_assets.agents.checks import CHECKS
from resources.agents.resource import AgentsResource
from resources.wiring import TimescaleResource


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def judged(instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    """Run the checks of the results alone."""
    job = dg.define_asset_job("checks", selection=dg.AssetSelection.checks_for_assets(COMMAND_RESULTS))
    resources = {"agents": AgentsResource.from_config("test", None), "timescale": TimescaleResource(url="")}
    definitions = dg.Definitions(assets=ASSETS, asset_checks=CHECKS, jobs=[job], resources=resources)
    result = definitions.resolve_job_def("checks").execute_in_process(instance=instance)
    return {check.check_name: check for check in result.get_asset_check_evaluations()}


def passed(instance: dg.DagsterInstance, **told: Any) -> dict[str, bool]:
    report = {"targeted": 10, "answered": 10, "not_awaited": 0, "latency_p99_ms": 50.0, "aggregated": True, **told}
    metadata = {name: value for name, value in report.items() if value is not None}
    instance.report_runless_asset_event(dg.AssetMaterialization(COMMAND_RESULTS, metadata=metadata))
    return {name: check.passed for name, check in judged(instance).items()}


def test_checks_when_no_command_was_sent_then_they_say_so(instance: dg.DagsterInstance) -> None:
    found = judged(instance)
    assert {name: check.passed for name, check in found.items()} == {
        "agents_answer_commands": False,
        "agents_answer_fast": True,
        "answers_come_to_a_value": False,
    }
    assert {check.metadata["note"].value for check in found.values()} == {"no command was sent yet"}


@pytest.mark.parametrize(
    ("told", "red"),
    [
        ({}, None),
        ({"answered": 9}, None),
        ({"answered": 8}, "agents_answer_commands"),
        ({"answered": 5, "not_awaited": 5}, None),
        ({"answered": 0, "not_awaited": 10}, "agents_answer_commands"),
        ({"latency_p99_ms": 10_000.0}, "agents_answer_fast"),
        ({"latency_p99_ms": None}, None),
        ({"aggregated": False, "not_aggregated_because": "they differ"}, "answers_come_to_a_value"),
    ],
    ids=["all", "at the limit", "few", "quorum", "nobody awaited", "slow", "no latency", "no value"],
)
def test_checks_when_a_command_was_reported_then_one_is_red_for_each_fault(
    instance: dg.DagsterInstance, told: dict[str, Any], red: str | None
) -> None:
    assert [name for name, is_passed in passed(instance, **told).items() if not is_passed] == ([red] if red else [])
