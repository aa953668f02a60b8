"""The `gl` command: one lazy group, so that a command imports only what it needs (Dagster alone takes seconds)."""

from __future__ import annotations

import importlib
import os
import sys

import click

from gl_assets.cli.running import demo_environment
from resources.core.errors import PlatformError
from resources.core.process.home import gl_home
from resources.core.process.logs import setup_logging

COMMANDS = {
    "up": ("gl_assets.cli.running.up:up", "Run the whole platform; --demo with a simulated plant."),
    "demo": ("gl_assets.cli.running.demo:demo", "Run the whole chain against the demo plant and check the counts."),
    "collect": ("gl_assets.cli.running.collect:collect", "Run the collector alone (what runs at the edge)."),
    "ingest": ("gl_assets.cli.running.ingest:ingest", "Collect for a while, store the windows, print the counts."),
    "config": ("gl_assets.cli.site.config:config", "Check the configuration."),
    "doctor": ("gl_assets.cli.site.doctor:doctor", "Try to reach every system and say what is wrong."),
    "buffer": ("gl_assets.cli.stored.buffer:buffer", "State and replay of the window buffer."),
    "window": ("gl_assets.cli.stored.window:window", "The window length in force; change it over existing history."),
    "tags": ("gl_assets.cli.site.tags:tags", "Tags: list, and find what a source offers beyond them."),
    "calibrations": (
        "gl_assets.cli.stored.calibrations:calibrations",
        "Certificates of sensors; calibrate stored readings anew after a change.",
    ),
    "units": ("gl_assets.cli.site.units:units", "Convert between units; steam tables."),
    "gaps": ("gl_assets.cli.stored.gaps:gaps", "Times in which a source delivered nothing."),
    "gates": ("gl_assets.cli.stored.gates:gates", "Results of the quality gates; release a red one."),
    "anomalies": ("gl_assets.cli.stored.anomalies:anomalies", "What detectors found of equipment; train them."),
    "rejected": ("gl_assets.cli.rejection.rejected:rejected", "Rejected readings and ERP records with their reasons."),
    "erp": ("gl_assets.cli.site.erp:erp", "ERP systems: save their metadata, find configured fields they do not have."),
    "agents": ("gl_assets.cli.coordination.agents:agents", "Agents: list, health, send a command, keys."),
    "write": (
        "gl_assets.cli.site.write:write",
        "Write a value to a tag that may be written; rehearsed unless --confirm.",
    ),
    "writes": ("gl_assets.cli.site.write:writes", "Who tried to write what, and what became of it."),
    "certs": ("gl_assets.cli.site.certs:certs", "Certificates: make one for OPC UA, see which expire."),
    "bench": ("gl_assets.cli.bench:bench", "Benchmarks: ratios against a bare limit in one run."),
}
"""Command name -> (module:object, what `gl --help` says of it)."""


_WITHOUT_DEMO = frozenset({"up", "demo", "bench"})
"""Commands that begin something of their own."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gl-data-platform")
@click.pass_context
def cli(context: click.Context) -> None:
    """The data platform for process heat.

    GL_CONFIG names the configuration (integrations.yaml), GL_HOME the folder of all local state (default .gl). Without
    GL_CONFIG a demo that runs in that folder is meant.
    """
    if "GL_CONFIG" not in os.environ and context.invoked_subcommand not in _WITHOUT_DEMO:
        _mean_the_running_demo()


def _mean_the_running_demo() -> None:
    environment = demo_environment.of_running_demo(gl_home())
    if environment is not None:
        click.echo(f"· GL_CONFIG is not set: the demo that runs here is meant ({environment['GL_CONFIG']})", err=True)
        os.environ.update(environment)


def main() -> None:
    """Run `gl`; an error of the platform is one message on stderr and exit code 1, never a traceback."""
    # stdout is for results: whatever is logged before a command sets up its own logs goes to stderr
    setup_logging("warning")
    try:
        cli()
    except PlatformError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
