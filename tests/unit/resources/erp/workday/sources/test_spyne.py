"""The SOAP client against an independent server: spyne's WSDL, spyne's validation of requests, spyne's answers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import stamina

from resources.core.errors import AuthError, ConfigError, ProtocolError
from resources.erp.connector import Changed, Whole
from resources.erp.workday.client import WorkdayClient
from resources.erp.workday.config import WorkdayConfig
from tests.unit.resources.erp.workday.pulling import pull

REPOSITORY = Path(__file__).resolve().parents[6]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    arguments = [sys.executable, "-m", "tests.unit.resources.erp.workday.sources.spyne_workday"]
    with subprocess.Popen(arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, "the spyne server did not start"
        yield f"http://127.0.0.1:{port}"
        process.terminate()


@pytest.fixture
def settings(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setenv("WORKDAY_PASSWORD", "demo-workday-password")
    with stamina.set_testing(True, attempts=2):
        yield {
            "kind": "workday",
            "http": {
                "base_url": address,
                "insecure_plain_http": True,
                "page_size": 10,
                "attempts": 2,
                "rate_limit_per_minute": None,
            },
            "auth": {"type": "basic", "username": "ISU_GL@gl_demo", "password": "${WORKDAY_PASSWORD}"},
            "tenant": "gl_demo",
            "company": "GL-DEMO",
            "wsdl_folder": str(tmp_path),
            "datasets": {
                "cost_centers": {
                    "protocol": "soap",
                    "options": {"response_group": {"Include_Reference": "true"}},
                }
            },
        }


def test_pages_when_served_by_spyne_bring_every_record_once(settings: dict[str, Any]) -> None:
    config = WorkdayConfig.model_validate(settings)
    with WorkdayClient("wd", config) as client:
        pages = list(client.fetch("cost_centers", Whole()))
    records = [json.loads(record) for page in pages for record in page.records]
    assert [len(page.records) for page in pages] == [10, 10, 5]
    assert {page.server_count for page in pages} == {25}
    assert [record["Cost_Center_Reference"]["Cost_Center_Reference_ID"] for record in records] == [
        f"CC{number:03d}" for number in range(1, 26)
    ]
    assert records[0]["Cost_Center_Data"]["Organization_Data"]["Organization_Name"] == "Center <CC001> & more ÄÖÜ"


def test_criteria_with_instants_when_validated_by_spyne_are_good(settings: dict[str, Any]) -> None:
    part = Changed(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, 3, 4, 5, tzinfo=UTC))
    assert len(pull(WorkdayConfig.model_validate(settings), "cost_centers", part)) == 25


def test_a_password_when_spyne_refuses_it_is_an_auth_error_sent_once(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKDAY_PASSWORD", "wrong-password")
    with WorkdayClient("wd", WorkdayConfig.model_validate(settings)) as client:
        with pytest.raises(AuthError, match="invalid username or password"):
            list(client.fetch("cost_centers", Whole()))
        with pytest.raises(AuthError, match="the same secret is not sent again"):
            list(client.fetch("cost_centers", Whole()))


def test_criteria_when_spynes_wsdl_lacks_them_are_never_sent(settings: dict[str, Any]) -> None:
    settings["datasets"]["cost_centers"]["options"]["always"] = {"Include_Inactive": "true"}
    with pytest.raises(ConfigError, match="Include_Inactive"):
        pull(WorkdayConfig.model_validate(settings), "cost_centers", Whole())


def test_a_value_when_spyne_finds_it_invalid_is_told_in_its_words(settings: dict[str, Any]) -> None:
    settings["datasets"]["cost_centers"]["options"]["always"] = {"Updated_From_Date": "not a moment"}
    with pytest.raises(ProtocolError, match=r"Client.SchemaValidationError.*not a moment"):
        pull(WorkdayConfig.model_validate(settings), "cost_centers", Whole())


def test_the_wsdl_when_described_is_spynes(settings: dict[str, Any]) -> None:
    with WorkdayClient("wd", WorkdayConfig.model_validate(settings)) as client:
        described = client.describe()
    assert b"Get_Cost_Centers_RequestType" in described.files["Financial_Management.wsdl"]
    paths = {found.path for found in described.properties["cost_centers"]}
    assert {"Cost_Center_Reference", "Cost_Center_Data.Organization_Data.Organization_Name"} <= paths
