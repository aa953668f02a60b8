"""Everything but the guard only reads: nobody else calls what writes to the plant.

The connectors' own packages are left out: what they call inside is how `CanWrite.write` is made. So are the demo plant,
which is a plant and writes to itself, and the window buffer, which knows files only (import-linter holds both).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import resources
from resources.core.errors import ConfigError, UnreachableError
from resources.scada.mqtt.resource import MqttResource

REPOSITORY = Path(resources.__file__).resolve().parent.parent
GUARD = "resources/scada/writes.py"
CONNECTORS = tuple(f"resources/scada/{name}/" for name in ("opc_ua", "modbus", "mqtt", "bacnet"))
OTHER_THINGS = ("resources/demo_plant/", "resources/window_buffer/")
WAYS_IN = {"resources/write_back.py", "gl_assets/cli/site/write.py", "gl_assets/scada/write_setpoint.py"}


@cache
def modules() -> list[tuple[str, ast.Module]]:
    return [
        (path.relative_to(REPOSITORY).as_posix(), ast.parse(path.read_text(encoding="utf-8")))
        for package in ("resources", "gl_assets", "sensors")
        for path in sorted((REPOSITORY / package).rglob("*.py"))
    ]


def writes_to_plant(node: ast.AST) -> bool:
    """Whether a call is `something.write(sensor_id, value)`, or of a kin of it; files and sockets take one argument."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    several = len(node.args) + len(node.keywords) >= 2
    return (node.func.attr == "write" and several) or node.func.attr in ("read_write_registers", "write_value")


def imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                yield node.module, name.name
        elif isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, ""


def test_calls_of_write_when_all_modules_are_read_then_only_the_guard_makes_one() -> None:
    found = {
        path
        for path, tree in modules()
        if not path.startswith(CONNECTORS + OTHER_THINGS) and any(writes_to_plant(node) for node in ast.walk(tree))
    }
    assert found == {GUARD}


def test_can_write_when_all_modules_are_read_then_only_the_guard_asks_for_it() -> None:
    found = {path for path, tree in modules() if any(name == "CanWrite" for _, name in imported(tree))}
    assert {path for path in found if not path.startswith(CONNECTORS)} == {GUARD}


def test_guard_when_all_modules_are_read_then_only_command_and_job_reach_it() -> None:
    guard = {
        path
        for path, tree in modules()
        if any(module == "resources.scada.writes" and name == "WriteGuard" for module, name in imported(tree))
    }
    assert guard == {"resources/write_back.py"}
    ways = {path for path, tree in modules() if any(name == "write_tag" for _, name in imported(tree))}
    assert ways == WAYS_IN - {"resources/write_back.py"}


def test_resources_of_sources_when_read_then_none_offers_to_write() -> None:
    for path, tree in modules():
        if path.startswith(CONNECTORS) and path.endswith("/resource.py"):
            offered = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert not {name for name in offered if "write" in name}, path
            assert not any(isinstance(node, ast.Attribute) and "write" in node.attr for node in ast.walk(tree)), path


@pytest.mark.parametrize(
    ("topic", "commands"),
    [
        ("boiler/sp/set", True),
        ("spBv1.0/plant/NCMD/edge", True),
        ("spBv1.0/plant/DCMD/edge/pump", True),
        ("boiler/sp", False),
        ("spBv1.0/plant/DDATA/edge/pump", False),
    ],
)
def test_publish_when_a_topic_commands_a_device_then_it_is_refused(topic: str, commands: bool) -> None:
    tag = {"sensor_id": "a", "unit": "bar", "topic": "boiler/sp", "command_topic": "boiler/sp/set"}
    settings = {
        "kind": "mqtt",
        "broker": {"host": "127.0.0.1", "port": 1, "tls": False, "insecure_plain_tcp": True},
        "client_id": "c",
        "topic_filters": ["boiler/#"],
        "tags": [tag],
    }
    resource = MqttResource(source="meters", settings=settings)
    with pytest.raises(ConfigError if commands else UnreachableError, match="gl write" if commands else "refused"):
        resource.publish(topic, b"1")
