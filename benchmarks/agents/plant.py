"""What the parts of `gl bench agents` stand on: a broker, a scratch database, and a process full of agents.

The agents are those of the demo plant: each has its own connection, key and session, and all share one durable store.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.scratch_broker import scratch_broker
from benchmarks.scratch_database import scratch_database
from resources.agents.broadcaster import Broadcaster
from resources.agents.config import AgentsConfig
from resources.agents.requests import Command
from resources.agents.security.keys import generate_keys
from resources.core.errors import PlatformError
from resources.core.process.memory import collect_rarely, release_unused
from resources.databases.timescale.connection import connect
from resources.transport.broker import BrokerConfig

READY_S = 120.0
"""How long agents may take to start before the benchmark gives up."""

_SITE = "bench"
_TABLES = "agents.registry, agents.sessions, agents.messages, agents.deliveries, agents.responses, agents.seen_ids"


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the agents and the platform meet."""

    folder: Path
    port: int
    database_url: str


@dataclass(frozen=True, slots=True)
class Fleet:
    """Agents that are online, and the platform's side that talks to them."""

    broadcaster: Broadcaster
    targets: tuple[str, ...]
    database_url: str

    def command(self, targets: Sequence[str] | None = None, *, timeout_s: float = 60.0) -> Command:
        """Return the command that is measured: a small question with a calculated answer."""
        return Command("optimize", {"objective": "efficiency"}, targets or self.targets, timeout_s)


@contextmanager
def servers(progress: Callable[[str], None]) -> Iterator[Servers]:
    """Yield a broker that takes anybody on loopback, and a migrated scratch database."""
    with ExitStack() as stack:
        progress("starting a broker and a database")
        broker, folder = stack.enter_context(scratch_broker(progress))
        yield Servers(folder, broker.port, stack.enter_context(scratch_database(folder, progress)))


@contextmanager
def fleet(place: Servers, count: int, progress: Callable[[str], None]) -> Iterator[Fleet]:
    """Yield `count` agents in a process of their own, once the platform has heard of each.

    Raises:
        PlatformError: They did not all come online.
    """
    targets = tuple(f"GL-{n:03d}" for n in range(2, count + 2))
    progress(f"starting {count} agents")
    with tempfile.TemporaryDirectory(dir=place.folder) as name, connect(place.database_url, autocommit=True) as rows:
        # whoever was here before is nobody's business now
        rows.execute(f"TRUNCATE {_TABLES} CASCADE")
        folder = Path(name)
        config = _configuration(place, folder, targets)
        with (
            Broadcaster(config, site=_SITE, database_url=place.database_url) as broadcaster,
            _process(folder, config),
        ):
            ends = time.monotonic() + READY_S
            while rows.execute("SELECT count(*) FROM agents.registry WHERE status = 'online'").fetchone() != (count,):
                if time.monotonic() > ends:
                    raise PlatformError(f"{count} agents did not come online within {READY_S:g} s")
                time.sleep(0.05)
            # as `gl agents serve` does once it orchestrates
            release_unused()
            collect_rarely()
            yield Fleet(broadcaster, targets, place.database_url)


def _configuration(place: Servers, folder: Path, targets: tuple[str, ...]) -> AgentsConfig:
    jwks = generate_keys(folder / "keys", ["GL-001", *targets])
    broker = BrokerConfig(host="127.0.0.1", port=place.port, tls=False, insecure_plain_tcp=True)
    # without limit: what is measured is how fast it can go
    return AgentsConfig(
        broker=broker,
        private_key=folder / "keys" / "GL-001.jwk",
        public_keys=jwks,
        targets=targets,
        rate_limit=None,
    )


@contextmanager
def _process(folder: Path, config: AgentsConfig) -> Iterator[None]:
    file = folder / "integrations.yaml"
    agents = config.model_dump(mode="json", exclude_defaults=True)
    file.write_text(yaml.safe_dump({"site": _SITE, "agents": agents}))
    keys, home = str(folder / "keys"), str(folder / "agents")
    command = [sys.executable, "-m", "resources.demo_plant.agents", "--config", str(file), "--keys", keys]
    with child([*command, "--home", home]):
        yield


@contextmanager
def child(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Yield a process that is ended afterwards; its log goes nowhere unless GL_BENCH_LOGS is set."""
    stderr = None if os.environ.get("GL_BENCH_LOGS") else subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.wait(60)
