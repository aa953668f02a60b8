"""From a source's configuration to its connector: the one place that knows which class speaks which protocol."""

from __future__ import annotations

from typing import Protocol

from resources.core.clock import Clock
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.connector import ScadaClient, SourceFacts
from resources.scada.modbus.client import ModbusClient
from resources.scada.modbus.config import ModbusConfig
from resources.scada.mqtt.client import MqttClient
from resources.scada.mqtt.config import MqttConfig
from resources.scada.opc_ua.client import OpcUaClient
from resources.scada.opc_ua.config import OpcUaConfig

ScadaConfig = OpcUaConfig | ModbusConfig | MqttConfig
"""One source's part of the configuration."""


class ProbingClient(ScadaClient, Protocol):
    """A connector that can also look whether its source is well."""

    async def probe(self) -> SourceFacts:
        """Return what a short connection finds; raises as `run`."""
        ...


def build_client(name: str, config: ScadaConfig, catalog: SensorCatalog, clock: Clock | None = None) -> ProbingClient:
    """Return the connector of a source; nothing is opened before its `run`."""
    if isinstance(config, OpcUaConfig):
        return OpcUaClient(name, config, catalog, clock)
    if isinstance(config, ModbusConfig):
        return ModbusClient(name, config, catalog, clock)
    return MqttClient(name, config, catalog, clock)


def own_catalog(name: str, config: ScadaConfig) -> SensorCatalog:
    """Return a catalog of one source's sensors alone, for a look beside the collector."""
    return SensorCatalog(Sensor(tag.sensor_id, tag.unit, name) for tag in config.tags)


async def probe(name: str, config: ScadaConfig) -> SourceFacts:
    """Return what a look at a source finds, for `gl doctor`.

    Raises:
        SourceError: It cannot be reached, or refuses us; the message says what to do.
        ConfigError: A file or an environment variable is missing.
    """
    return await build_client(name, config, own_catalog(name, config)).probe()
