"""The ERP systems of the demo plant: each a fake with its own application, settings and secret."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette

from resources.demo_plant.erp.dynamics import demo as dynamics
from resources.demo_plant.erp.oracle import demo as oracle
from resources.demo_plant.erp.sap import demo as sap
from resources.demo_plant.erp.workday import demo as workday

_SYSTEMS = {"sap": sap, "oracle": oracle, "dynamics": dynamics, "workday": workday}

SYSTEMS = tuple(_SYSTEMS)
"""Names of the systems: in the configuration, of their ports, and of their certificates (`<name>_server`)."""


def applications(secrets: Mapping[str, str], seed: int) -> dict[str, Starlette]:
    """Return name -> the fake, whose client proves itself by its own of `secrets`."""
    return {name: system.demo_app(secrets[system.SECRET], seed) for name, system in _SYSTEMS.items()}


def settings(ports: Mapping[str, int], ca_certificate: Path) -> dict[str, dict[str, Any]]:
    """Return name -> the block of integrations.yaml that reads it."""
    return {
        name: system.demo_settings(f"https://127.0.0.1:{ports[name]}", ca_certificate)
        for name, system in _SYSTEMS.items()
    }
