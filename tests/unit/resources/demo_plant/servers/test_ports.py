from __future__ import annotations

import socket

import pytest

from resources.core.errors import UnreachableError
from resources.demo_plant.servers.opc_ua import OpcUaEndpoint, OpcUaServer
from resources.demo_plant.servers.ports import require_free
from resources.embedded.ports import free_port


def test_require_free_when_nobody_listens_then_says_nothing() -> None:
    require_free("127.0.0.1", free_port(), "HTTP")


async def test_opc_ua_server_when_the_port_is_taken_then_says_what_to_do() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = OpcUaServer(OpcUaEndpoint("127.0.0.1", other.getsockname()[1]), [])
        with pytest.raises(UnreachableError, match="for OPC UA .* delete plant.json"):
            await server.start()
    assert server.pending() == server.drop_connections() == server.longest_queue() == server.unacknowledged() == 0
    await server.stop()
