"""What the Dagster resources of all SCADA connectors share: a source's name and its part of integrations.yaml."""

from collections.abc import Iterable
from typing import Any, Self

import dagster as dg
from pydantic import Field

from resources.core.configuration.settings import StrictModel, TagConfig
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.values import plain_settings


class ScadaResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """One source; nothing is opened before a method is called."""

    source: str = Field(description="Name of the source in integrations.yaml.")
    settings: dict[str, Any] = Field(description="The source's part of integrations.yaml; secrets as ${NAME}.")

    @classmethod
    def of(cls, source: str, config: StrictModel) -> Self:
        """Return the resource of a configured source."""
        return cls(source=source, settings=plain_settings(config))

    def _catalog(self, tags: Iterable[TagConfig]) -> SensorCatalog:
        return SensorCatalog(Sensor(tag.sensor_id, tag.unit, self.source, tag.is_text) for tag in tags)
