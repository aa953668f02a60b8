"""SAP as a Dagster resource: the client of one system, open for as long as a step runs."""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from resources.erp.records import RecordPage
from resources.erp.sap.client import SapClient
from resources.erp.sap.config import SapConfig


class SapResource(dg.ConfigurableResource[Any]):
    """One SAP system of the configuration; secrets are looked up in the environment when the first token is needed."""

    system: str
    """Name of the system in the configuration."""
    settings: dict[str, Any]
    """The system's block of the configuration, as `from_config` writes it; secrets stay names of variables."""

    _client: SapClient | None = PrivateAttr(default=None)

    @classmethod
    def from_config(cls, system: str, config: SapConfig) -> "SapResource":
        """Return the resource of a system."""
        return cls(system=system, settings=config.model_dump(mode="json"))

    @property
    def config(self) -> SapConfig:
        """The system's configuration."""
        return SapConfig.model_validate(self.settings)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Prepare the client; nothing is sent."""
        del context
        self._client = SapClient(self.system, self.config)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connections."""
        del context
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def client(self) -> SapClient:
        """The plain client; only while a step runs."""
        assert self._client is not None, "the resource is open only while a step runs"
        return self._client

    def fetch_energy_consumption(self, day: date) -> Iterator[RecordPage]:
        """Yield the measurement documents of a business day, page by page; errors as of the client."""
        return self.client.fetch_energy_consumption(day)

    def fetch(self, dataset: str, day: date) -> Iterator[RecordPage]:
        """Yield the records of any declared dataset of a business day, page by page; errors as of the client."""
        return self.client.fetch(dataset, day)
