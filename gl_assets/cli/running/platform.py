"""The whole platform as processes: database, broker, demo plant, agents, collector, Dagster.

`Platform.start` prepares everything, in order, and hands the processes to supervisord; `stop` ends them in reverse.
The same object serves `gl up` and `gl demo`.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from gl_assets.cli.running import demo_environment
from gl_assets.cli.running.supervision import Program, Supervision
from gl_assets.cli.state import (
    REPOSITORY,
    STORAGE_VARIABLE,
    Databases,
    Progress,
    dagster_url,
    own_databases,
    prepare_dagster_home,
    prepare_database,
)
from resources.core.errors import ConfigError
from resources.databases.timescale.connection import URL_VARIABLE
from resources.databases.timescale.edition import Edition
from resources.embedded.ports import free_port, is_free, is_listening
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms, find_programs
from resources.integrations import Integrations, load_integrations

EDITIONS = {
    Edition.COMMUNITY: "TimescaleDB, Community edition",
    Edition.APACHE: "TimescaleDB, Apache edition",
    Edition.PLAIN: "PostgreSQL without TimescaleDB",
}


@dataclass(frozen=True, slots=True)
class Options:
    """What the user chose on the command line."""

    demo: bool = False
    ui_host: str = "127.0.0.1"
    ui_port: int = 3000
    seed: int = 1
    exposed: bool = False


@dataclass
class Platform:
    """One platform in one home."""

    home: Path
    options: Options
    progress: Progress
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    ui_port: int = 0
    config: Integrations | None = None
    supervision: Supervision | None = None
    _databases: Databases | None = None
    _servers: ServerPrograms | None = None

    @property
    def ui_url(self) -> str:
        """Address of the Dagster UI."""
        return f"http://{self.options.ui_host}:{self.ui_port}"

    @property
    def health_url(self) -> str:
        """Address of the collector's health."""
        collector = self._loaded().collector
        return f"http://{collector.host}:{collector.port}/healthz"

    @property
    def database_url(self) -> str:
        """URL of the platform's database: a secret."""
        return self.env[URL_VARIABLE]

    def start(self) -> None:
        """Prepare and start everything; what was started is stopped again if a part does not come up.

        Raises:
            PlatformError: A part did not come up; the message holds the end of its log.
        """
        self.env |= {"GL_HOME": str(self.home), "PYTHONUNBUFFERED": "1", "DAGSTER_HOME": str(self.home / "dagster")}
        # on a machine that is very busy a run's process takes longer to start than Dagster's own limit of 60 s
        self.env.setdefault("DAGSTER_GRPC_TIMEOUT_SECONDS", "180")
        self.home.mkdir(parents=True, exist_ok=True)
        # an earlier run that was killed still holds ports, locks and the cluster
        Supervision(self.home, [], env=self.env).end_earlier()
        demo_environment.forget(self.home)
        programs = self._database()
        if self.options.demo:
            programs += self._demo()
        self.config = load_integrations(Path(self.env["GL_CONFIG"]) if "GL_CONFIG" in self.env else None)
        self._free_the_doors()
        programs += [self._collector(), *self._orchestrator(), *self._dagster()]
        self.supervision = Supervision(self.home, programs, env=self.env)
        self.supervision.start(self.progress)

    def stop(self) -> None:
        """Stop every process, in reverse order."""
        if self.supervision is not None:
            self.supervision.stop(self.progress)

    def _database(self) -> list[Program]:
        if URL_VARIABLE in self.env:
            self._use(own_databases(self.env[URL_VARIABLE]))
            self._prepare_database()
            return []
        self._servers = find_programs(self.progress)
        server = EmbeddedPostgres(self.home / "postgres", self._servers)
        # under the lock of this home: whatever still runs on the cluster is of an earlier run
        server.end_forgotten()
        server.prepare()
        self._use(Databases(server.url(), dagster_url(server.url("dagster"))))

        def prepare() -> None:
            server.create_databases()
            self._prepare_database()

        return [
            Program("postgres", server.command(), 10, server.is_ready, then=prepare, stop_signal="INT", stop_wait_s=60)
        ]

    def _use(self, found: Databases) -> None:
        self._databases = found
        self.env |= {URL_VARIABLE: found.platform, STORAGE_VARIABLE: found.dagster}

    def _prepare_database(self) -> None:
        if self._databases is not None:
            edition = prepare_database(self._databases)
            self.progress(f"the database is ready: {EDITIONS[edition]}")

    def _demo(self) -> list[Program]:
        from gl_assets.cli.running.demo_programs import prepare_demo

        servers = self._servers or find_programs(self.progress)
        programs, env = prepare_demo(self.home / "demo", servers, seed=self.options.seed, progress=self.progress)
        self.env |= env
        demo_environment.remember(self.home, env)
        return programs

    def _free_the_doors(self) -> None:
        collector = self._loaded().collector
        if collector.port and not is_free(collector.port):
            raise ConfigError(
                f"port {collector.port} of the collector's /healthz is taken by another program: "
                "stop it, or set collector.port in the configuration"
            )
        wanted = self.options.ui_port
        self.ui_port = wanted if wanted and is_free(wanted) else free_port()
        if wanted and self.ui_port != wanted:
            self.progress(f"port {wanted} is taken: the Dagster UI gets {self.ui_port}")

    def _collector(self) -> Program:
        collector = self._loaded().collector
        exposed = ["--expose-without-login"] if self.options.exposed else []
        return Program(
            "collector",
            [sys.executable, "-m", "gl_assets.cli.main", "collect", *exposed],
            50,
            lambda: _answers(f"http://{collector.host}:{collector.port}/healthz"),
        )

    def _orchestrator(self) -> list[Program]:
        if self._loaded().agents is None:
            return []
        # hears heartbeats between runs, and sends what was accepted when the process that accepted it has died
        command = [sys.executable, "-m", "gl_assets.cli.main", "agents", "serve"]
        return [Program("orchestrator", command, 55, lambda: True)]

    def _dagster(self) -> list[Program]:
        folder = prepare_dagster_home(self.home)
        code_port = free_port()
        workspace = folder / "workspace.yaml"
        # one code server for webserver and daemon: each would start one of its own otherwise
        location = {"host": "127.0.0.1", "port": code_port, "location_name": "gl"}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": location}]}))
        code = [
            sys.executable, "-m", "dagster", "api", "grpc", "-m", "gl_assets.definitions", "-d", str(REPOSITORY),
            "-h", "127.0.0.1", "-p", str(code_port), "--location-name", "gl", "--inject-env-vars-from-instance",
            "--max-workers", "16",
        ]  # fmt: skip
        ui = [
            sys.executable, "-m", "dagster_webserver", "-w", str(workspace),
            "-h", self.options.ui_host, "-p", str(self.ui_port),
        ]  # fmt: skip
        daemon = [sys.executable, "-m", "dagster._daemon", "run", "-w", str(workspace)]
        return [
            Program("dagster-code", code, 60, lambda: is_listening(code_port), stop_group=True),
            Program("dagster-webserver", ui, 70, lambda: _answers(f"{self.ui_url}/server_info"), stop_group=True),
            Program("dagster-daemon", daemon, 80, lambda: True, stop_group=True),
        ]

    def _loaded(self) -> Integrations:
        if self.config is None:
            raise ConfigError("the platform was not started")
        return self.config


def _answers(url: str) -> bool:
    """Whether an HTTP server answers there, whatever it says (a red /healthz is an answer)."""
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - always http on loopback
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
