"""The BACnet/IP connector as a Dagster resource: reads once, or listens for a while; the collector does the rest."""

import asyncio

from resources.core.tags import SensorCatalog
from resources.scada.bacnet.client import BacnetClient
from resources.scada.bacnet.config import BacnetConfig
from resources.scada.bacnet.device import who_is
from resources.scada.bacnet.stack import shared_stack
from resources.scada.scada_resource import ScadaResource
from resources.scada.values import SensorValue, collect, sensor_values


class BacnetResource(ScadaResource):
    """One BACnet source; nothing is opened before a method is called."""

    def read_sensor(self, sensor_id: str) -> SensorValue:
        """Return a sensor's present value; raises as `read_objects`."""
        return self.read_objects([sensor_id])[0]

    def read_objects(self, sensor_ids: list[str] | None = None) -> list[SensorValue]:
        """Return the present values of some sensors, of all if None.

        Raises:
            KeyError: A sensor is not one of this source.
            SourceError: The device cannot be reached, or refuses an object.
        """
        client, catalog = self._client()
        return sensor_values(asyncio.run(client.read(sensor_ids)).readings, catalog)

    def subscribe_objects(self, seconds: float) -> list[SensorValue]:
        """Return what notifications and polls bring in `seconds`; raises as `read_objects`."""
        client, catalog = self._client()
        return sensor_values(asyncio.run(collect(client, seconds)), catalog)

    def devices(self, seconds: float = 3.0) -> dict[int, str]:
        """Return device instance -> address of every device that answers Who-Is within `seconds`."""
        config = BacnetConfig.model_validate(self.settings)

        async def ask() -> dict[int, str]:
            async with shared_stack(self.source, config, look=True) as stack:
                return {said.iAmDeviceIdentifier[1]: str(said.pduSource) for said in await who_is(stack, seconds)}

        return asyncio.run(ask())

    def _client(self) -> tuple[BacnetClient, SensorCatalog]:
        config = BacnetConfig.model_validate(self.settings)
        catalog = self._catalog(config.tags)
        return BacnetClient(self.source, config, catalog), catalog
