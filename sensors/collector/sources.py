"""From the configuration to the connectors of one collector."""

from __future__ import annotations

from resources.core.clock import Clock
from resources.core.tags import SensorCatalog
from resources.integrations import Integrations
from resources.scada.clients import build_client
from resources.scada.connector import ScadaClient


def build_clients(config: Integrations, catalog: SensorCatalog, clock: Clock) -> list[ScadaClient]:
    """Return one connector per configured source; nothing is connected yet."""
    return [build_client(name, source, catalog, clock) for name, source in config.sources.items()]
