"""What the tests against the completed OPC UA server share."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from resources.core.clock import to_micros
from resources.core.errors import UnreachableError
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.opc_ua.client import OpcUaClient
from resources.scada.opc_ua.config import OpcUaConfig
from tests.contract.scada.complete_opc_ua_server import NAMESPACE, CompleteServer
from tests.contract.scada.recorder import Recorder, until

START_US = to_micros(datetime(2026, 11, 22, 10, 15, 0, 123456, tzinfo=UTC))
SECOND_US = 1_000_000


def tag(name: str, **settings: Any) -> dict[str, Any]:
    return {"sensor_id": name, "unit": "Cel", "node_id": f"nsu={NAMESPACE};s={name}", **settings}


def ready(port: int, *names: str, **changes: Any) -> tuple[OpcUaClient, Recorder]:
    config = OpcUaConfig.model_validate(
        {
            "kind": "opc_ua",
            "endpoint_url": f"opc.tcp://127.0.0.1:{port}/gl",
            "insecure_no_security": True,
            "publishing_interval": "20ms",
            "sampling_interval": "10ms",
            "tags": [tag(name) for name in names],
        }
        | changes
    )
    catalog = SensorCatalog(Sensor(each.sensor_id, each.unit, "rig") for each in config.tags)
    return OpcUaClient("rig", config, catalog), Recorder(catalog)


async def lost(task: asyncio.Task[None]) -> None:
    with pytest.raises(UnreachableError, match="source rig"):
        await asyncio.wait_for(asyncio.shield(task), 60)


def values_of(recorder: Recorder, name: str) -> list[float | None]:
    """Values that are readings: first values are not counted in."""
    return [row.value for row in recorder.rows() if row.sensor_id == name and not row.only_if_newer]


async def put_and_see(server: CompleteServer, recorder: Recorder, number: int, task: asyncio.Task[None]) -> None:
    at = START_US + number * SECOND_US
    await server.put("a", float(number), at)
    await until(lambda: recorder.has("a", at, float(number)), f"value {number}", task)
