"""`gl collect`: the acquisition process alone, as it runs at the edge."""

from __future__ import annotations

import asyncio
import sys

import click

from resources.core.process.home import gl_home
from resources.core.process.logs import setup_logging
from resources.core.process.scrubbing import secrets_in
from resources.integrations import load_integrations
from sensors.collector.main import run
from sensors.collector.memory import keep_pandas_out


@click.command()
@click.option("--for", "seconds", type=click.FloatRange(min=0.1), help="End by itself after this many seconds.")
@click.option(
    "--expose-without-login",
    is_flag=True,
    help="Serve /healthz and /metrics on an address that others can reach; they have no login.",
)
def collect(seconds: float | None, expose_without_login: bool) -> None:
    """Collect from all configured sources into the window buffer, until Ctrl-C or SIGTERM.

    Needs no database and no Dagster: readings are kept in GL_HOME/buffer until a platform stores them. With
    GL_DATABASE_URL set, scada.latest_readings shows the live values, at most two seconds behind.

    /healthz and /metrics are on collector.host:port of the configuration (127.0.0.1:8787 unless set).
    """
    keep_pandas_out()
    config = load_integrations()
    setup_logging(config.logs.level, config.logs.dir, secrets=secrets_in(config))
    sys.exit(asyncio.run(run(config, gl_home(), duration=seconds, expose_without_login=expose_without_login)))
