"""The Dagster resources of the configured ERP systems, by the keys that assets ask for them with.

One class serves all kinds: it builds the plain client of the system's connector and closes it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from resources.erp.config import SystemConfig
from resources.erp.connector import ErpClient, Part
from resources.erp.kinds import connector
from resources.erp.records import RecordPage


class ErpResource(dg.ConfigurableResource[Any]):
    """One ERP system of the configuration; secrets are looked up in the environment when the first token is needed."""

    system: str
    """Name of the system in the configuration."""
    kind: str
    """Kind of the system: which connector reads it."""
    settings: str
    """The system's block of the configuration as JSON, as `from_config` writes it; secrets stay names of variables.

    As text, because Dagster's own maps hold no null, and a translation of values may mean just that.
    """

    _client: ErpClient | None = PrivateAttr(default=None)

    @classmethod
    def from_config(cls, system: str, config: SystemConfig) -> "ErpResource":
        """Return the resource of a system; nothing is opened."""
        return cls(system=system, kind=config.kind, settings=config.model_dump_json())

    @property
    def config(self) -> SystemConfig:
        """The system's configuration."""
        return connector(self.kind).config_class.model_validate_json(self.settings)

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Prepare the client; nothing is sent."""
        del context
        self._client = connector(self.kind).client_factory(self.system, self.config)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Close the connections."""
        del context
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def client(self) -> ErpClient:
        """The plain client; only while a step runs."""
        assert self._client is not None, "the resource is open only while a step runs"
        return self._client

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield a part of a configured dataset, page by page; errors as of the client."""
        return self.client.fetch(dataset, part)


def resource_key(system: str) -> str:
    """Return the resource key of a system: `erp_<system>`, with `_` for `-`, which a key cannot hold."""
    return f"erp_{system}".replace("-", "_")


def build_erp_resources(systems: Mapping[str, SystemConfig]) -> dict[str, ErpResource]:
    """Return one resource per system; nothing is opened, no variable read."""
    return {resource_key(name): ErpResource.from_config(name, config) for name, config in systems.items()}
