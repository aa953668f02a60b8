"""Calibrations in a file of their own: `calibrations: certificates.yaml` in place of the list."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from resources.core.calibration.calibrations import CalibrationConfig
from resources.core.configuration.settings import StrictModel
from resources.core.configuration.yaml_document import Document
from resources.core.errors import ConfigError


class CalibrationFile(StrictModel):
    """A file with nothing but calibrations."""

    calibrations: tuple[CalibrationConfig, ...] = ()
    """As in the configuration."""


def add_calibration_file(document: Document) -> None:
    """Put the calibrations of the file that a document names in place of its name.

    Raises:
        ConfigError: The file cannot be read, or is wrong; each line names file, line and key.
    """
    named = document.data.get("calibrations") if isinstance(document.data, dict) else None
    if not isinstance(named, str):
        return
    path = (document.folder or Path.cwd()) / named
    try:
        path.stat()
    except OSError as error:
        raise ConfigError(
            document.fault(
                ("calibrations",), f"{path}: cannot be read ({error.strerror}): name the file of calibrations"
            )
        ) from error
    found = Document.load(path)
    # judged by itself first, so that a fault names this file and its line
    found.validated(CalibrationFile)
    listed: Any = found.data.get("calibrations", [])
    document.data["calibrations"] = listed
