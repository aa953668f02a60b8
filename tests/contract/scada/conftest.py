"""The rigs as fixtures."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from resources.embedded.programs import ServerPrograms
from resources.transport.certificates import CertificateAuthority
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
