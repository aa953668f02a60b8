"""The rigs as fixtures."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from resources.embedded.programs import ServerPrograms
from resources.transport.trust.certificates import CertificateAuthority, IssuedCertificate
from tests.contract.scada.bacnet_rig import BacnetRig
from tests.contract.scada.complete_opc_ua_server import CompleteServer
from tests.contract.scada.modbus_rigs import ModbusRtuRig
from tests.contract.scada.proxy import CuttableProxy
from tests.contract.scada.recorder import Recorder
from tests.contract.scada.rigs import PASSWORD, RIGS, ModbusRig, MqttRig, OpcUaRig, Rig, Surroundings


@pytest.fixture
def surroundings(
    tmp_path: Path,
    authority: CertificateAuthority,
    programs: ServerPrograms,
    server_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Surroundings:
    monkeypatch.setenv("RIG_PASSWORD", PASSWORD)
    monkeypatch.setenv("RIG_WRONG_PASSWORD", "wrong")
    return Surroundings(tmp_path, authority, programs, server_folder)


async def _started(rig: Rig) -> AsyncIterator[Rig]:
    await rig.start()
    yield rig
    await rig.stop()


@pytest_asyncio.fixture(params=list(RIGS))
async def rig(request: pytest.FixtureRequest, surroundings: Surroundings) -> AsyncIterator[Rig]:
    async for started in _started(RIGS[request.param](surroundings)):
        yield started


ALL_RIGS = {**RIGS, BacnetRig.kind: BacnetRig, "modbus_rtu": ModbusRtuRig}


@pytest_asyncio.fixture(params=list(ALL_RIGS))
async def any_rig(request: pytest.FixtureRequest, surroundings: Surroundings) -> AsyncIterator[Rig]:
    """Every rig; `rig` leaves out BACnet, which has no login, no TLS and no times of its own."""
    async for started in _started(ALL_RIGS[request.param](surroundings)):
        yield started


@pytest_asyncio.fixture
async def opc_ua_rig(surroundings: Surroundings) -> AsyncIterator[Rig]:
    async for started in _started(OpcUaRig(surroundings)):
        yield started


@pytest_asyncio.fixture
async def modbus_rig(surroundings: Surroundings) -> AsyncIterator[Rig]:
    async for started in _started(ModbusRig(surroundings)):
        yield started


@pytest_asyncio.fixture
async def mqtt_rig(surroundings: Surroundings) -> AsyncIterator[Rig]:
    async for started in _started(MqttRig(surroundings)):
        yield started


@pytest.fixture
def recorder_for() -> Callable[..., Recorder]:
    return Recorder


@pytest.fixture(scope="session")
def client_pair(authority: CertificateAuthority) -> IssuedCertificate:
    return authority.issue("complete-client", application_uri="urn:gl:test:client")


@pytest.fixture(scope="session")
def running_server(authority: CertificateAuthority) -> Iterator[CompleteServer]:
    server = CompleteServer()
    server.start(authority.issue("complete-server", application_uri="urn:gl:test:server"))
    yield server
    server.stop()


@pytest_asyncio.fixture
async def complete_server(running_server: CompleteServer) -> AsyncIterator[CompleteServer]:
    """The completed OPC UA server, without nodes, limits and clients: one for all tests, since a start takes seconds."""
    await running_server.limit()
    yield running_server
    await running_server.clear()


@pytest_asyncio.fixture
async def complete_proxy(complete_server: CompleteServer) -> AsyncIterator[CuttableProxy]:
    proxy = CuttableProxy(complete_server.port)
    await proxy.start()
    yield proxy
    await proxy.stop()
