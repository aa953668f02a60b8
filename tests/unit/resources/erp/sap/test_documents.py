"""What the how-to, the README and the declarations of SAP say, held against the models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from gl_assets.erp.tables import TABLES
from resources.erp.sap.conditions import Condition
from resources.erp.sap.config import SapConfig
from resources.integrations import Integrations
from resources.transport.auth.config import AuthConfig
from resources.transport.odata.filters import written

REPOSITORY = Path(__file__).resolve().parents[5]
HOW_TO = REPOSITORY / "docs" / "how-to" / "connect-sap.md"
README = REPOSITORY / "resources" / "erp" / "sap" / "README.md"


def block(page: Path) -> Any:
    found = re.search(r"```yaml\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return yaml.safe_load(found.group(1))


def test_the_configuration_of_the_how_to_when_read_is_valid() -> None:
    config = Integrations.model_validate({"site": "s", "start": "2026-01-01T00:00:00Z", **block(HOW_TO)})
    sap = config.erp.systems["sap"]
    assert isinstance(sap, SapConfig)
    assert sap.options_of("purchase_orders").expand_by == "batch"
    assert sap.options_of("purchase_orders").order_by == ("PurchaseOrder",)
    assert set(sap.datasets) < set(SapConfig.shipped_datasets())


def test_the_ways_of_logging_on_in_the_how_to_when_read_are_valid() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(AuthConfig)
    blocks = re.findall(r"`(\{type: .*?\})`", HOW_TO.read_text(encoding="utf-8"))
    kinds = [
        adapter.validate_python(yaml.safe_load(text.replace("...", "https://sap.example/token"))).type
        for text in blocks
    ]
    assert kinds == ["basic", "mutual_tls", "saml_bearer", "api_key"]


def test_the_condition_of_the_readme_when_written_is_a_filter() -> None:
    condition = Condition.model_validate(block(README)["options"]["filter"])
    assert written(condition.as_filter()) == (
        "((ProductionPlant eq 'P100' or ProductionPlant eq 'P200') or startswith(toupper(Material),'STEAM'))"
        " and not (OrderIsMarkedForDeletion eq 'X')"
    )


def test_every_dataset_when_shipped_is_in_the_readme_and_fills_its_table() -> None:
    shipped = SapConfig.shipped_datasets()
    config = SapConfig.model_validate(
        {
            "kind": "sap",
            "http": {"base_url": "https://sap.example"},
            "auth": {"type": "api_key", "key": "${K}"},
            "company": "1",
            "datasets": list(shipped),
        }
    )
    text = README.read_text(encoding="utf-8")
    for name, declared in config.datasets.items():
        assert f"| `{name}` | {config.table_of(name)} |" in text
        columns = set(TABLES[config.table_of(name)].schema.columns)
        assert set(declared.fields) <= columns, name
        assert config.options_of(name).modules, name
