"""The `gl` command: one lazy group, so that a command imports only what it needs (Dagster alone takes seconds)."""

from __future__ import annotations

import importlib
import sys

import click

from resources.core.errors import PlatformError

COMMANDS = {
    "up": "gl_assets.cli.up:up",
    "demo": "gl_assets.cli.demo:demo",
    "collect": "gl_assets.cli.collect:collect",
    "ingest": "gl_assets.cli.ingest:ingest",
    "config": "gl_assets.cli.config:config",
    "doctor": "gl_assets.cli.doctor:doctor",
    "buffer": "gl_assets.cli.buffer:buffer",
    "gaps": "gl_assets.cli.gaps:gaps",
    "gates": "gl_assets.cli.gates:gates",
    "rejected": "gl_assets.cli.rejected:rejected",
    "agents": "gl_assets.cli.agents:agents",
    "bench": "gl_assets.cli.bench:bench",
}
"""Command name -> module:object."""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, imported now."""
        target = COMMANDS.get(cmd_name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="gl-data-platform")
def cli() -> None:
    """The data platform for process heat.

    GL_CONFIG names the configuration (integrations.yaml), GL_HOME the folder of all local state (default .gl).
    """


def main() -> None:
    """Run `gl`; an error of the platform is one message on stderr and exit code 1, never a traceback."""
    try:
        cli()
    except PlatformError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
