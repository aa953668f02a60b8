"""`gl agents`: orchestrating; its other commands are in the modules beside this one."""

from __future__ import annotations

import signal
import threading

import click

from gl_assets.cli.coordination.agent_events import cancel, publish
from gl_assets.cli.coordination.agent_keys import keys
from gl_assets.cli.coordination.agent_refusals import refused
from gl_assets.cli.coordination.agent_registry import health, list_agents_command, watch
from gl_assets.cli.coordination.agent_send import query, send
from gl_assets.cli.state import databases, say
from resources.agents.config import required
from resources.agents.orchestration.orchestrator import Orchestrator
from resources.core.process.logs import setup_logging
from resources.core.process.memory import collect_rarely, release_unused
from resources.integrations import load_integrations

_LEAD_AGAIN_S = 2.0


@click.group()
@click.pass_context
def agents(context: click.Context) -> None:
    """The agents: who is there, how they answer, and commands to them.

    Commands go through the outbox in the database: what `gl agents send` has accepted is sent even if it is killed.
    """
    level = "info" if context.invoked_subcommand == "serve" else "warning"
    context.call_on_close(setup_logging(level).close)


agents.add_command(list_agents_command)
agents.add_command(health)
agents.add_command(watch)
agents.add_command(keys)
agents.add_command(refused)
agents.add_command(send)
agents.add_command(query)
agents.add_command(publish)
agents.add_command(cancel)


@agents.command()
def serve() -> None:
    """Orchestrate until stopped: send what the outbox holds, store answers, keep the registry.

    A second one waits and takes over when the first ends. `gl agents send` and Dagster's jobs use it where it runs, and
    do its work themselves where none does.
    """
    integrations = load_integrations()
    config = required(integrations.agents)
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
            release_unused()
            collect_rarely()
            while orchestrator.leading and not ending.wait(0.5):
                pass
            orchestrator.stop()
