"""What a supervisor asks of every connector beside reading: where it is, how it is, and to read it elsewhere."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from resources.core.clock import to_micros
from resources.core.errors import SourceError
from resources.scada.connector import Address, HasEndpoints, HasGreeting, HasHealth
from resources.transport.tcp_look import PortLooker
from tests.contract.scada.proxy import CuttableProxy
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import TEMPERATURE, Rig

START_US = to_micros(datetime(2026, 11, 22, 10, 15, tzinfo=UTC))
PATIENCE_S = 30.0


def ready(rig: Rig, **changes: Any) -> tuple[Any, Recorder]:
    config = rig.config(**changes)
    catalog = rig.catalog(config)
    return rig.build(config, catalog), Recorder(catalog)


async def test_connector_when_asked_where_it_is_then_the_configured_address_first(rig: Rig) -> None:
    client, _ = ready(rig, other_endpoints=["127.0.0.1:4999"])
    assert isinstance(client, HasEndpoints)
    assert list(client.addresses()) == [Address("127.0.0.1", rig.proxy.port), Address("127.0.0.1", 4999)]


async def test_health_when_connected_then_the_peer_answers_over_the_same_connection(rig: Rig) -> None:
    client, recorder = ready(rig)
    assert isinstance(client, HasHealth)
    with pytest.raises(SourceError):
        await client.check_health()
    async with running(client, recorder):
        connections = rig.proxy.connections
        async with asyncio.timeout(PATIENCE_S):
            health = await client.check_health()
        assert rig.proxy.connections == connections
        assert (health.service_level is not None) == (rig.kind == "opc_ua")


async def test_connector_when_told_to_move_then_the_next_connection_goes_there(rig: Rig) -> None:
    elsewhere = CuttableProxy(rig.server_port)
    await elsewhere.start()
    try:
        client, recorder = ready(rig, other_endpoints=[f"127.0.0.1:{elsewhere.port}"])
        client.use(1)
        async with running(client, recorder) as task:
            assert (rig.proxy.connections, elsewhere.connections) == (0, 1)
            await rig.put(3.0, START_US)
            await until(lambda: recorder.has(TEMPERATURE, START_US, 3.0), "the reading from elsewhere", task)
        client.use(0)
        async with running(client, recorder):
            assert rig.proxy.connections == 1
    finally:
        await elsewhere.stop()


async def test_greeting_when_there_is_one_then_a_live_peer_answers_and_a_silent_one_does_not(rig: Rig) -> None:
    client, _ = ready(rig)
    greeting = client.greeting(0) if isinstance(client, HasGreeting) else b""
    looker = PortLooker()
    assert await looker.is_alive("127.0.0.1", rig.proxy.port, PATIENCE_S, greeting)
    rig.proxy.deaf = True
    assert await looker.is_alive("127.0.0.1", rig.proxy.port, 0.3, greeting) == (greeting == b"")
