"""From the configuration to the connectors: the only place in the collector that knows which protocols there are."""

from __future__ import annotations

from resources.core.clock import Clock
from resources.core.tags import SensorCatalog
from resources.integrations import Integrations, SourceConfig
from resources.scada.connector import ScadaClient
from resources.scada.modbus.config import ModbusConfig
from resources.scada.mqtt.config import MqttConfig


def build_clients(config: Integrations, catalog: SensorCatalog, clock: Clock) -> list[ScadaClient]:
    """Return one connector per configured source; nothing is connected yet."""
    return [_client(name, source, catalog, clock) for name, source in config.sources.items()]


def _client(name: str, source: SourceConfig, catalog: SensorCatalog, clock: Clock) -> ScadaClient:
    # a protocol is loaded where it is configured: asyncua alone takes 60 MB
    if isinstance(source, MqttConfig):
        from resources.scada.mqtt.client import MqttClient

        return MqttClient(name, source, catalog, clock)
    if isinstance(source, ModbusConfig):
        from resources.scada.modbus.client import ModbusClient

        return ModbusClient(name, source, catalog, clock)
    from resources.scada.opc_ua.client import OpcUaClient

    return OpcUaClient(name, source, catalog, clock)
