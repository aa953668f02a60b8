"""`gl demo`: the whole chain against the demo plant, without a browser, ending with counts that must add up."""

from __future__ import annotations

import json
import os
import shutil
import sys
from typing import Any

import click
from rich.table import Table

from gl_assets.cli.running.demo_run import DemoRun
from gl_assets.cli.running.platform import Options, Platform
from gl_assets.cli.state import console, interrupt_on_signals, only_one, say
from resources.core.process.home import gl_home
from resources.embedded.programs import servers_home


@click.command()
@click.option("--for", "seconds", default=150.0, show_default=True, help="Seconds the plant sends for.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end of stdout.")
@click.option("--seed", default=1, show_default=True, help="Seed of the simulated plant.")
@click.option("--keep", is_flag=True, help="Keep the state in GL_HOME/demo-run afterwards.")
def demo(*, seconds: float, as_json: bool, seed: int, keep: bool) -> None:
    """Run the whole platform with the demo plant for a while, then stop the plant and count.

    The same processes as `gl up --demo`, in a home of their own (GL_HOME/demo-run, emptied first), so that a running
    platform is not disturbed and every count starts at zero. Exit code 1 if a reading was lost or stored twice, if an
    agent did not answer, or if a check failed.
    """
    home = gl_home() / "demo-run"
    os.environ.setdefault("GL_SERVERS_HOME", str(servers_home()))
    interrupt_on_signals()
    with only_one(home, "a demo"):
        platform = Platform(home, Options(demo=True, ui_port=0, seed=seed), say)
        _empty(home)
        try:
            with console.status("starting the platform"):
                platform.start()
            result = DemoRun(platform, say).run(seconds)
        finally:
            with console.status("stopping"):
                platform.stop()
        if not keep:
            _empty(home)
    if as_json:
        click.echo(json.dumps(result))
    else:
        print_counts(result)
    faults = verdict(result)
    for fault in faults:
        console.print(f"[red]{fault}[/red]")
    if faults:
        sys.exit(1)


def verdict(result: dict[str, Any]) -> list[str]:
    """Return what is wrong with a demo's counts, as sentences; empty if all is well."""
    faults = [f"{result[what]} readings {what}" for what in ("lost", "duplicated") if result[what]]
    faults += [f"source {name} sent nothing" for name, source in result["sources"].items() if not source["sent"]]
    agents, checks = result["agents"], result["checks"]
    if agents["answered"] < agents["targeted"]:
        faults.append(f"{agents['targeted'] - agents['answered']} of {agents['targeted']} agents did not answer")
    if checks["failed"]:
        faults.append(f"{checks['failed']} checks failed")
    if not result["erp_rows"]:
        faults.append("no ERP record was stored")
    return faults


def _empty(home: Any) -> None:
    """Remove everything but the lock that is held."""
    for path in home.iterdir():
        if path.name != "up.lock":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def print_counts(result: dict[str, Any]) -> None:
    """Print a result of `gl demo` or `gl ingest` for people, on stderr."""
    columns = ("sent", "buffered", "stored", "rejected", "deduplicated", "in_gaps", "lost")
    table = Table("source", "kind", *columns)
    for name, source in result["sources"].items():
        table.add_row(name, source["kind"], *(f"{source[column]:,}" for column in columns))
    table.add_section()
    table.add_row("all", "", *(f"{result[column]:,}" for column in columns))
    console.print(table)
    latency, agents, checks = result["window_to_table_s"], result["agents"], result["checks"]
    console.print(
        f"{result['windows']} windows, from closing to the table p50 {latency['p50']} s, p95 {latency['p95']} s; "
        f"{result['duplicated']} duplicated; {agents['answered']} of {agents['targeted']} agents answered "
        f"(p99 {agents['p99_ms']} ms); ERP {result['erp_rows']}; "
        f"checks {checks['passed']} passed, {checks['failed']} failed"
    )
