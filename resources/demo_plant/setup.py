"""What the demo plant needs before it can run: certificates, ports, secrets, and the configuration that reads it.

`prepare` may be called again at any time: secrets, the CA and the start stay as they were, certificates are renewed,
a port that was taken meanwhile is replaced.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from resources.agents.security.keys import generate_keys
from resources.core.clock import Clock, SystemClock
from resources.core.errors import ConfigError
from resources.demo_plant.configuration import (
    AGENTS_USER,
    ALARM_ID,
    CLIENT_URI,
    PLANT_USER,
    PLATFORM_USER,
    PlantState,
    write_configuration,
)
from resources.demo_plant.erp.systems import SYSTEMS
from resources.demo_plant.servers.opc_ua import NAMESPACE_URI
from resources.embedded.ports import free_port, is_free
from resources.transport.trust.certificates import CertificateAuthority, IssuedCertificate

SECRETS = (
    "SAP_CLIENT_SECRET",
    "ORACLE_CLIENT_SECRET",
    "DYNAMICS_CLIENT_SECRET",
    "WORKDAY_API_KEY",
    "SCADA_PASSWORD",
    "MQTT_PASSWORD",
    "MQTT_PLANT_PASSWORD",
    "MQTT_AGENTS_PASSWORD",
)
"""Environment variables in secrets.env; the last two are the plant's and the agents' own."""

_PORTS = ("opc_ua", "modbus", "modbus_tls", *SYSTEMS, "control", "collector")


@dataclass(frozen=True)
class DemoSetup:
    """What `prepare` made; `environment` holds the secrets, `broker_users` user -> password for the broker."""

    home: Path
    config: Path
    environment: Mapping[str, str]
    broker_users: Mapping[str, str]
    broker_certificate: IssuedCertificate
    keys: Path
    state: PlantState

    @property
    def control_url(self) -> str:
        """Base address of the running plant's control."""
        return f"http://127.0.0.1:{self.state.ports['control']}"


def prepare(
    home: Path,
    *,
    broker_port: int,
    broker_host: str = "127.0.0.1",
    broker_ca: Path | None = None,
    seed: int | None = None,
    clock: Clock | None = None,
) -> DemoSetup:
    """Make what the demo needs in `home`, and return where it is.

    Args:
        home: Folder of the demo, made if absent: `ca/`, `keys/`, `secrets.env`, `plant.json`, `integrations.yaml`.
        broker_port: Port of the broker that the plant publishes to.
        broker_host: Its host.
        broker_ca: CA of its certificate; the demo's own CA if absent, which has issued `broker_certificate` for it.
        seed: Of the plant; the one used before, else 42, if absent.
        clock: For the first start.
    """
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    authority = CertificateAuthority.create(home / "ca")
    hosts = ("localhost", "127.0.0.1", socket.gethostname())
    authority.issue("opc_ua_server", hosts=hosts, application_uri=NAMESPACE_URI)
    authority.issue("opc_ua_client", hosts=hosts, application_uri=CLIENT_URI)
    for name in ("modbus_server", "modbus_client", *(f"{system}_server" for system in SYSTEMS)):
        authority.issue(name, hosts=hosts)
    environment = _secrets(home / "secrets.env")
    known = _read_state(home)
    first = (clock or SystemClock()).now().replace(minute=0, second=0, microsecond=0)
    state = PlantState(
        seed=seed if seed is not None else (known.seed if known else 42),
        start=known.start if known else first.isoformat(),
        ports=_ports(known.ports if known else {}),
        broker_host=broker_host,
        broker_port=broker_port,
        broker_ca=str((broker_ca or authority.certificate).absolute()),
    )
    (home / "plant.json").write_text(json.dumps(asdict(state), indent=2) + "\n", encoding="utf-8")
    (home / "keys").mkdir(mode=0o700, exist_ok=True)
    generate_keys(home / "keys", [ALARM_ID], role="alarm")
    write_configuration(home / "integrations.yaml", state)
    return DemoSetup(
        home=home,
        config=home / "integrations.yaml",
        environment=environment,
        broker_users={
            PLATFORM_USER: environment["MQTT_PASSWORD"],
            PLANT_USER: environment["MQTT_PLANT_PASSWORD"],
            AGENTS_USER: environment["MQTT_AGENTS_PASSWORD"],
        },
        broker_certificate=authority.issue("broker", hosts=(*hosts, broker_host)),
        keys=home / "keys",
        state=state,
    )


def load_state(home: Path) -> PlantState:
    """Return what `prepare` wrote.

    Raises:
        ConfigError: `home` was never prepared.
    """
    state = _read_state(home)
    if state is None:
        raise ConfigError(f"demo plant: {home / 'plant.json'} is missing: `gl up --demo` makes it and starts the plant")
    return state


def load_secrets(home: Path) -> dict[str, str]:
    """Return the secrets of `secrets.env`; a variable of the environment goes before the file."""
    return {name: os.environ.get(name) or value for name, value in _secrets(home / "secrets.env").items()}


def start_of(state: PlantState) -> datetime:
    """Return the first instant of the demo's data."""
    return datetime.fromisoformat(state.start)


def _read_state(home: Path) -> PlantState | None:
    file = home / "plant.json"
    return PlantState(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else None


def _secrets(file: Path) -> dict[str, str]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    known = dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    missing = [name for name in SECRETS if not known.get(name)]
    if missing:
        known |= {name: secrets.token_urlsafe(24) for name in missing}
        # created with its final mode: a secret must never be readable, not even for a moment
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write("".join(f"{name}={value}\n" for name, value in known.items()))
    return {name: known[name] for name in SECRETS}


def _ports(known: Mapping[str, int]) -> dict[str, int]:
    chosen: dict[str, int] = {}
    for name in _PORTS:
        port = known.get(name, 0)
        while not port or port in chosen.values() or not is_free(port):
            port = free_port()
        chosen[name] = port
    return chosen
