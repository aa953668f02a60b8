"""The configurations that the how-to and the demo show are ones that the jobs and the platform take."""

from __future__ import annotations

import re

import dagster as dg
import yaml

from gl_assets.cli.running.demo_run import _broadcast_config
from gl_assets.definitions import defs
from resources.core.configuration.settings import parse_yaml
from resources.integrations import Integrations, example_path

HOW_TO = example_path().parent / "docs" / "how-to" / "agents-answers.md"
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.S)]


def test_how_to_when_its_run_configurations_are_given_to_the_jobs_then_taken() -> None:
    command, query, event, _ = BLOCKS
    for job, config in (("broadcast_command", command), ("query_agents", query), ("publish_event", event)):
        assert dg.validate_run_config(defs.resolve_job_def(job), config)


def test_how_to_when_its_configuration_is_added_then_the_platform_takes_it() -> None:
    text = yaml.safe_load(example_path().read_text(encoding="utf-8"))
    text["agents"].update(BLOCKS[3]["agents"])
    config = parse_yaml(yaml.safe_dump(text), Integrations, name="how-to")
    assert config.agents is not None
    assert config.agents.efficiency_query.below == 0.85


def test_demo_when_it_sends_its_command_then_the_job_takes_it() -> None:
    assert dg.validate_run_config(defs.resolve_job_def("broadcast_command"), _broadcast_config())
