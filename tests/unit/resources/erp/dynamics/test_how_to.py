"""The configurations of the how-to, of the connector's README and of the example are ones that the platform takes."""

from __future__ import annotations

import re
from typing import Any

import yaml

from resources.demo_plant.erp.dynamics.demo import demo_app, demo_settings
from resources.erp.dynamics.config import DynamicsConfig
from resources.integrations import example_path

HOW_TO = example_path().parent / "docs" / "how-to" / "connect-dynamics.md"


def blocks() -> list[Any]:
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)]


def test_every_configuration_of_the_how_to_when_read_is_taken() -> None:
    whole, posted, certificate, adapted = blocks()
    system = whole["erp"]["systems"]["d365"]
    found = DynamicsConfig.model_validate(system)
    assert set(found.datasets) == set(DynamicsConfig.shipped_datasets())
    assert DynamicsConfig.model_validate({**system, **certificate}).auth.type == "jwt_bearer"
    datasets = {**system["datasets"], **posted}
    other = DynamicsConfig.model_validate({**system, "datasets": datasets})
    assert other.datasets["financial_transactions"].resource == "GeneralJournalAccountEntryV2Entities"
    polled = DynamicsConfig.model_validate({**system, "datasets": {**datasets, **adapted}})
    assert polled.datasets["financial_transactions"].poll_every is not None


def test_operating_units_when_read_as_the_readme_says_are_a_dataset() -> None:
    system = blocks()[0]["erp"]["systems"]["d365"]
    declared = {
        "inherit": False,
        "resource": "OperatingUnits",
        "key": "OperatingUnitNumber",
        "where": [
            {
                "property": "OperatingUnitType",
                "value": "Microsoft.Dynamics.DataEntities.OMOperatingUnitType'OMCostCenter'",
            }
        ],
        "options": {"per_company": False},
    }
    assert DynamicsConfig.model_validate({**system, "datasets": {"cost_centers": declared}})


def test_the_example_when_its_block_is_uncommented_is_taken() -> None:
    text = example_path().read_text()
    block = text[text.index("    #d365:") : text.index("# Agent coordination")]
    bare = re.sub(r"^(\s*)#(?! )", r"\1", block, flags=re.MULTILINE)
    assert DynamicsConfig.model_validate(yaml.safe_load(bare)["d365"]).companies == ("usmf", "demf")


def test_the_block_of_the_demo_when_read_is_taken_and_names_every_dataset() -> None:
    found = DynamicsConfig.model_validate(demo_settings("https://127.0.0.1:4443", example_path()))
    assert set(found.datasets) == set(DynamicsConfig.shipped_datasets())


def test_the_fake_of_the_demo_when_made_takes_the_demos_secret() -> None:
    assert demo_app("s3cret", 7).state.service.tokens.app.client_secret == "s3cret"
