"""The OPC UA connector as a Dagster resource: reads once, or listens for a while; the collector does the rest."""

import asyncio
from datetime import datetime
from typing import Any, Self

import dagster as dg
from pydantic import Field

from resources.core.errors import UnreachableError
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.history import History, collect_history
from resources.scada.opc_ua.client import OpcUaClient
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.values import SensorValue, collect, plain_settings, sensor_values


class OpcUaResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """One OPC UA source; nothing is opened before a method is called."""

    source: str = Field(description="Name of the source in integrations.yaml.")
    settings: dict[str, Any] = Field(description="The source's part of integrations.yaml; secrets as ${NAME}.")

    @classmethod
    def of(cls, source: str, config: OpcUaConfig) -> Self:
        """Return the resource of a configured source."""
        return cls(source=source, settings=plain_settings(config))

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
        catalog = SensorCatalog(Sensor(tag.sensor_id, tag.unit, self.source, tag.is_text) for tag in config.tags)
        return OpcUaClient(self.source, config, catalog), catalog
