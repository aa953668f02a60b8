"""`gl bench anomalies` on small made-up recordings: its figures, its peer, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.anomalies import bench as anomalies
from benchmarks.anomalies import peer as anomalies_peer
from benchmarks.anomalies.bench import Counts, read_recordings, run
from resources.core.errors import ConfigError
from tests.unit.gl_assets.transforms.anomaly.plants import NAMES, steady


def write(file: Path, *, labelled: bool = True, seed: int = 1, rows: int = 700) -> None:
    """Write a recording in which the current is wrong from row 500 to 600."""
    values = steady(rows=rows, seed=seed)
    wrong = np.zeros(rows, dtype=int)
    if labelled:
        values[500:600, 2] += 8.0
        wrong[500:600] = 1
    lines = [";".join(["datetime", *NAMES, *(["anomaly", "changepoint"] if labelled else [])])]
    for n, row in enumerate(values):
        labels = [f"{wrong[n]}.0", "0.0"] if labelled else []
        lines.append(";".join([f"2026-01-01 00:00:{n}", *(f"{value:.5f}" for value in row), *labels]))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "one.csv")
    write(tmp_path / "more" / "two.csv", seed=2)
    write(tmp_path / "quiet.csv", labelled=False, seed=3)
    return tmp_path


def test_run_when_recordings_are_labelled_then_the_figures_are_of_each_and_of_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(anomalies, "_PLANT_HOURS", (6,))
    monkeypatch.setattr(anomalies, "VARIATIONS", {"folds": (4,)})
    monkeypatch.setenv("GL_REPLAY_DIR", str(folder))
    result = run(lambda line: None)
    assert set(result["files"]) == {"one", "more/two"}
    assert result["all"]["detector"]["f1"] > 0.8
    assert result["f1_vs_pca_t2_q"] == pytest.approx(
        result["all"]["detector"]["f1"] / result["all"]["pca_t2_q"]["f1"], abs=1e-3
    )
    assert result["without_labels"]["quiet"]["false_alarms_first_rows"] < 0.2
    assert set(result["f1_by_parameters"]) == {"default", "folds=4"}
    assert 0 < result["f1_leave_one_out"] <= 1
    assert set(result["false_alarms_demo_plant"]["boiler_1"]) == {"6 h"}


def test_run_when_there_is_no_labelled_recording_then_it_says_where_to_get_some(tmp_path: Path):
    write(tmp_path / "quiet.csv", labelled=False)
    with pytest.raises(ConfigError, match="GL_REPLAY_DIR"):
        run(lambda line: None, folder=tmp_path)


def test_read_when_a_recording_is_broken_then_the_file_is_named(tmp_path: Path):
    (tmp_path / "bad.csv").write_text("datetime;a;anomaly\n2026;x;0\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.csv cannot be read"):
        read_recordings(tmp_path)


def test_counts_when_rows_are_told_right_and_wrong_then_the_figures_are_those_of_the_benchmark():
    said, labels = np.array([1, 1, 0, 0, 1], dtype=bool), np.array([1, 0, 1, 0, 1], dtype=bool)
    counts = Counts.of(said, labels)
    assert counts == Counts(found=2, false_alarms=1, missed=1, quiet=1)
    assert counts.figures() == {"f1": 0.6667, "false_alarms": 0.5, "missed_alarms": 0.3333}
    assert (counts + counts).f1 == counts.f1
    assert Counts().figures() == {"f1": 0.0, "false_alarms": 0.0, "missed_alarms": 0.0}


def test_peer_when_rows_are_as_in_training_then_few_are_told_and_a_fault_is():
    rows = steady(rows=600, seed=9)
    rows[500:, 2] += 40.0
    said = anomalies_peer.is_anomalous(steady(), rows)
    assert said[:500].mean() < 0.06
    assert said[500:].mean() > 0.9
