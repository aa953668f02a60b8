"""The Modbus connector as a Dagster resource: reads once, or polls for a while; the collector does the rest."""

import asyncio

from resources.core.tags import SensorCatalog
from resources.scada.modbus.client import ModbusClient
from resources.scada.modbus.config import ModbusConfig
from resources.scada.scada_resource import ScadaResource
from resources.scada.values import SensorValue, collect, sensor_values


class ModbusResource(ScadaResource):
    """One Modbus source; nothing is opened before a method is called."""

    def read_sensor(self, sensor_id: str) -> SensorValue:
        """Return a sensor's present value; raises as `read_registers`."""
        return self.read_registers([sensor_id])[0]

    def read_registers(self, sensor_ids: list[str] | None = None) -> list[SensorValue]:
        """Return the present values of the registers of some sensors, of all if None.

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError: The device cannot be reached, or refuses a register.
        """
        client, catalog = self._client()
        return sensor_values(asyncio.run(client.read(sensor_ids)).readings, catalog)

    def poll_registers(self, seconds: float) -> list[SensorValue]:
        """Return what polling brings in `seconds`; raises as `read_registers`."""
        client, catalog = self._client()
        return sensor_values(asyncio.run(collect(client, seconds)), catalog)

    def _client(self) -> tuple[ModbusClient, SensorCatalog]:
        config = ModbusConfig.model_validate(self.settings)
        catalog = self._catalog(config.tags)
        return ModbusClient(self.source, config, catalog), catalog
