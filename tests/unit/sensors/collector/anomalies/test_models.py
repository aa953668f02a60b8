from __future__ import annotations

import json
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from resources.databases.timescale.anomaly.anomaly_models import StoredModel
from sensors.collector.anomalies.models import ModelShelf
from tests.unit.sensors.collector.anomalies.plant import NOON, SENSORS, trained

KNOWN = {"kiln": "f1", "oven": "f2"}


def stored(equipment: str = "kiln", fingerprint: str = "f1", version: int = 1, model: str | None = None) -> StoredModel:
    text = trained().to_json() if model is None else model
    return StoredModel(equipment, fingerprint, text, SENSORS, NOON, NOON, 800, version=version)


def test_shelf_when_the_database_has_detectors_then_they_are_there_at_the_next_start_too(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path / "models.json", KNOWN)
    assert shelf.models == {}
    shelf.renew([stored(version=3)])
    assert shelf.models["kiln"].version == 3
    again = ModelShelf(tmp_path / "models.json", KNOWN)
    assert again.models["kiln"].trained.to_json() == trained().to_json()


def test_shelf_when_nothing_is_newer_then_the_same_object_and_no_write(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path / "models.json", KNOWN)
    shelf.renew([stored()])
    held = shelf.models["kiln"]
    (tmp_path / "models.json").unlink()
    shelf.renew([stored()])
    assert shelf.models["kiln"] is held
    assert not (tmp_path / "models.json").exists()
    shelf.renew([stored(), stored("oven", "f2")])
    assert shelf.models["kiln"] is held
    assert set(shelf.models) == {"kiln", "oven"}


def test_shelf_when_the_configuration_has_changed_then_old_detectors_are_left_alone(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path / "models.json", KNOWN)
    shelf.renew([stored(), stored("oven", "another")])
    assert set(shelf.models) == {"kiln"}
    assert ModelShelf(tmp_path / "models.json", {"kiln": "another"}).models == {}


def test_shelf_when_one_model_is_none_then_the_others_are_in_force(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path / "models.json", KNOWN)
    with capture_logs() as logs:
        shelf.renew([stored(), stored("oven", "f2", model='{"format": 99}')])
    assert set(shelf.models) == {"kiln"}
    assert [entry["equipment"] for entry in logs if entry["event"] == "anomaly_model_refused"] == ["oven"]


@pytest.mark.parametrize("content", ["", "[]", json.dumps({"kiln": {"fingerprint": "f1"}})])
def test_shelf_when_the_file_is_damaged_then_nothing_is_in_force_until_the_database_answers(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / "models.json").write_text(content)
    shelf = ModelShelf(tmp_path / "models.json", KNOWN)
    assert shelf.models == {}
    shelf.renew([stored()])
    assert set(shelf.models) == {"kiln"}


def test_shelf_when_the_disk_takes_nothing_then_the_detectors_are_in_force_all_the_same(tmp_path: Path) -> None:
    shelf = ModelShelf(tmp_path / "no folder" / "models.json", KNOWN)
    shelf.renew([stored()])
    assert set(shelf.models) == {"kiln"}
