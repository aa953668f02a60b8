"""What the UI shows of detectors and of what they found."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from gl_assets.scada.anomaly.charts import anomalies_table, sensors_table, training_chart
from gl_assets.scada.anomaly.training import Training
from gl_assets.transforms.anomaly.detector import Detector
from gl_assets.transforms.anomaly.rows import Grid
from gl_assets.transforms.anomaly.trained import Trained
from resources.databases.timescale.anomaly.anomalies import AnomalyRow
from resources.databases.timescale.anomaly.anomaly_models import StoredModel
from tests.unit.gl_assets.transforms.anomaly.plants import NAMES, load_driven

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def training() -> Training:
    values = np.column_stack([load_driven(), np.full(1_000, 3.0)])
    names = (*NAMES, "valve")
    trained = Trained.fit(values, names, detector=Detector(), step_us=10_000_000, hold_rows=6)
    left_out = {**trained.multivariate.left_out, "spare": "few readings"}
    stored = StoredModel("boiler", "f", trained.to_json(), names, NOW, NOW, 1_000, left_out)
    return Training(stored, trained, Grid(0, 10_000_000, 1_000), values)


def test_sensors_when_they_are_judged_differently_then_the_table_says_how():
    shown = sensors_table(training()).value
    assert "| flow | by its deviation from what the others make expect |" in shown
    assert "| vibration | by how suddenly it leaves its own course |" in shown
    assert "| valve | no: constant |" in shown
    assert "| spare | no: few readings |" in shown


def test_training_when_it_is_drawn_then_it_is_a_picture():
    assert training_chart(training()).value.startswith("![distance from normal")


def test_anomalies_when_there_are_many_then_the_table_shows_the_furthest_and_counts_the_rest():
    rows = [
        AnomalyRow("b", "outlier", NOW, f"s{n}", None, 1.0, float(n), NOW + timedelta(seconds=1), 1) for n in range(12)
    ]
    shown = anomalies_table(rows).value
    assert "| b | outlier | s11 | – | 1 | 11.0 |" in shown
    assert "s1 |" not in shown
    assert "2 more" in shown
