"""`gl up`: the whole platform, until Ctrl-C."""

from __future__ import annotations

import time

import click

from gl_assets.cli.running.platform import Options, Platform
from gl_assets.cli.state import console, interrupt_on_signals, only_one, refuse_public_address, say
from resources.core.errors import PlatformError
from resources.core.process.home import gl_home

_WATCH_S = 2.0


@click.command()
@click.option("--demo", is_flag=True, help="Bring a simulated plant, its ERP and its 99 agents along.")
@click.option("--port", default=3000, show_default=True, help="Port of the Dagster UI; another one if it is taken.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address of the Dagster UI.")
@click.option(
    "--expose-without-login", is_flag=True, help="Allow an address beyond this machine: nobody is asked for a login."
)
@click.option("--seed", default=1, show_default=True, help="Seed of the simulated plant.")
def up(*, demo: bool, port: int, host: str, expose_without_login: bool, seed: int) -> None:
    """Run the whole platform: database, collector, Dagster; with --demo a plant to look at.

    Without GL_DATABASE_URL an embedded TimescaleDB is unpacked (once, about 10 s) and started in GL_HOME. Ctrl-C stops
    everything in order; nothing that was collected is lost.
    """
    refuse_public_address(host, exposed=expose_without_login, what="the Dagster UI")
    options = Options(demo=demo, ui_host=host, ui_port=port, seed=seed, exposed=expose_without_login)
    interrupt_on_signals()
    with only_one(gl_home(), "starting another"):
        platform = Platform(gl_home(), options, say)
        try:
            with console.status("starting the platform"):
                platform.start()
            _show(platform)
            _watch(platform)
        except KeyboardInterrupt:
            console.print()
        finally:
            with console.status("stopping"):
                platform.stop()
    say("stopped")


def _show(platform: Platform) -> None:
    doors = {
        "Dagster UI": (platform.ui_url, "lineage, runs, checks, backfills"),
        "health": (platform.health_url, "is every source alive"),
        "metrics": (platform.health_url.replace("/healthz", "/metrics"), "for Prometheus"),
        "logs": (str(platform.home / "logs"), "one file a process"),
    }
    console.print()
    for name, (address, what) in doors.items():
        # never wrapped: people copy these
        console.print(f"  {name:<11} [bold]{address}[/bold]  [dim]{what}[/dim]", soft_wrap=True)
    console.print("\nWindows reach the table a few seconds after they close. Ctrl-C stops everything.", soft_wrap=True)


def _watch(platform: Platform) -> None:
    """Wait for Ctrl-C, and say when a process had to be started again."""
    supervision = platform.supervision
    if supervision is None:
        return
    pids = {name: state["pid"] for name, state in supervision.states().items()}
    while supervision.is_alive():
        time.sleep(_WATCH_S)
        for name, state in supervision.states().items():
            if state["pid"] and state["pid"] != pids[name]:
                console.print(f"[yellow]{name} ended and was started again[/yellow]; why: {supervision.log(name)}")
                pids[name] = state["pid"]
    raise PlatformError(f"supervisord has ended; its log: {platform.home / 'logs' / 'supervisord.log'}")
