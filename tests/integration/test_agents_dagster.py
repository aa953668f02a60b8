"""The job `broadcast_command`, the registry asset, the checks and `gl agents`, with real servers."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from gl_assets.agents.assets import ASSETS, COMMAND_RESULTS, REGISTRY
from gl_assets.agents.checks import CHECKS
from gl_assets.agents.jobs import JOBS
from gl_assets.cli.coordination.agents import agents as agents_command
from resources.agents.resource import AgentsResource
from resources.agents.wire.message import new_id
from resources.core.errors import DataError
from resources.embedded.broker import EmbeddedBroker
from resources.wiring import TimescaleResource
from tests.agents_support import SITE, Plant, until


@pytest.fixture
def definitions(plant: Plant) -> dg.Definitions:
    resources = {
        "agents": AgentsResource.from_config(SITE, plant.config, plant.database_url),
        "timescale": TimescaleResource(url=plant.database_url),
    }
    return dg.Definitions(assets=ASSETS, asset_checks=CHECKS, jobs=JOBS, resources=resources)


def run(
    definitions: dg.Definitions, job: str, config: dict[str, Any] | None = None, *, instance: dg.DagsterInstance
) -> dg.ExecuteInProcessResult:
    ops = {} if config is None else {"ops": {"send_command": {"config": config}}}
    return definitions.resolve_job_def(job).execute_in_process(ops, instance=instance, raise_on_error=False)


def told(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    """What the materialisation says."""
    assert result.success
    (made,) = result.asset_materializations_for_node("send_command")
    return {name: value.value for name, value in made.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Why a run failed."""
    assert not result.success
    return str(next(event for event in result.all_events if event.is_step_failure).event_specific_data)


def start_known(plant: Plant) -> None:
    """Start all agents while somebody orchestrates, and so hears their first heartbeats."""
    with plant.broadcaster() as broadcaster:
        assert broadcaster._orchestrator is not None
        broadcaster._orchestrator.wait_connected()
        for agent_id in plant.targets:
            plant.agent(agent_id)
        until(lambda: plant.rows("SELECT count(*) FROM agents.registry") == [(len(plant.targets),)], "all registered")


def test_job_when_run_then_answers_are_stored_and_reported_with_a_passed_check(
    plant: Plant, definitions: dg.Definitions
) -> None:
    for agent_id in plant.targets:
        plant.agent(agent_id)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(definitions, "broadcast_command", {"command": "count", "args": {"n": 3}}, instance=instance)
        assert result.success
        (made,) = result.asset_materializations_for_node("send_command")
        assert made.asset_key == COMMAND_RESULTS
        metadata = {name: value.value for name, value in made.metadata.items()}
        assert (metadata["targeted"], metadata["answered"], metadata["dagster/row_count"]) == (2, 2, 2)
        assert "data:image/png;base64," in metadata["latencies"]
        assert metadata["not_answered"] == "All 2 agents answered."
        assert [check.passed for check in result.get_asset_check_evaluations()] == [True] * 3


def test_job_when_repeated_with_the_same_id_then_nothing_is_run_twice(
    plant: Plant, definitions: dg.Definitions
) -> None:
    plant.agent("GL-002")
    config = {"command": "count", "targets": ["GL-002"], "message_id": new_id()}
    with dg.DagsterInstance.ephemeral() as instance:
        assert run(definitions, "broadcast_command", config, instance=instance).success
        assert run(definitions, "broadcast_command", config, instance=instance).success
    assert len(plant.executions) == 1


def test_job_when_its_run_is_terminated_then_the_command_is_withdrawn_and_its_id_was_in_the_log(
    plant: Plant, definitions: dg.Definitions
) -> None:
    config = {"command": "count", "timeout_seconds": 600, "message_id": new_id()}

    def terminate() -> None:
        until(lambda: plant.rows("SELECT 1 FROM agents.messages WHERE status = 'accepted'"), "accepted")
        # what a run launcher does: the step runs in this process, in its main thread
        os.kill(os.getpid(), signal.SIGINT)

    terminating = threading.Thread(target=terminate)
    with dg.DagsterInstance.ephemeral() as instance:
        terminating.start()
        try:
            assert not run(definitions, "broadcast_command", config, instance=instance).success
        finally:
            terminating.join()
        (stopped,) = instance.get_runs()
        logged = [entry.user_message for entry in instance.all_logs(stopped.run_id)]
        assert any(text.startswith(f"command count: its id is {config['message_id']}; `gl agents") for text in logged)
        assert plant.rows("SELECT message_id, status FROM agents.messages") == [(config["message_id"], "cancelled")]
        again = failure(run(definitions, "broadcast_command", config, instance=instance))
    assert "was withdrawn, and nothing is sent under that id again" in again


def test_job_when_agents_are_silent_then_it_reports_them_and_the_check_warns(
    plant: Plant, definitions: dg.Definitions
) -> None:
    config = {"command": "count", "timeout_seconds": 0.5, "priority": "critical"}
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(definitions, "broadcast_command", config, instance=instance)
        assert result.success
        (made,) = result.asset_materializations_for_node("send_command")
        assert made.metadata["expired"].value == 2
        assert "| GL-002 | expired |" in str(made.metadata["not_answered"].value)
        checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
        passed = {name: check.passed for name, check in checks.items()}
        assert passed == {
            "agents_answer_commands": False,
            "agents_answer_fast": True,
            "answers_come_to_a_value": False,
        }
        assert {check.severity for check in checks.values()} == {dg.AssetCheckSeverity.WARN}
        note = checks["answers_come_to_a_value"].metadata["note"].value
        assert note == "there is no usable answer: 2 missing"


def test_job_when_strategy_and_aggregation_are_configured_then_both_are_followed_and_told(
    plant: Plant, definitions: dg.Definitions
) -> None:
    start_known(plant)
    config = {
        "command": "count",
        "args": {"n": 4},
        "capabilities": {"all": ["heat"], "none": ["smoke"]},
        "strategy": {"name": "capability", "count": 1},
        "aggregation": {"method": "average", "path": "/n", "missing": "fail"},
    }
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(definitions, "broadcast_command", config, instance=instance)
        metadata = told(result)
        assert (metadata["targeted"], metadata["answered"], metadata["kind"]) == (1, 1, "command")
        assert (metadata["aggregation"], metadata["aggregated"], metadata["value"]) == ("average", True, 4.0)
        assert metadata["aggregation_details"] == {
            "answers": 1,
            "least": 4.0,
            "greatest": 4.0,
            "standard_deviation": 0.0,
        }
        assert "| supports | 4 |" in metadata["provenance"]


def test_query_job_when_run_then_a_query_is_sent_and_a_quorum_ends_it(
    plant: Plant, definitions: dg.Definitions
) -> None:
    plant.agent("GL-002")
    config = {"query": "count", "quorum": {"share": 0.5}, "aggregation": {"method": "first"}, "priority": "high"}
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def("query_agents")
        result = job.execute_in_process(config, instance=instance)
        metadata = told(result)
        assert (metadata["kind"], metadata["answered"], metadata["not_awaited"]) == ("query", 1, 1)
        assert metadata["value"] == {"n": 0}
        # whom nobody waited for has not failed to answer
        assert [check.passed for check in result.get_asset_check_evaluations()] == [True] * 3
    assert plant.rows("SELECT message_type, priority, status FROM agents.messages") == [("query", "high", "done")]


def test_event_job_when_run_then_the_event_is_published_signed_and_kept(
    plant: Plant, definitions: dg.Definitions
) -> None:
    wire = plant.wire()
    config = {"topic": "energy_efficiency", "payload": {"boiler": "B1", "efficiency": 0.9}, "priority": "low"}
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def("publish_event")
        assert job.execute_in_process({"ops": {"send_event": {"config": config}}}, instance=instance).success
    (event,) = until(lambda: wire.messages("event"), "the event")
    assert (event.topic, event.payload, event.priority) == ("energy_efficiency", config["payload"], "low")
    assert event.source_agent == "GL-001"
    row = "SELECT message_id, message_type, topic, status FROM agents.messages"
    assert plant.rows(row) == [(event.message_id, "event", "energy_efficiency", "done")]


def test_event_job_when_it_cannot_be_sent_then_it_fails_saying_why(plant: Plant, definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("publish_event")
    with dg.DagsterInstance.ephemeral() as instance:
        wrong = {"ops": {"send_event": {"config": {"topic": "gossip"}}}}
        assert "no topic gossip" in failure(job.execute_in_process(wrong, instance=instance, raise_on_error=False))


def test_event_job_when_the_broker_is_away_until_the_deadline_then_it_fails_saying_so(
    plant: Plant, definitions: dg.Definitions, broker: EmbeddedBroker
) -> None:
    broker.stop()
    job = definitions.resolve_job_def("publish_event")
    config = {"ops": {"send_event": {"config": {"topic": "emergency", "timeout_seconds": 0.5}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(config, instance=instance, raise_on_error=False)
        assert "is expired: the broker had not taken it over" in failure(result)


def test_job_when_its_configuration_contradicts_itself_then_it_fails_for_good_saying_what_to_change(
    definitions: dg.Definitions,
) -> None:
    wrong: dict[str, dict[str, Any]] = {
        "strategy parallel: it has no count": {"strategy": {"name": "parallel", "count": 3}},
        "say which capabilities are wanted": {"strategy": {"name": "capability"}},
        "quorum: give either": {"quorum": {"count": 1, "share": 0.5}},
        "path 'n' is not a JSON Pointer": {"aggregation": {"path": "n"}},
    }
    with dg.DagsterInstance.ephemeral() as instance:
        for message, config in wrong.items():
            result = run(definitions, "broadcast_command", config, instance=instance)
            assert message in failure(result)


def test_job_when_coordination_is_off_then_it_fails_saying_what_to_add(database_url: str) -> None:
    resources = {
        "agents": AgentsResource.from_config(SITE, None),
        "timescale": TimescaleResource(url=database_url),
    }
    definitions = dg.Definitions(assets=ASSETS, asset_checks=CHECKS, jobs=JOBS, resources=resources)
    with dg.DagsterInstance.ephemeral() as instance:
        result = run(definitions, "broadcast_command", {}, instance=instance)
        assert "no block `agents`" in failure(result)


def test_registry_when_an_agent_is_away_then_the_snapshot_and_its_check_say_so(
    plant: Plant, definitions: dg.Definitions
) -> None:
    with plant.broadcaster() as broadcaster:
        assert broadcaster._orchestrator is not None
        broadcaster._orchestrator.wait_connected()
        plant.agent("GL-002")
        away = plant.agent("GL-003")
        until(lambda: plant.rows("SELECT count(*) FROM agents.registry") == [(2,)], "online")
        away.stop()
        until(lambda: plant.rows("SELECT 1 FROM agents.registry WHERE status = 'offline'"), "offline")
        with dg.DagsterInstance.ephemeral() as instance:
            result = run(definitions, "agent_registry_job", instance=instance)
            (made,) = [e.step_materialization_data.materialization for e in result.get_asset_materialization_events()]
            assert made.asset_key == REGISTRY
            assert made.metadata["dagster/row_count"].value == 2
            assert made.metadata["not_online"].value == ["GL-003"]
            assert [check.passed for check in result.get_asset_check_evaluations()] == [False]


def test_gl_agents_when_asked_then_it_sends_lists_and_shows_health(plant: Plant, gl: CliRunner) -> None:
    with plant.broadcaster() as broadcaster:
        assert broadcaster._orchestrator is not None
        broadcaster._orchestrator.wait_connected()
        assert "no agent has been heard" in gl.invoke(agents_command, ["list"]).stdout
        for agent_id in plant.targets:
            plant.agent(agent_id)
        until(lambda: plant.rows("SELECT count(*) FROM agents.registry") == [(2,)], "registered")
        sent = gl.invoke(agents_command, ["send", "count", "--args", '{"n": 5}', "--json"])
        assert sent.exit_code == 0, sent.output
        told = json.loads(sent.stdout)
        assert (told["targeted"], told["answered"]) == (2, 2)
        assert [item["result"] for item in told["results"]] == [{"n": 5}, {"n": 5}]
        table = gl.invoke(agents_command, ["send", "count", "--to", "GL-002"])
        assert "1 of 1 answered" in table.stdout
        listed = json.loads(gl.invoke(agents_command, ["list", "--json"]).stdout)
        assert [item["agent_id"] for item in listed] == ["GL-002", "GL-003"]
        assert "GL-003" in gl.invoke(agents_command, ["list"]).stdout
        health = json.loads(gl.invoke(agents_command, ["health", "--json"]).stdout)
        assert [(item["agent_id"], item["answered"]) for item in health] == [("GL-002", 2), ("GL-003", 1)]
        assert "GL-002" in gl.invoke(agents_command, ["health"]).stdout


def test_gl_agents_send_when_not_answered_or_misused_then_exit_code_1_and_the_reason(
    plant: Plant, gl: CliRunner
) -> None:
    silent = gl.invoke(agents_command, ["send", "count", "--timeout", "0.5"])
    assert silent.exit_code == 1
    assert "0 of 2 answered" in silent.stdout
    assert "not JSON" in str(gl.invoke(agents_command, ["send", "count", "--args", "{"]).exception)
    assert "JSON object" in str(gl.invoke(agents_command, ["send", "count", "--args", "[]"]).exception)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["send", "count", "--to", "GL-002,GL-003"], "command count: target_agents.0 'GL-002,GL-003': "),
        (["send", "count", "--message-id", "foo"], "command count: message_id 'foo': "),
        (["query", "count", "--dry-run", "--to", "GL 2"], "query count: target_agents.0 'GL 2': "),
        (["send", "count", "--args", f'{{"n": {2**70}}}', "--unchecked"], "cannot be written as JSON"),
        (["send", "count", "--args", f'{{"n": {2**70}}}', "--unchecked", "--dry-run"], "cannot be written as JSON"),
        (["send", "count", "--args", '{"n": ' + "[" * 62 + "]" * 62 + "}", "--unchecked"], "nested deeper than 64"),
        (["publish", "bad topic!"], "event on bad topic!: topic 'bad topic!': "),
        (["publish", "emergency", "--about", "x"], "event on emergency: correlation_id 'x': "),
        (["publish", "emergency", "--payload", str(2**70)], "cannot be written as JSON"),
    ],
)
def test_gl_agents_when_something_is_mistyped_then_one_sentence_says_what_and_nothing_is_stored(
    plant: Plant, gl: CliRunner, words: list[str], told: str
) -> None:
    error = gl.invoke(agents_command, words).exception
    assert isinstance(error, DataError)
    assert told in str(error)
    assert plant.rows("SELECT 1 FROM agents.messages") == []


def test_job_when_an_agent_id_is_mistyped_then_it_fails_for_good(plant: Plant, definitions: dg.Definitions) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        config = {"command": "count", "targets": ["GL-002,GL-003"], "message_id": new_id()}
        result = run(definitions, "broadcast_command", config, instance=instance)
        (failed,) = [event for event in result.all_events if event.is_step_failure]
        assert "target_agents.0 'GL-002,GL-003'" in failure(result)
    assert failed.step_failure_data.user_failure_data is not None


@pytest.mark.parametrize("number", [2**53 + 1, -0.0, 1e22, 5e-324], ids=str)
def test_command_when_repeated_with_a_number_that_the_table_writes_otherwise_then_it_is_the_same(
    plant: Plant, number: float
) -> None:
    message_id = new_id()
    with plant.broadcaster() as broadcaster:
        for repeated in (False, True):
            command = plant.command(targets=["GL-002"], args={"n": number}, message_id=message_id)
            assert broadcaster.accept(command).repeated is repeated


def test_gl_agents_keys_when_called_then_keys_are_made_and_rotated(gl: CliRunner, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    made = json.loads(gl.invoke(agents_command, ["keys", str(folder), "--json"]).stdout)
    assert made["agents"] == ["GL-001", "GL-002", "GL-003"]
    assert gl.invoke(agents_command, ["keys", str(folder), "--agent", "GL-002", "--rotate"]).exit_code == 0
    kids = [key["kid"] for key in json.loads((folder / "public-keys.jwks").read_text())["keys"]]
    assert kids == ["GL-001:1", "GL-002:1", "GL-003:1", "GL-002:2"]
    assert gl.invoke(agents_command, ["keys", str(folder), "--rotate"]).exit_code == 2
