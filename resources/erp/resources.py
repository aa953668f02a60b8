"""The Dagster resources of the configured ERP systems, by the keys that assets ask for them with."""

from collections.abc import Mapping

from resources.erp.sap.config import SapConfig
from resources.erp.sap.resource import SapResource


def resource_key(system: str) -> str:
    """Return the resource key of a system: `erp_<system>`, with `_` for `-`, which a key cannot hold."""
    return f"erp_{system}".replace("-", "_")


def build_erp_resources(systems: Mapping[str, SapConfig]) -> dict[str, SapResource]:
    """Return one resource per system; nothing is opened, no variable read."""
    return {resource_key(name): SapResource.from_config(name, config) for name, config in systems.items()}
