"""The configurations that the how-to pages on writing and certificates show: they load as they are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import resources
from resources.integrations import Integrations

HOW_TO = Path(resources.__file__).resolve().parent.parent / "docs" / "how-to"
BASE: dict[str, Any] = {"site": "plant", "start": "2026-11-01T00:00:00Z"}


def blocks(page: str) -> list[Any]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", (HOW_TO / page).read_text(), re.DOTALL)]


def test_write_setpoints_when_its_configuration_is_loaded_then_the_tag_may_be_written() -> None:
    source, switch, launch = blocks("write-setpoints.md")
    config = Integrations.model_validate(BASE | source | switch)
    tag = config.tags()["B1.SP"]
    assert tag.writable is not None
    assert config.writes.from_dagster
    given = launch["ops"]["write_value"]["config"]
    assert tag.writable.minimum <= given["value"] <= tag.writable.maximum


@pytest.mark.parametrize("key", ["allowed_hosts"])
def test_certificates_when_its_list_of_hosts_is_loaded_then_it_is_one(key: str) -> None:
    (listed,) = [block for block in blocks("certificates.md") if key in block]
    assert Integrations.model_validate(BASE | listed).allowed_hosts


def test_erp_connections_when_its_configuration_is_loaded_then_it_logs_on_by_jwt() -> None:
    (block,) = blocks("erp-connections.md")
    system = Integrations.model_validate(BASE | block).erp.systems["sap"]
    assert system.auth.type == "jwt_bearer"
    assert system.http.proxy_url == "http://proxy.example:3128"


def test_units_when_its_configurations_are_loaded_then_every_quantity_is_known() -> None:
    air, canonical = blocks("units.md")
    assert Integrations.model_validate(BASE | air).units.atmosphere_kpa == 96.5
    assert Integrations.model_validate(BASE | canonical).units.canonical["gas_flow"] == "m3{normal}/h"


def test_calibration_when_its_configuration_is_loaded_then_each_certificate_is_one() -> None:
    (block,) = blocks("calibration.md")
    names = [(one["sensor_id"], unit) for one, unit in zip(block["calibrations"], ("t/h", "Cel", "kg/h"), strict=True)]
    tags = [{"sensor_id": name, "unit": unit, "address": 2 * n} for n, (name, unit) in enumerate(names)]
    sources = {"sources": {"plc": {"kind": "modbus", "host": "localhost", "tags": tags}}}
    assert len(Integrations.model_validate(BASE | block | sources).calibration_book) == 3
