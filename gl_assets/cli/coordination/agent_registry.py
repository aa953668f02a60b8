"""`gl agents list`, `health` and `watch`: who is there, how they answer, and both live."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import click
import psycopg
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gl_assets.cli.coordination.agent_watch import COLOURS, Look, changes, shown, shown_status, take_look, view
from gl_assets.cli.state import databases
from resources.agents.members.agent_list import ListedAgent, agent_health, list_agents
from resources.agents.members.directory import CapabilityQuery
from resources.agents.members.health import NEVER_HEARD, OFFLINE
from resources.core.errors import UnreachableError
from resources.databases.timescale.connection import connect, describe
from resources.integrations import load_integrations

console = Console(highlight=False)


@click.command(name="list")
@click.option("--can", multiple=True, metavar="CAPABILITY", help="Only agents that can do this; may be repeated.")
@click.option("--can-any", multiple=True, metavar="CAPABILITY", help="Only agents that can do one of these.")
@click.option("--cannot", multiple=True, metavar="CAPABILITY", help="Only agents that cannot do this.")
@click.option("--status", type=click.Choice(tuple(COLOURS)), default=None, help="Only agents that are so.")
@click.option("--type", "agent_type", default=None, metavar="TYPE", help="Only agents of this type.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_agents_command(
    *,
    can: tuple[str, ...],
    can_any: tuple[str, ...],
    cannot: tuple[str, ...],
    status: str | None,
    agent_type: str | None,
    as_json: bool,
) -> None:
    """List every agent that agents.yaml declares or that was ever heard of, as it is now."""
    query = CapabilityQuery(can, can_any, cannot)
    with databases() as found, connect(found.platform) as connection:
        known = list_agents(connection)
    rows = [
        row
        for row in known
        if query.matches(row.capabilities) and status in (None, row.status) and agent_type in (None, row.agent_type)
    ]
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(row) for row in rows], default=str))
    elif not known:
        console.print(
            "no agent has been heard of yet, and none is declared: heartbeats are taken, and agents.yaml is read, "
            "while `gl up` or `gl agents serve` runs"
        )
    else:
        console.print(_listed(rows))
        if len(rows) < len(known):
            console.print(f"{len(rows)} of {len(known)} agents")


@click.command()
@click.option(
    "--hours", type=click.FloatRange(0.01, 8760), default=24.0, show_default=True, help="How far to look back."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def health(*, hours: float, as_json: bool) -> None:
    """Show how each agent is, its score, and how it answered lately, with latencies in milliseconds.

    That is every agent of the registry and every target of the configuration.
    """
    config = load_integrations().agents
    with databases() as found, connect(found.platform) as connection:
        listed = {row.agent_id: row for row in list_agents(connection)}
        agent_ids = sorted({*listed, *(config.targets if config is not None else ())})
        answers = agent_health(connection, agent_ids, span=timedelta(hours=hours))
    merged = [{**dataclasses.asdict(row), **_standing(listed.get(row.agent_id))} for row in answers]
    if as_json:
        click.echo(json.dumps(merged, default=str))
        return
    table = Table("agent", "status", "score", "commands", "answered", "failed", "missed", "p50 ms", "p99 ms", "why")
    for row in merged:
        numbers = (str(row[name]) for name in ("commands", "answered", "failed", "missed"))
        latencies = (_number(row[name]) for name in ("latency_p50_ms", "latency_p99_ms"))
        score, why = _number(row["performance_score"], 2), shown(row["status_reason"])
        table.add_row(row["agent_id"], shown_status(row["status"]), score, *numbers, *latencies, why)
    console.print(table)


@click.command()
@click.option("--every", "every_s", type=click.FloatRange(0.1, 60), default=1.0, show_default=True, help="Seconds.")
@click.option("--for", "for_s", type=click.FloatRange(0), default=None, help="End after so many seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line per change, the first with all agents.")
def watch(*, every_s: float, for_s: float | None, as_json: bool) -> None:
    """Watch the agents: who comes, goes and is unwell, and the last commands, until Ctrl-C."""
    ends = None if for_s is None else time.monotonic() + for_s
    with databases() as found, connect(found.platform, autocommit=True) as connection:
        try:
            if as_json:
                _print_changes(lambda: take_look(connection), every_s, ends)
            else:
                _show_live(lambda: take_look(connection), every_s, ends)
        except KeyboardInterrupt:
            return
        except psycopg.OperationalError as error:
            raise UnreachableError(
                f"database {describe(found.platform)}: the connection was lost ({str(error).strip()}); check that the "
                "server runs, and watch again",
                source="database",
            ) from error


def _show_live(look: Callable[[], Look], every_s: float, ends: float | None) -> None:
    # where stdout is a file or a pipe, pictures over pictures are of no use: the last one is printed
    screen = console.is_terminal
    last = look()
    shown = Live(view(last, console.height), console=console, screen=screen, auto_refresh=False)
    with shown if screen else nullcontext():
        while _wait(every_s, ends):
            last = look()
            if screen:
                shown.update(view(last, console.height), refresh=True)
    console.print(view(last, console.height))


def _print_changes(look: Callable[[], Look], every_s: float, ends: float | None) -> None:
    before: Sequence[ListedAgent] = ()
    while True:
        seen = look()
        for line in changes(before, seen.agents):
            click.echo(json.dumps({"at": seen.at.isoformat(), **line}))
        before = seen.agents
        if not _wait(every_s, ends):
            return


def _wait(every_s: float, ends: float | None) -> bool:
    """Return whether to look again, then."""
    pause = every_s if ends is None else min(every_s, ends - time.monotonic())
    if pause <= 0:
        return False
    time.sleep(pause)
    return True


def _listed(rows: Sequence[ListedAgent]) -> Table:
    table = Table("agent", "name", "type", "status", "why", "score", "last heartbeat", "declared", "capabilities")
    for row in rows:
        heard = f"{row.last_heartbeat:%Y-%m-%d %H:%M:%S}" if row.last_heartbeat else ""
        table.add_row(
            row.agent_id,
            shown(row.agent_name),
            shown(row.agent_type),
            shown_status(row.status),
            shown(row.status_reason),
            _number(row.performance_score, 2),
            heard,
            "yes" if row.declared else "no",
            shown(", ".join(row.capabilities)),
        )
    return table


def _standing(row: ListedAgent | None) -> dict[str, Any]:
    if row is None:
        return {"status": OFFLINE, "status_reason": NEVER_HEARD, "performance_score": None, "last_heartbeat": None}
    names = ("status", "status_reason", "performance_score", "last_heartbeat")
    return {name: getattr(row, name) for name in names}


def _number(value: float | None, digits: int = 1) -> str:
    return "" if value is None else f"{value:.{digits}f}"
