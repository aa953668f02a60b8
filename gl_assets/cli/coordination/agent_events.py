"""`gl agents publish` and `gl agents cancel`: an event for whoever listens, and taking a command or event back."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console

from gl_assets.cli.state import databases
from resources.agents.broadcaster import Broadcaster
from resources.agents.config import required
from resources.agents.orchestration.events import EventRequest
from resources.agents.record import outbox
from resources.agents.wire.message import LONGEST_TIMEOUT_S, PRIORITIES
from resources.core.errors import DataError
from resources.databases.timescale.connection import connect
from resources.integrations import load_integrations

console = Console(highlight=False)


@click.command()
@click.argument("topic")
@click.option("--payload", default="{}", show_default=True, help="What it says, as JSON.")
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(0.001, LONGEST_TIMEOUT_S), help="How long it is of use, s."
)
@click.option("--priority", type=click.Choice(PRIORITIES), default="normal", show_default=True)
@click.option("--about", metavar="ID", help="Message id of what it is about (correlation_id).")
@click.option("--message-id", help="UUIDv7 from an earlier try: whoever has it already takes it for the same.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def publish(topic: str, **given: Any) -> None:
    """Publish an event on TOPIC, and return when the broker has it; exit code 1 if it had not in time.

    It is a row of `agents.messages` before it is sent: what was accepted is published even if this is killed.
    """
    integrations = load_integrations()
    config = required(integrations.agents)
    request = EventRequest(
        topic,
        _json(given["payload"]),
        given["timeout_s"] or config.default_timeout.total_seconds(),
        given["priority"],
        given["about"],
        given["message_id"],
    )
    with databases() as found, Broadcaster(config, site=integrations.site, database_url=found.platform) as broadcaster:
        published = broadcaster.publish(request)
    told = {"message_id": published.message.message_id, "status": published.status, "repeated": published.repeated}
    if given["as_json"]:
        click.echo(json.dumps(told))
    else:
        console.print(f"event {told['message_id']} on {topic}: {_SAID.get(published.status, published.status)}")
    if published.status != "done":
        raise SystemExit(1)


_SAID = {"done": "the broker has it", "expired": "no broker took it before its time was over"}


@click.command()
@click.argument("message_id")
def cancel(message_id: str) -> None:
    """Take back the command, query or event MESSAGE_ID: nothing more is sent of it; exit code 1 if it had ended.

    What the broker has taken over already may still be run; an answer that comes is stored.
    """
    config = required(load_integrations().agents)
    with databases() as found, connect(found.platform, autocommit=True) as connection:
        if outbox.cancel(connection, config.orchestrator_id, message_id):
            console.print(f"{message_id} is withdrawn")
            return
        status = outbox.status(connection, message_id)
    if status is None:
        raise DataError(f"message {message_id}: there is none of that id; `gl agents send --json` prints it")
    console.print(f"{message_id} had ended before: {status}")
    raise SystemExit(1)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise DataError(f'--payload is not JSON ({error}): write, say, \'{{"reason": "drum level"}}\'') from error
