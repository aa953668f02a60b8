"""What becomes of births and data of a well-behaved edge node."""

import asyncio

import pytest

from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.sparkplug.conftest import LEVEL, RUNNING, STATE, STEAM, SparkplugRig

T0 = 1_795_342_500_000


def texts(recorder: Recorder) -> list[tuple[str, str | None, str]]:
    rows = [row for batch in recorder.batches if batch.texts is not None for row in batch.texts.to_pylist()]
    return [(recorder.catalog.sensors[row["sensor_key"]].sensor_id, row["value"], row["status"]) for row in rows]


async def born(recorder: Recorder, task: asyncio.Task[None]) -> None:
    await until(lambda: {r.sensor_id for r in recorder.rows()} >= {STEAM, LEVEL, RUNNING}, "the births", task)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_run_when_the_edge_node_is_there_before_us_then_it_is_asked_for_its_births(
    rig: SparkplugRig, version: str
) -> None:
    broker = {"host": "127.0.0.1", "port": rig.broker.port, "tls": False, "insecure_plain_tcp": True}
    client, recorder = rig.ready(broker=broker | {"protocol": version})
    async with running(client, recorder) as task:
        await born(recorder, task)
    rows = {row.sensor_id: row for row in recorder.rows()}
    assert (rows[STEAM].value, rows[LEVEL].value, rows[RUNNING].value) == (1.0, -9.0, 0.0)
    assert all(row.only_if_newer and row.status == "good" for row in recorder.rows())
    assert (STATE, "idle", 0) in texts(recorder)
    assert rig.node.rebirths_asked == 1
    assert recorder.counts["sent"] == 0
    assert not recorder.failed


async def test_run_when_data_come_by_alias_then_they_are_readings_with_their_own_time(rig: SparkplugRig) -> None:
    client, recorder = rig.ready()
    async with running(client, recorder) as task:
        await born(recorder, task)
        for number in range(300):
            rig.node.publish_data("", {"Steam/Flow": 2.5 + number}, T0 + number)
            rig.node.publish_data("Drum", {"Level": -number, "State": f"s{number}"}, T0 + number)
        await until(lambda: recorder.has(LEVEL, (T0 + 299) * 1000, -2 * 299 + 1), "the last data", task)
    rows = [row for row in recorder.rows() if not row.only_if_newer]
    assert [r.value for r in rows if r.sensor_id == STEAM] == [2.5 + n for n in range(300)]
    assert [r.value for r in rows if r.sensor_id == LEVEL] == [1.0 - 2 * n for n in range(300)]
    assert [text for name, text, _ in texts(recorder) if name == STATE][-1] == "s299"
    assert rig.node.rebirths_asked == 1
    assert not recorder.rejects()
