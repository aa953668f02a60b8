"""Training of one equipment's detectors on its stored readings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import psycopg

from gl_assets.scada.anomaly.rows import read_rows
from gl_assets.transforms.anomaly.detector import Detector
from gl_assets.transforms.anomaly.features import Floats
from gl_assets.transforms.anomaly.rows import Grid
from gl_assets.transforms.anomaly.settings import DetectorSettings
from gl_assets.transforms.anomaly.trained import Trained
from resources.core.clock import from_micros
from resources.core.configuration.anomalies import AnomaliesConfig
from resources.core.errors import DataError
from resources.databases.timescale.anomaly.anomaly_models import StoredModel
from resources.integrations import Integrations

_LEAST_KNOWN = 0.5
"""A sensor with values in fewer rows than this share is left out: it would leave no rows for the others."""


@dataclass(frozen=True, slots=True)
class Training:
    """What was learnt, and from what."""

    stored: StoredModel
    trained: Trained
    grid: Grid
    values: Floats
    """Rows x the model's sensors."""


def detector_of(config: AnomaliesConfig) -> Detector:
    """Return the detector that a configuration describes."""
    return Detector(DetectorSettings(smoothing_rows=config.smoothing_rows, confidence=config.confidence))


def train(
    connection: psycopg.Connection,
    config: Integrations,
    equipment: str,
    *,
    until: datetime,
    since: datetime | None = None,
    run_id: str,
) -> Training:
    """Return the detectors of an equipment, trained on its good readings of a span; nothing is stored.

    Args:
        connection: To the platform's database.
        config: The configuration.
        equipment: As tags name it.
        until: End of the span.
        since: Its beginning; `training_span` before the end if left out.
        run_id: The run's.

    Raises:
        DataError: The equipment has no sensors with numbers, or too few rows in which they have good readings.
    """
    block = config.anomalies
    sensors = block.equipment(config.tags().values()).get(equipment)
    if not sensors:
        raise DataError(
            f"equipment {equipment}: no tag with numbers names it in the configuration, or all are excluded; "
            "`gl tags list` shows what there is"
        )
    since = since or until - block.training_span
    step_us = round(block.step.total_seconds() * 1_000_000)
    grid, values = read_rows(
        connection, sensors, site=config.site, span=(since, until), step_us=step_us, hold_rows=block.hold_rows
    )
    grid, values = _without_empty_ends(grid, values)
    names, missing = _with_values(values, sensors)
    values = values[:, [list(sensors).index(name) for name in names]]
    try:
        trained = Trained.fit(values, names, detector=detector_of(block), step_us=step_us, hold_rows=block.hold_rows)
    except DataError as error:
        raise DataError(
            f"equipment {equipment}, {since:%Y-%m-%dT%H:%M}Z to {until:%Y-%m-%dT%H:%M}Z: {error}"
        ) from error
    stored = StoredModel(
        equipment=equipment,
        fingerprint=block.fingerprint(sensors),
        model=trained.to_json(),
        sensors=trained.names,
        trained_from=from_micros(grid.start_us),
        trained_to=from_micros(grid.start_us + grid.rows * grid.step_us),
        rows=trained.multivariate.trained_rows,
        left_out={**trained.multivariate.left_out, **dict.fromkeys(missing, "few readings")},
        run_id=run_id,
    )
    return Training(stored, trained, grid, values)


def _without_empty_ends(grid: Grid, values: Floats) -> tuple[Grid, Floats]:
    """Return the rows from the first to the last that hold anything: the span may be longer than what is stored."""
    filled = np.flatnonzero(~np.isnan(values).all(axis=1))
    if not len(filled):
        return grid, values[:0]
    first, last = int(filled[0]), int(filled[-1]) + 1
    return Grid(grid.start_us + first * grid.step_us, grid.step_us, last - first), values[first:last]


def _with_values(values: Floats, sensors: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the sensors that have values in enough rows, and the others."""
    known = (~np.isnan(values)).mean(axis=0) if len(values) else np.zeros(len(sensors))
    enough = [name for name, share in zip(sensors, known, strict=True) if share >= _LEAST_KNOWN]
    # of equipment without any values the message names all sensors
    return enough or list(sensors), [name for name in sensors if enough and name not in enough]
