"""A real OPC UA server (asyncua) without security, with history, for tests of what is read of a server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.server.history import HistoryDict

from resources.core.tags import Sensor, SensorCatalog
from resources.embedded.ports import free_port
from resources.scada.opc_ua.config import OpcUaConfig

NAMESPACE = "urn:gl:test"


class PlainServer:
    """Start, add nodes, write values; `history_calls` has the number of nodes of each HistoryRead."""

    def __init__(self, *, page: int = 10_000) -> None:
        """Serve history in pages of at most `page` values."""
        self.port = free_port()
        self.page = page
        self.history_calls: list[int] = []
        self.added: list[Any] = []
        self.limited: set[int] = set()
        self.most_history_nodes = 0
        """Above this many nodes in a HistoryRead the server refuses it, as its limit says; 0: no limit."""

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}/gl"

    async def start(self) -> None:
        self.server = Server()
        self.storage = HistoryDict(max_history_data_response_size=self.page)
        self.server.iserver.history_manager.set_storage(self.storage)
        await self.server.init()
        self.server.set_endpoint(self.url)
        self.server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await self.server.register_namespace("urn:someone:else")
        self.index = await self.server.register_namespace(NAMESPACE)
        manager = self.server.iserver.history_manager
        read = manager.read_history

        async def counted(parameters: Any) -> Any:
            self.history_calls.append(len(parameters.NodesToRead))
            if self.most_history_nodes and len(parameters.NodesToRead) > self.most_history_nodes:
                raise ServiceError(ua.StatusCodes.BadTooManyOperations)
            return await read(parameters)

        manager.read_history = counted  # type: ignore[method-assign]
        await self.server.start()

    async def stop(self) -> None:
        await self.server.stop()

    async def clear(self) -> None:
        """Take away what tests have added, and the limits they have set."""
        for node in self.added:
            await node.delete()
        self.added.clear()
        self.history_calls.clear()
        self.most_history_nodes = 0
        for identifier in self.limited:
            await self.limit(identifier, 0)
        self.storage._datachanges.clear()

    async def add(self, name: str, value: Any = 0.0, parent: Any = None, **kwargs: Any) -> Any:
        """Add a variable whose identifier is its name."""
        where = parent or self.server.nodes.objects
        node = await where.add_variable(ua.NodeId(name, self.index), f"{self.index}:{name}", value, **kwargs)
        self.added.append(node)
        return node

    async def historize(self, node: Any) -> None:
        """Let the node say that it has history; what it holds is put there by `keep`."""
        await self.storage.new_historized_node(node.nodeid, None)
        await node.set_attr_bit(ua.AttributeIds.AccessLevel, ua.AccessLevel.HistoryRead)
        await node.set_attr_bit(ua.AttributeIds.UserAccessLevel, ua.AccessLevel.HistoryRead)

    async def keep(self, node: Any, time: datetime, value: Any, status: int = 0) -> None:
        """Put a value into the node's history."""
        variant = value if isinstance(value, ua.Variant) else ua.Variant(value)
        data = ua.DataValue(variant, ua.StatusCode(status), SourceTimestamp=time, ServerTimestamp=time)
        await self.storage.save_node_value(node.nodeid, data)

    async def limit(self, identifier: int, value: int) -> None:
        """Set one of the server's OperationLimits."""
        self.limited.add(identifier)
        await self.server.get_node(ua.NodeId(identifier)).write_value(ua.Variant(value, ua.VariantType.UInt32))

    def config(self, tags: list[dict[str, Any]], **changes: Any) -> OpcUaConfig:
        """Return a configuration that reads this server."""
        return OpcUaConfig.model_validate(
            {
                "kind": "opc_ua",
                "endpoint_url": self.url,
                "insecure_no_security": True,
                "publishing_interval": "20ms",
                "sampling_interval": "10ms",
                "tags": tags,
                **changes,
            }
        )


def catalog_of(config: OpcUaConfig, source: str = "plant") -> SensorCatalog:
    """Return the catalog of a source alone."""
    return SensorCatalog(Sensor(tag.sensor_id, tag.unit, source, tag.is_text) for tag in config.tags)


def node_id(name: str) -> str:
    """Return the node_id of a node that `PlainServer.add` made."""
    return f"nsu={NAMESPACE};s={name}"
