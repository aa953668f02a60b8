"""`python -m resources.demo_plant`: all servers of the plant, its fake ERP systems and its control, in one process."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import structlog

from resources.core.configuration.settings import EnvSecret
from resources.core.errors import PlatformError
from resources.core.process.home import gl_home
from resources.core.process.logs import setup_logging
from resources.demo_plant.assembly import assemble, erp_apps
from resources.demo_plant.control import EmbeddedUvicorn, create_app, server
from resources.demo_plant.run import RunningPlant
from resources.demo_plant.setup import SECRETS, load_secrets, load_state

log = structlog.get_logger(__name__)


async def serve(home: Path, *, seed: int | None = None, held: bool = False) -> None:
    """Run the plant that `prepare` set up in `home`, until SIGTERM or SIGINT.

    Raises:
        ConfigError: `home` was never prepared.
        UnreachableError: A port is taken.
    """
    state = load_state(home)
    plant = assemble(home, state, seed=seed, held=held)
    ca = home / "ca"
    doors = [server(create_app(plant), state.ports["control"])]
    doors += [
        server(app, state.ports[name], certificate=ca / f"{name}_server.pem", key=ca / f"{name}_server.key")
        for name, app in erp_apps(home, plant.plant.seed).items()
    ]
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, plant.end)
    control = home / "control.json"
    try:
        await plant.start()
        control.write_text(json.dumps({"host": "127.0.0.1", "port": state.ports["control"], "pid": os.getpid()}) + "\n")
        await _run(plant, doors)
    finally:
        control.unlink(missing_ok=True)
        await plant.stop()


async def _run(plant: RunningPlant, doors: list[EmbeddedUvicorn]) -> None:
    serving = [asyncio.create_task(door.serve()) for door in doors]
    ticking = asyncio.create_task(plant.run())
    log.info("demo_plant_running", seed=plant.plant.seed, frozen=plant.frozen)
    # a server that cannot listen ends; the plant must not go on without it
    await asyncio.wait([ticking, *serving], return_when=asyncio.FIRST_COMPLETED)
    plant.end()
    for door in doors:
        await door.close()
    await asyncio.gather(ticking, *serving)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m resources.demo_plant", description=__doc__)
    parser.add_argument("--home", type=Path, default=gl_home() / "demo", help="folder that was prepared (GL_HOME/demo)")
    parser.add_argument("--seed", type=int, default=None, help="seed of the plant, the prepared one if absent")
    parser.add_argument("--hold", action="store_true", help="make no values until POST /start")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    options = parser.parse_args(arguments)
    home = options.home.absolute()
    logs = setup_logging(options.log_level, secrets=[EnvSecret(name) for name in SECRETS])
    try:
        load_state(home)
        os.environ.update(load_secrets(home))
        asyncio.run(serve(home, seed=options.seed, held=options.hold))
    except PlatformError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    finally:
        logs.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
