"""Scoring of one window: what the detectors of every equipment find in its stored readings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import psycopg

from gl_assets.scada.anomaly.rows import read_rows
from gl_assets.transforms.anomaly.episodes import Anomaly, Judged, anomalies, judge_rows
from gl_assets.transforms.anomaly.trained import Trained
from resources.core.clock import from_micros, to_micros
from resources.databases.timescale.anomaly.anomalies import AnomalyRow, ScoredWindow
from resources.databases.timescale.anomaly.anomaly_models import StoredModel
from resources.integrations import Integrations


@dataclass(frozen=True, slots=True)
class Watched:
    """One equipment with the detectors in force."""

    equipment: str
    version: int
    trained: Trained

    @classmethod
    def of(cls, stored: StoredModel) -> Watched:
        """Return the equipment of a stored model.

        Raises:
            DataError: The model is of another format.
        """
        return cls(stored.equipment, stored.version, Trained.from_json(stored.model))


@dataclass(frozen=True, slots=True)
class Scored:
    """What the detectors of one equipment say of a window."""

    watched: Watched
    judged: Judged
    rows: tuple[AnomalyRow, ...]
    """What is stored of it."""
    ledger: ScoredWindow

    @property
    def peak(self) -> float:
        """Greatest distance over the limit; 0 where no row could be judged."""
        statistic = self.judged.scores.statistic
        finite = statistic[np.isfinite(statistic)]
        return float(finite.max() / self.judged.scores.limit) if len(finite) else 0.0


def score_window(
    connection: psycopg.Connection,
    config: Integrations,
    watched: Watched,
    window_start: datetime,
    *,
    units: Mapping[str, str],
    revision: int,
) -> Scored:
    """Return what an equipment's detectors find in a window; the same however often, whatever was found before.

    Args:
        connection: To the platform's database.
        config: The configuration.
        watched: The equipment.
        window_start: Start of the window.
        units: Sensor -> canonical unit; a sensor that is configured no more has no values.
        revision: Of the window, read before its rows.
    """
    trained = watched.trained
    # readings before the window settle what looks back: means, medians, and whether an anomaly stands
    lead = timedelta(microseconds=trained.lead_rows * trained.step_us)
    grid, values = read_rows(
        connection,
        {name: units.get(name, "") for name in trained.names},
        site=config.site,
        span=(window_start - lead, window_start + config.window),
        step_us=trained.step_us,
        hold_rows=trained.hold_rows,
    )
    judged = judge_rows(trained, grid.times_us(), values, from_us=to_micros(window_start))
    rows = tuple(row_of(watched, found) for found in anomalies(trained, judged))
    ledger = ScoredWindow(
        equipment=watched.equipment,
        revision=revision,
        model_version=watched.version,
        rows=int(np.isfinite(judged.scores.statistic).sum()),
        anomalous=int(judged.scores.is_anomalous.sum()),
    )
    return Scored(watched, judged, rows, ledger)


def row_of(watched: Watched, found: Anomaly) -> AnomalyRow:
    """Return what is stored of an anomaly of an equipment."""
    return AnomalyRow(
        equipment=watched.equipment,
        kind=found.kind,
        time=from_micros(found.time_us),
        sensor_id=found.sensor_id,
        value=found.value,
        expected=found.expected,
        score=found.score,
        ended_at=from_micros(found.until_us),
        model_version=watched.version,
        details=found.details,
    )
