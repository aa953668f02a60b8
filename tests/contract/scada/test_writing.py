"""Writing, for every connector that can: by its own `write`, by the guard, and as a person does, by `gl write`."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from resources.core.configuration.settings import parse_yaml
from resources.core.errors import AuthError, ProtocolError, UnreachableError
from resources.databases.timescale.connection import connect
from resources.databases.timescale.notes.writes_audit import read_audit
from resources.integrations import Integrations
from resources.scada.connector import CanWrite
from resources.scada.values import plain_settings
from resources.scada.writes import Outcome, Requester, WriteReport, WriteRequest
from resources.write_back import write_tag
from tests.contract.scada.rigs import BAD, FLOW, TEMPERATURE, ModbusRig, Rig

REPOSITORY = Path(__file__).resolve().parents[3]
ANNA = Requester("anna", "gl write", "control-room-2")


def document(rig: Rig, **bounds: Any) -> str:
    """The file that a user would write for this rig: raw 20 is an engineering value of 41 (scale 2, offset 1)."""
    settings = plain_settings(rig.writable(**bounds))
    return yaml.safe_dump({"site": "plant", "start": "2026-11-01T00:00:00Z", "sources": {"rig": settings}})


async def guarded(
    rig: Rig, database_url: str, value: float, *, confirm: bool = True, sensor_id: str = FLOW, **bounds: Any
) -> WriteReport:
    config = parse_yaml(document(rig, **bounds), Integrations, name="rig.yaml")
    request = WriteRequest(sensor_id, value, confirm)
    return await asyncio.to_thread(write_tag, config, request, ANNA, database_url=database_url)


async def start_gl(config: Path, database_url: str, *arguments: str) -> asyncio.subprocess.Process:
    """Start `gl` as a person does."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gl_assets.cli.main",
        *arguments,
        cwd=REPOSITORY,
        env={**os.environ, "GL_CONFIG": str(config), "GL_DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def gl(config: Path, database_url: str, *arguments: str) -> tuple[int, str, str]:
    """Run `gl` to its end; return exit code, stdout and stderr."""
    process = await start_gl(config, database_url, *arguments)
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_write_when_the_device_takes_it_then_it_holds_the_raw_value(any_rig: Rig) -> None:
    await any_rig.show(20.0)
    config = any_rig.writable()
    client = any_rig.build(config, any_rig.catalog(config))
    assert isinstance(client, CanWrite)
    await client.write(FLOW, 51.0)
    await asyncio.wait_for(_holds(any_rig, 25.0), 30)


async def _holds(rig: Rig, raw: float) -> None:
    while await rig.at_device() != raw:
        await asyncio.sleep(0.01)


async def test_write_when_the_place_does_not_exist_then_the_source_says_no(any_rig: Rig) -> None:
    config = any_rig.config()
    client = any_rig.build(config, any_rig.catalog(config))
    with pytest.raises(ProtocolError, match="source rig: ") as caught:
        await client.write(BAD, 1.0)
    assert caught.value.source == "rig"


async def test_write_when_the_login_is_wrong_then_auth_error_and_the_device_keeps_its_value(rig: Rig) -> None:
    await rig.show(20.0)
    config = rig.wrong_login()
    client = rig.build(config, rig.catalog(config))
    with pytest.raises(AuthError, match="source rig: "):
        await asyncio.wait_for(client.write(FLOW, 51.0), 30)
    assert await rig.at_device() == 20.0


async def test_write_when_nobody_listens_then_unreachable_error(rig: Rig) -> None:
    config = rig.writable()
    await rig.proxy.stop()
    client = rig.build(config, rig.catalog(config))
    with pytest.raises(UnreachableError, match="source rig: .*refused"):
        await asyncio.wait_for(client.write(FLOW, 51.0), 30)


async def test_guard_when_confirmed_then_it_is_written_and_read_back(any_rig: Rig, database_url: str) -> None:
    await any_rig.show(20.0)
    rehearsed = await guarded(any_rig, database_url, 45.5, confirm=False)
    assert (rehearsed.outcome, rehearsed.old_value) == (Outcome.DRY_RUN, 41.0)
    assert await any_rig.at_device() == 20.0

    written = await guarded(any_rig, database_url, 45.5)
    assert (written.outcome, written.old_value, written.read_back) == (Outcome.WRITTEN, 41.0, 45.5), written.reason
    assert await any_rig.at_device() == 22.25

    # refused ones leave the device as it is
    for sensor_id, value, says in (
        (FLOW, 60.0, "is a step of 14.5"),
        (FLOW, 101.0, "outside of writable"),
        (TEMPERATURE, 1.0, "read-only"),
    ):
        refused = await guarded(any_rig, database_url, value, sensor_id=sensor_id)
        assert refused.outcome is Outcome.REFUSED
        assert says in refused.reason
    assert await any_rig.at_device() == 22.25


async def test_guard_when_the_source_is_away_then_nothing_is_sent_and_it_says_so(rig: Rig, database_url: str) -> None:
    config_text = document(rig)
    await rig.proxy.stop()
    config = parse_yaml(config_text, Integrations, name="rig.yaml")
    report = await asyncio.to_thread(write_tag, config, WriteRequest(FLOW, 45.0, True), ANNA, database_url=database_url)
    assert report.outcome is Outcome.FAILED
    assert "refused" in report.reason


async def test_gl_write_when_a_person_writes_then_device_record_and_words_agree(
    rig: Rig, database_url: str, tmp_path: Path
) -> None:
    await rig.show(20.0)
    path = tmp_path / "integrations.yaml"
    path.write_text(document(rig))

    code, out, err = await gl(path, database_url, "write", FLOW, "45", "--confirm", "--note", "shift order 7", "--json")
    assert code == 0, err
    assert json.loads(out)["outcome"] == "written"
    assert await rig.at_device() == 22.0

    code, out, err = await gl(path, database_url, "writes", "--json")
    assert code == 0, err
    rows = json.loads(out)
    assert [(row["outcome"], row["old_value"], row["new_value"], row["read_back"], row["note"]) for row in rows] == [
        ("written", 41.0, 45.0, 45.0, "shift order 7"),
    ]
    assert all(row["requested_via"] == "gl write" and row["requested_by"] for row in rows)


async def test_gl_write_when_it_is_ended_while_the_value_is_on_its_way_then_the_record_says_in_doubt(
    modbus_rig: ModbusRig, database_url: str, tmp_path: Path
) -> None:
    await modbus_rig.show(20.0)
    path = tmp_path / "integrations.yaml"
    path.write_text(document(modbus_rig))
    arrived = asyncio.Event()

    def swallow_the_answer() -> None:
        modbus_rig.proxy.deaf = True
        arrived.set()

    modbus_rig.on_write = swallow_the_answer
    process = await start_gl(path, database_url, "write", FLOW, "45", "--confirm")
    await asyncio.wait_for(arrived.wait(), 60)
    process.terminate()
    _, err = await process.communicate()
    assert process.returncode == 130, err
    assert b"gl writes --sensor rig.flow" in err
    with connect(database_url) as connection:
        (row,) = read_audit(connection, site="plant")
    assert (row.outcome, row.old_value, row.read_back) == ("in_doubt", 41.0, None), (row, err)
    assert row.completed_at is not None
