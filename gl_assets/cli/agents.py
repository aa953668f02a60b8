"""`gl agents`: sending a command and orchestrating; its other commands are in the modules beside this one."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from gl_assets.cli.agent_keys import keys
from gl_assets.cli.agent_refusals import refused
from gl_assets.cli.agent_registry import health, list_agents_command, watch
from gl_assets.cli.state import databases, say
from resources.agents.broadcaster import Broadcaster
from resources.agents.config import AgentsConfig
from resources.agents.orchestrator import Orchestrator
from resources.agents.requests import Command, Outcome
from resources.core.errors import ConfigError, DataError
from resources.core.logs import setup_logging
from resources.integrations import Integrations, load_integrations

_LEAD_AGAIN_S = 2.0

console = Console(highlight=False)


@click.group()
@click.pass_context
def agents(context: click.Context) -> None:
    """The agents: who is there, how they answer, and commands to them.

    Commands go through the outbox in the database: what `gl agents send` has accepted is sent even if it is killed.
    """
    level = "info" if context.invoked_subcommand == "serve" else "warning"
    context.call_on_close(setup_logging(level).close)


@agents.command()
@click.argument("command")
@click.option("--args", "arguments", default="{}", show_default=True, help="The command's arguments, a JSON object.")
@click.option("--to", "targets", multiple=True, metavar="ID", help="An agent; may be repeated. All agents if absent.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(0.001, 604_800), help="Seconds to wait for answers.")
@click.option(
    "--priority", type=click.Choice(["low", "normal", "high", "critical"]), default="normal", show_default=True
)
@click.option(
    "--message-id", default=None, help="UUIDv7 from an earlier try: the command is then not run a second time."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def send(command: str, **given: Any) -> None:
    """Send COMMAND to agents, wait for their answers and show them; exit code 1 unless all answered."""
    integrations = load_integrations()
    config = _agents_of(integrations)
    asked = Command(
        command,
        _json_object(given["arguments"]),
        given["targets"] or config.targets,
        given["timeout_s"] or config.default_timeout.total_seconds(),
        given["priority"],
        given["message_id"],
    )
    with databases() as found, Broadcaster(config, site=integrations.site, database_url=found.platform) as broadcaster:
        say(f"sending {command} to {len(asked.targets)} agents, answers awaited for up to {asked.timeout_s:g} s")
        outcome = broadcaster.broadcast(asked)
    if given["as_json"]:
        click.echo(json.dumps(_as_json(outcome), default=str))
    else:
        _show(outcome)
    if outcome.answered < len(outcome.results):
        raise SystemExit(1)


agents.add_command(list_agents_command)
agents.add_command(health)
agents.add_command(watch)
agents.add_command(keys)
agents.add_command(refused)


@agents.command()
def serve() -> None:
    """Orchestrate until stopped: send what the outbox holds, store answers, keep the registry.

    A second one waits and takes over when the first ends. `gl agents send` and Dagster's jobs use it where it runs, and
    do its work themselves where none does.
    """
    integrations = load_integrations()
    config = _agents_of(integrations)
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with databases() as found:
        while not ending.is_set():
            orchestrator = Orchestrator(config, site=integrations.site, database_url=found.platform)
            if not orchestrator.try_start():
                orchestrator.discard()
                ending.wait(_LEAD_AGAIN_S)
                continue
            say(f"orchestrating as {config.orchestrator_id}")
            while orchestrator.leading and not ending.wait(0.5):
                pass
            orchestrator.stop()


def _agents_of(integrations: Integrations) -> AgentsConfig:
    if integrations.agents is None:
        raise ConfigError("the configuration has no block `agents`: add it (integrations.example.yaml shows how)")
    return integrations.agents


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f'--args is not JSON ({error}): write an object such as \'{{"objective": "cost"}}\'') from error
    if not isinstance(found, dict):
        raise DataError('--args must be a JSON object, such as \'{"objective": "cost"}\'')
    return found


def _as_json(outcome: Outcome) -> dict[str, Any]:
    latencies = outcome.latencies_ms
    return {
        "message_id": outcome.message.message_id,
        "repeated": outcome.repeated,
        "targeted": len(outcome.results),
        "answered": outcome.answered,
        "slowest_ms": latencies[-1] if latencies else None,
        "results": [dataclasses.asdict(result) for result in outcome.results],
    }


def _show(outcome: Outcome) -> None:
    table = Table("agent", "state", "latency ms", "result or reason")
    for result in outcome.results:
        colour = "green" if result.state == "answered" else "red"
        text = json.dumps(result.result) if result.state == "answered" else result.reason or ""
        table.add_row(result.agent_id, f"[{colour}]{result.state}[/{colour}]", _number(result.latency_ms), text[:120])
    console.print(table)
    console.print(f"{outcome.answered} of {len(outcome.results)} answered; message {outcome.message.message_id}")


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.1f}"
