"""What several integration tests of the agents stand on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from resources.embedded.broker import EmbeddedBroker
from tests.agents_support import SITE, Plant, plain_broker


@pytest.fixture
def plant(tmp_path: Path, broker: EmbeddedBroker, database_url: str) -> Iterator[Plant]:
    """A site with a broker, a database and keys; its agents start when a test asks for them."""
    made = Plant(tmp_path, plain_broker(broker.port), database_url)
    yield made
    made.leave()


@pytest.fixture
def gl(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    """Whoever runs `gl` at that site."""
    settings = {"site": SITE, "start": "2026-01-01T00:00:00Z", "agents": plant.config.model_dump(mode="json")}
    path = plant.folder / "integrations.yaml"
    path.write_text(yaml.safe_dump(settings))
    monkeypatch.setenv("GL_CONFIG", str(path))
    monkeypatch.setenv("GL_DATABASE_URL", plant.database_url)
    return CliRunner()
