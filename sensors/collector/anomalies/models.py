"""The detectors in force: read from the database while it is there, and kept in GL_HOME for when it is not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import structlog

from gl_assets.scada.anomaly.scoring import Watched
from gl_assets.transforms.anomaly.trained import Trained
from resources.core.errors import DataError
from resources.core.process.durable_file import replace_file
from resources.databases.timescale.anomaly.anomaly_models import StoredModel

log = structlog.get_logger(__name__)

MODELS_FILE = "anomaly_models.json"
"""The detectors' file in GL_HOME."""


class ModelShelf:
    """Equipment -> the newest detectors that were trained under the present configuration."""

    def __init__(self, path: Path, fingerprints: Mapping[str, str]) -> None:
        """Read what an earlier run has kept.

        Args:
            path: The file.
            fingerprints: Equipment -> what the configuration's detectors are known by.
        """
        self._path, self._fingerprints = path, fingerprints
        self._kept: dict[str, tuple[int, str]] = {}
        self.models: Mapping[str, Watched] = {}
        """Replaced as a whole, never changed: other threads read it."""
        self._take(self._read())

    def renew(self, stored: Iterable[StoredModel]) -> None:
        """Take what the database has; what is new is also kept for the next start."""
        own = {
            model.equipment: (model.version, model.model)
            for model in stored
            if self._fingerprints.get(model.equipment) == model.fingerprint
        }
        if {name: version for name, (version, _) in own.items()} == {n: v for n, (v, _) in self._kept.items()}:
            return
        self._take(own)
        self._write()

    def _take(self, found: Mapping[str, tuple[int, str]]) -> None:
        before, models = self.models, dict[str, Watched]()
        for equipment, (version, text) in found.items():
            held = before.get(equipment)
            if held is not None and held.version == version:
                models[equipment] = held
                continue
            try:
                models[equipment] = Watched(equipment, version, Trained.from_json(text))
            except DataError as error:
                log.warning("anomaly_model_refused", equipment=equipment, version=version, error=str(error))
            else:
                log.info("anomaly_model_in_force", equipment=equipment, version=version)
        self._kept, self.models = dict(found), models

    def _write(self) -> None:
        content = {
            name: {"fingerprint": self._fingerprints[name], "version": version, "model": json.loads(text)}
            for name, (version, text) in self._kept.items()
        }
        try:
            replace_file(self._path, json.dumps(content))
        except OSError as error:
            log.warning("anomaly_models_not_kept", path=str(self._path), error=str(error))

    def _read(self) -> dict[str, tuple[int, str]]:
        """Return what the file holds that was trained under the present configuration."""
        try:
            held = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                name: (int(one["version"]), json.dumps(one["model"]))
                for name, one in held.items()
                if self._fingerprints.get(name) == one["fingerprint"]
            }
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            # the database has them
            log.warning("anomaly_models_lost", path=str(self._path), error=str(error))
            return {}
