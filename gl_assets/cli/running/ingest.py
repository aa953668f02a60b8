"""`gl ingest`: collect for a while, store the closed windows, print the counts. Cron's and the tester's entry."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape

from gl_assets.cli.running import counts
from gl_assets.cli.running.demo import print_counts
from gl_assets.cli.state import console, databases, only_one, say
from resources.core.process.home import gl_home
from resources.core.process.logs import setup_logging
from resources.core.process.scrubbing import secrets_in
from resources.databases.timescale.quality.gate_results import GAPS_GATE
from resources.integrations import Integrations, load_integrations
from resources.window_buffer.reader import BufferReader

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from gl_assets.scada.run import WindowsRun
    from resources.databases.timescale.window_store.counts import StoredCounts
    from resources.window_buffer.model import SourceCounts
    from sensors.collector.state import SourceState

_MOST_SHOWN = 10


@click.command()
@click.option(
    "--for",
    "seconds",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    help="Seconds to collect for.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end of stdout.")
def ingest(*, seconds: float, as_json: bool) -> None:
    """Collect for a while, close every window that holds readings, store them, print the counts.

    Needs no running platform: the runs are executed in this process, and recorded in Dagster all the same. Without
    GL_DATABASE_URL the embedded database is started for the length of the command. The counts are of this run, and of
    what earlier ones had left unstored. Exit code 1 if a reading was lost, or a window could not be stored.
    """
    config = load_integrations()
    setup_logging(config.logs.level, config.logs.dir, secrets=secrets_in(config))
    with only_one(gl_home(), "gl ingest"), databases() as found:
        collected = _collect(config, seconds)
        say("storing the closed windows")
        # Dagster takes seconds to import: not before the readings are safe
        from gl_assets.scada.run import due_windows, ranges_of, run_windows

        due = due_windows(config, gl_home(), found.platform)
        before = counts.stored_of(config, found.platform, due)
        outcome = run_windows(config, gl_home(), found.platform, ranges_of(config, due))
        result = _result(config, found.platform, outcome, _Run(collected, due, before))
    if as_json:
        click.echo(json.dumps(result))
    else:
        print_counts(result)
    for line in faults(outcome):
        console.print(f"[red]{escape(line)}[/red]")
    if result["lost"] > 0 or result["duplicated"] or outcome.failed:
        sys.exit(1)


def faults(outcome: WindowsRun) -> list[str]:
    """Return what to tell of windows that are not stored: which, and why; a run of many windows fails once."""
    if not outcome.failed:
        return []
    shown = ", ".join(outcome.failed[:_MOST_SHOWN])
    more = f" and {len(outcome.failed) - _MOST_SHOWN} more" if len(outcome.failed) > _MOST_SHOWN else ""
    return [f"{len(outcome.failed)} windows are not stored: {shown}{more}", *outcome.reasons]


def _collect(config: Integrations, seconds: float) -> Mapping[str, SourceCounts]:
    """Collect, and return what this run alone has counted."""
    from sensors.collector.main import collect_for

    with console.status("collecting") as status:

        def show(elapsed_s: float, sources: Mapping[str, SourceState]) -> None:
            rows = sum(source.rows for source in sources.values())
            connected = sum(source.connected for source in sources.values())
            status.update(f"{elapsed_s:.0f} of {seconds:.0f} s: {connected}/{len(sources)} sources, {rows:,} rows")

        return asyncio.run(collect_for(config, gl_home(), seconds, show)).counts


@dataclass(frozen=True, slots=True)
class _Run:
    """What there was before the windows were stored."""

    collected: Mapping[str, SourceCounts]
    due: Sequence[datetime]
    """Windows to be stored."""
    before: Sequence[Mapping[str, StoredCounts]]
    """What stood of each."""


def _result(config: Integrations, url: str, outcome: WindowsRun, run: _Run) -> dict[str, Any]:
    reader = BufferReader(counts.buffer_folder(gl_home()))
    # of these windows alone: elsewhere retention drops rows, and other buffers have stored some
    after = counts.added_up(counts.stored_of(config, url, run.due))
    stored = counts.gained(counts.added_up(run.before), after)
    buffered = counts.with_backlog(run.collected, (reader.read(start) for start in run.due), run.before)
    results = counts.source_results(config, sent={}, buffered=buffered, stored=stored, in_gaps={})
    return {
        **counts.totals(results, stored, counts.window_latencies(reader, url, only=run.due)),
        "erp_rows": counts.record_counts(url),
        "agents": counts.agent_counts(url),
        # what was missed in gaps is counted as such, and is no fault of what was stored
        "checks": {
            "passed": outcome.passed,
            "failed": sum(not check.passed and check.check != GAPS_GATE for check in outcome.checks),
        },
    }
