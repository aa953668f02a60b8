"""The only list of Dagster resources: what assets, jobs and sensors reach the outside with.

Each is thin: typed fields in, the plain client out. Nothing is opened, and no variable read, before a run asks for it.
"""

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg

from resources.agents.resource import AgentsResource
from resources.core.process.home import gl_home
from resources.databases.timescale.connection import connect, database_url
from resources.databases.timescale.settings import ensure_window
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.erp.resources import build_erp_resources
from resources.integrations import Integrations, SourceConfig
from resources.window_buffer.reader import BufferReader

_SOURCES = {
    "opc_ua": "resources.scada.opc_ua.resource:OpcUaResource",
    "modbus": "resources.scada.modbus.resource:ModbusResource",
    "mqtt": "resources.scada.mqtt.resource:MqttResource",
    "bacnet": "resources.scada.bacnet.resource:BacnetResource",
}
"""Kind of a source -> module:class of its resource; imported where configured, since each brings its protocol along."""


class WindowBufferResource(dg.ConfigurableResource):  # type: ignore[type-arg] # Dagster binds the type itself
    """The folder of the collector's window buffer, read only."""

    folder: str = ""
    """The folder; empty means `buffer` in GL_HOME."""

    def path(self) -> Path:
        """Return the folder; it need not exist yet."""
        return Path(self.folder) if self.folder else gl_home() / "buffer"

    def reader(self) -> BufferReader:
        """Return a reader of the folder; one that does not exist is an empty buffer."""
        return BufferReader(self.path())


class TimescaleResource(dg.ConfigurableResource):  # type: ignore[type-arg] # as above
    """The platform's own database."""

    url: str = ""
    """`postgresql://user:password@host:port/database`; empty: what GL_DATABASE_URL says when a run starts."""

    def resolved_url(self) -> str:
        """Return the URL.

        Raises:
            ConfigError: Neither the field nor GL_DATABASE_URL is set.
        """
        return self.url or database_url()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection]:
        """Yield a connection; what was done is committed at the end, rolled back by an error.

        Raises:
            UnreachableError, AuthError, ConfigError: As `connect`.
        """
        with connect(self.resolved_url()) as connection:
            yield connection

    @contextmanager
    def store(self, config: Integrations) -> Iterator[ReadingsStore]:
        """Yield the store of readings, closed at the end.

        Raises:
            ConfigError: The database is cut into windows of another length than `config` says.
        """
        with ReadingsStore(self.resolved_url()) as store:
            with store.transaction() as connection:
                ensure_window(connection, site=config.site, window=config.window)
            yield store


def build_resources(config: Integrations) -> dict[str, object]:
    """Return every resource by the name that assets ask for it with; tests override single ones."""
    return {
        "window_buffer": WindowBufferResource(),
        "timescale": TimescaleResource(),
        "agents": AgentsResource.from_config(config.site, config.agents),
        **build_erp_resources(config.erp.systems),
        **{source_key(name, source): _source(name, source) for name, source in config.sources.items()},
    }


def source_key(name: str, source: SourceConfig) -> str:
    """Return the resource key of a source: `<kind>_<name>`, with `_` for `-`, which a key cannot hold."""
    return f"{source.kind}_{name}".replace("-", "_")


def _source(name: str, source: SourceConfig) -> object:
    module, _, kind = _SOURCES[source.kind].partition(":")
    return getattr(importlib.import_module(module), kind).of(name, source)
