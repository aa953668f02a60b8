"""From the configuration of one source to its connector: the only place that knows which protocols there are."""

from __future__ import annotations

from resources.core.clock import Clock
from resources.core.tags import SensorCatalog
from resources.scada.bacnet.config import BacnetConfig
from resources.scada.connector import ScadaClient
from resources.scada.modbus.config import ModbusConfig
from resources.scada.mqtt.config import MqttConfig
from resources.scada.opc_ua.config import OpcUaConfig


def build_client(
    name: str,
    source: OpcUaConfig | ModbusConfig | MqttConfig | BacnetConfig,
    catalog: SensorCatalog,
    clock: Clock,
) -> ScadaClient:
    """Return the connector of a source; nothing is connected yet."""
    # a protocol is loaded where it is configured: asyncua alone takes 60 MB
    if isinstance(source, MqttConfig):
        from resources.scada.mqtt.client import MqttClient

        return MqttClient(name, source, catalog, clock)
    if isinstance(source, ModbusConfig):
        from resources.scada.modbus.client import ModbusClient

        return ModbusClient(name, source, catalog, clock)
    if isinstance(source, BacnetConfig):
        from resources.scada.bacnet.client import BacnetClient

        return BacnetClient(name, source, catalog, clock)
    from resources.scada.opc_ua.client import OpcUaClient

    return OpcUaClient(name, source, catalog, clock)
