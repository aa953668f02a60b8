"""The configurations of the how-to, of the example and of the demo are ones that the platform takes."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
import yaml

from resources.demo_plant.erp.workday.demo import SECRET, demo_app, demo_settings
from resources.demo_plant.erp.workday.oauth import WorkdayLogin
from resources.erp.workday.config import WorkdayConfig
from resources.integrations import example_path

HOW_TO = example_path().parent / "docs" / "how-to" / "connect-workday.md"


def blocks() -> list[Any]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)]


def test_every_configuration_of_the_how_to_when_read_is_taken() -> None:
    whole, assertion, password, gateway, report, other = blocks()
    system = whole["erp"]["systems"]["workday"]
    read = WorkdayConfig.model_validate(system)
    assert {name: declared.protocol for name, declared in read.datasets.items()} == {
        "cost_centers": "soap",
        "financial_transactions": "soap",
        "workforce": "wql",
    }
    assert WorkdayConfig.model_validate({**system, **assertion}).auth.type == "jwt_bearer"
    assert WorkdayConfig.model_validate({**system, **password}).isu is not None
    assert WorkdayConfig.model_validate({**system, **gateway}).api_key is not None
    datasets = {**system["datasets"], **report, **other}
    adapted = WorkdayConfig.model_validate({**system, "datasets": datasets}).datasets
    assert adapted["financial_transactions"].options["day"] == {"From_Date": "{day}", "To_Date": "{day}"}
    assert adapted["locations"].poll_every is not None


def test_the_example_when_its_block_is_uncommented_is_taken() -> None:
    text = example_path().read_text()
    block = text[text.index("    #workday:") : text.index("# Agent coordination")]
    bare = re.sub(r"^(\s*)#(?! )", r"\1", block, flags=re.MULTILINE)
    read = WorkdayConfig.model_validate(yaml.safe_load(bare)["workday"])
    assert read.datasets["financial_transactions"].resource == "Journal_Lines_for_GL"


async def test_the_block_of_the_demo_when_read_is_taken_and_its_secret_opens_the_fake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(SECRET, "demo-secret")
    read = WorkdayConfig.model_validate(demo_settings("https://127.0.0.1:4443", example_path()))
    assert set(read.datasets) == {"cost_centers", "financial_transactions", "workforce"}
    login = WorkdayLogin()
    transport = httpx.ASGITransport(demo_app("demo-secret", seed=42))
    async with httpx.AsyncClient(transport=transport, base_url="https://workday.example") as client:
        form = {"grant_type": "refresh_token", "refresh_token": "demo-secret"}
        answer = await client.post(login.token_path, data=form, auth=(login.client_id, "demo-secret"))
        headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        sources = "/ccx/api/wql/v1/gl_demo/dataSources"
        assert (await client.get(sources, headers=headers)).status_code == 401
        assert (await client.get(sources, headers={**headers, "X-API-Key": "demo-secret"})).status_code == 200
