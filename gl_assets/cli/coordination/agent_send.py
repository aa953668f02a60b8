"""`gl agents send` and `gl agents query`: a command to agents, by any strategy, and what they answered."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any, Literal

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gl_assets.cli.state import databases, say
from resources.agents.aggregation.aggregate import aggregate
from resources.agents.aggregation.model import METHODS, Aggregate, Aggregation
from resources.agents.broadcaster import Broadcaster
from resources.agents.config import AgentsConfig, required
from resources.agents.members.directory import CapabilityQuery
from resources.agents.requests import Command, Outcome, Quorum, Request, Retry
from resources.agents.strategies.catalog import STRATEGIES, make_strategy
from resources.agents.wire.message import LONGEST_TIMEOUT_S, PRIORITIES, new_id
from resources.core.errors import DataError
from resources.integrations import load_integrations

console = Console(highlight=False)

Kind = Literal["command", "query"]

_INTERRUPTED = 130
"""Exit code of a program that Ctrl-C has ended."""


class _QuorumType(click.ParamType):  # type: ignore[type-arg]  # generic in click 8.3, not before
    """`3` is three good answers, `60%` those of so many of the agents addressed."""

    name = "N|N%"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Quorum:
        try:
            share = value.endswith("%")
            return Quorum(share=float(value[:-1]) / 100) if share else Quorum(int(value))
        except (ValueError, DataError) as error:
            self.fail(f"{value} is neither a number of good answers nor a share such as 60% ({error})", param, ctx)


_COMMON = (
    click.option("--args", "arguments", default="{}", show_default=True, help="Its arguments, a JSON object."),
    click.option("--to", "targets", multiple=True, metavar="ID", help="An agent; may be repeated. All if absent."),
    click.option("--can", multiple=True, metavar="CAPABILITY", help="Only agents that can do this; may be repeated."),
    click.option("--can-any", multiple=True, metavar="CAPABILITY", help="Only agents that can do one of these."),
    click.option("--cannot", multiple=True, metavar="CAPABILITY", help="Only agents that cannot do this."),
    click.option(
        "--strategy",
        type=click.Choice([name.replace("_", "-") for name in STRATEGIES]),
        default="parallel",
        show_default=True,
        help="Who gets it, in which order.",
    ),
    click.option("--concurrency", type=click.IntRange(1), help="Most agents waited for at a time; parallel: 10."),
    click.option("--all-at-once", is_flag=True, help="No such limit: one signature for all."),
    click.option("--count", type=click.IntRange(1), help="How many agents get it; not for parallel."),
    click.option("--first-good", is_flag=True, help="round-robin: ask the next agent only if the one before it fails."),
    click.option("--turn", help="round-robin: name of the ring whose turn it is."),
    click.option("--exploration", type=click.FloatRange(0, 1), help="load-balanced: share drawn by lot; 0.1."),
    click.option("--seed", type=int, help="load-balanced: makes the lot repeatable."),
    click.option("--quorum", type=_QuorumType(), help="So many good answers are enough, or this share of them."),
    click.option("--retries", type=click.IntRange(0), default=1, show_default=True, help="More sendings if silent."),
    click.option("--retry-after", "retry_after_s", type=click.FloatRange(0, min_open=True), help="Seconds of silence."),
    click.option(
        "--timeout", "timeout_s", type=click.FloatRange(0.001, LONGEST_TIMEOUT_S), help="Seconds until its deadline."
    ),
    click.option("--wait", "wait_s", type=click.FloatRange(0), help="Return after so many seconds; it goes on."),
    click.option("--priority", type=click.Choice(PRIORITIES), default="normal", show_default=True),
    click.option("--message-id", help="UUIDv7 from an earlier try: nothing is then run a second time."),
    click.option("--try-silent", is_flag=True, help="Address agents, too, that were silent several times in a row."),
    click.option("--unchecked", is_flag=True, help="Send arguments that do not fit what the agents have declared."),
    click.option("--dry-run", is_flag=True, help="Only say who would get it."),
    click.option("--aggregate", "method", type=click.Choice(METHODS), help="Put the answers together in this way."),
    click.option("--at", "path", default="", metavar="POINTER", help="--aggregate: where in a result, such as /load."),
    click.option("--weighted", is_flag=True, help="--aggregate: agents count by their performance score."),
    click.option("--tolerance", type=click.FloatRange(0), default=0.0, help="--aggregate: numbers so near are equal."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
)


def _with_common(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_COMMON):
        command = option(command)
    return command


@click.command()
@click.argument("command")
@_with_common
def send(command: str, **given: Any) -> None:
    """Send COMMAND to agents, wait for their answers and show them; exit code 1 unless enough answered well.

    Enough is everyone addressed, or the quorum. Ctrl-C withdraws the command and shows what has come so far.
    """
    _ask("command", command, given)


@click.command()
@click.argument("name")
@_with_common
def query(name: str, **given: Any) -> None:
    """Ask agents the query NAME, which changes nothing, and show their answers; otherwise as `send`."""
    _ask("query", name, given)


def _ask(kind: Kind, name: str, given: dict[str, Any]) -> None:
    integrations = load_integrations()
    config = required(integrations.agents)
    request = _request(kind, name, given, config)
    aggregation = _aggregation(given)
    with (
        databases() as found,
        Broadcaster(config, site=integrations.site, database_url=found.platform) as broadcaster,
    ):
        say(f"{kind} {name}: answers are awaited for up to {request.command.timeout_s:g} s")
        outcome, interrupted = _run(broadcaster, request)
    total = aggregation and aggregate(outcome.results, aggregation, deadline=outcome.message.deadline)
    if given["as_json"]:
        click.echo(json.dumps(_as_json(outcome, total or None), default=str))
    else:
        _show(outcome, total or None)
    if interrupted:
        raise SystemExit(_INTERRUPTED)
    if not outcome.enough and outcome.status != "dry_run":
        raise SystemExit(1)


def _run(broadcaster: Broadcaster, request: Request) -> tuple[Outcome, bool]:
    """Return what came of a request, and whether Ctrl-C has ended it."""
    try:
        return broadcaster.run(request), False
    except KeyboardInterrupt:
        message_id = request.command.message_id
        assert message_id is not None
        if not broadcaster.cancel(message_id):
            raise
        say(f"{request.command.kind} {message_id} is withdrawn: what the broker has may still be run")
        return broadcaster.run(request), True


def _request(kind: Kind, name: str, given: dict[str, Any], config: AgentsConfig) -> Request:
    command = Command(
        name,
        _json_object(given["arguments"]),
        given["targets"],
        given["timeout_s"] or config.default_timeout.total_seconds(),
        given["priority"],
        # known before it is accepted, so that it can be withdrawn
        given["message_id"] or new_id(),
        kind,
        check_args=not given["unchecked"],
    )
    wanted = CapabilityQuery(given["can"], given["can_any"], given["cannot"])
    return Request(
        command,
        make_strategy(given["strategy"].replace("-", "_"), _strategy_options(given)),
        wanted if given["can"] or given["can_any"] or given["cannot"] else None,
        given["quorum"],
        Retry(given["retries"], given["retry_after_s"]),
        given["wait_s"],
        skip_open_circuits=not given["try_silent"],
        dry_run=given["dry_run"],
    )


def _strategy_options(given: dict[str, Any]) -> dict[str, Any]:
    options = {name: given[name] for name in ("concurrency", "count", "turn", "exploration", "seed")}
    options = {name: value for name, value in options.items() if value is not None}
    if given["first_good"]:
        options["stop_at_first_good"] = True
    if given["all_at_once"]:
        if "concurrency" in options:
            raise DataError("--all-at-once and --concurrency contradict each other: give one of them")
        options["concurrency"] = None
    return options


def _aggregation(given: dict[str, Any]) -> Aggregation | None:
    if given["method"] is None:
        return None
    return Aggregation(given["method"], given["path"], weighted=given["weighted"], tolerance=given["tolerance"])


def _json_object(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise DataError(f'--args is not JSON ({error}): write an object such as \'{{"objective": "cost"}}\'') from error
    if not isinstance(found, dict):
        raise DataError('--args must be a JSON object, such as \'{"objective": "cost"}\'')
    return found


def _as_json(outcome: Outcome, total: Aggregate | None) -> dict[str, Any]:
    latencies = outcome.latencies_ms
    told = {
        "message_id": outcome.message.message_id,
        "status": outcome.status,
        "repeated": outcome.repeated,
        "targeted": len(outcome.results),
        "answered": outcome.answered,
        "needed": outcome.needed,
        "enough": outcome.enough,
        "slowest_ms": latencies[-1] if latencies else None,
        "results": [dataclasses.asdict(result) for result in outcome.results],
        "skipped": [dataclasses.asdict(skipped) for skipped in outcome.skipped],
    }
    return told if total is None else {**told, "aggregate": dataclasses.asdict(total)}


def _show(outcome: Outcome, total: Aggregate | None) -> None:
    table = Table("agent", "state", "latency ms", "result or reason")
    for result in outcome.results:
        colour = "green" if result.good else "red" if result.awaited else "yellow"
        text = json.dumps(result.result) if result.good else result.reason or ""
        latency = "" if result.latency_ms is None else f"{result.latency_ms:.1f}"
        # an agent chose these letters: none of them is markup
        table.add_row(result.agent_id, f"[{colour}]{result.state}[/{colour}]", latency, escape(text[:120]))
    for skipped in outcome.skipped:
        table.add_row(skipped.agent_id, "[yellow]skipped[/yellow]", "", escape(skipped.reason[:120]))
    console.print(table)
    enough = "" if outcome.needed is None else f", {outcome.needed} needed"
    ended = {"cancelled": "; withdrawn", "accepted": "; it goes on", "dry_run": "; nothing was sent"}
    console.print(
        f"{outcome.answered} of {len(outcome.results)} answered{enough}{ended.get(outcome.status, '')}; "
        f"message {outcome.message.message_id}"
    )
    if total is not None:
        value = (
            f"{total.method}: {json.dumps(total.value)}" if total.succeeded else f"no {total.method}: {total.reason}"
        )
        console.print(escape(f"{value} (support {total.support:.0%})"))
