"""The OPC UA connector as a Dagster resource: reads once, or listens for a while; the collector does the rest."""

import asyncio
from datetime import datetime

from resources.core.errors import UnreachableError
from resources.core.tags import SensorCatalog
from resources.scada.history import History, collect_history
from resources.scada.opc_ua.client import OpcUaClient
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.scada_resource import ScadaResource
from resources.scada.values import SensorValue, collect, sensor_values


class OpcUaResource(ScadaResource):
    """One OPC UA source; nothing is opened before a method is called."""

    def read_sensor(self, sensor_id: str) -> SensorValue:
        """Return a sensor's present value.

        Raises:
            KeyError: The sensor is not one of this source, or its node gave no number.
            SourceError: The server cannot be reached, or refuses.
        """
        return {value.sensor_id: value for value in self.read_sensors([sensor_id])}[sensor_id]

    def read_sensors(self, sensor_ids: list[str] | None = None) -> list[SensorValue]:
        """Return the present values of some sensors, of all if None; raises as `read_sensor`."""
        client, catalog = self._client()
        return sensor_values(asyncio.run(client.read(sensor_ids)).readings, catalog)

    def subscribe_sensors(self, seconds: float) -> list[SensorValue]:
        """Return what the subscription brings in `seconds`; raises as `read_sensor`."""
        client, catalog = self._client()
        return sensor_values(asyncio.run(collect(client, seconds)), catalog)

    def read_history(self, since: datetime, until: datetime) -> History:
        """Return what the server has kept of all tags in `[since, until)`; of several endpoints the first that answers.

        Raises:
            SourceError: No endpoint answers, or the server refuses.
        """
        client, catalog = self._client()
        endpoints = len(client.addresses())
        for position in range(endpoints):
            client.use(position)
            try:
                return asyncio.run(collect_history(client, catalog.sensors, since, until))
            except UnreachableError:
                if position == endpoints - 1:
                    raise
        raise AssertionError("a source has an endpoint")

    def _client(self) -> tuple[OpcUaClient, SensorCatalog]:
        config = OpcUaConfig.model_validate(self.settings)
        catalog = self._catalog(config.tags)
        return OpcUaClient(self.source, config, catalog), catalog
