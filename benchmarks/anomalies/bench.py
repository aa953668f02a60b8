"""`gl bench anomalies`: the multivariate detector on labelled recordings, over plain PCA with T2 and Q in the same run.

As the Skoltech Anomaly Benchmark prescribes, each detector is trained on a recording's first 400 rows alone and judged
on all rows of all recordings, with the same parameters for every one; nothing is random. The recordings are those in
the folder GL_REPLAY_DIR, or in ../shared/data/skab beside the repository, and in their folders; labels are the column
`anomaly`. One without labels counts as free of anomalies, and only its false alarms are told.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.anomalies import peer as anomalies_peer
from gl_assets.transforms.anomaly.detector import Detector
from gl_assets.transforms.anomaly.settings import DetectorSettings
from resources.core.errors import ConfigError
from resources.demo_plant.plant import SENSORS, Plant

Progress = Callable[[str], None]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Judge = Callable[[Floats, Floats], Flags]
"""Training rows and all rows -> which rows are anomalous."""

TRAINING_ROWS = 400
"""Rows at the beginning of each recording that are trained on."""

BESIDE = Path(__file__).resolve().parents[3] / "shared" / "data" / "skab"

LEAST_RATIO = 1.05
"""F1 over that of the peer."""

GOAL_F1, GOAL_FALSE_ALARMS = 0.8, 0.14
"""What the best published detectors reach; told, not required."""

_PLANT_HOURS = (6, 24, 72)
"""Hours of training on the demo plant."""

_NO_VALUES = ("datetime", "anomaly", "changepoint")

VARIATIONS: Mapping[str, Sequence[float]] = {
    "smoothing_rows": (5, 8, 12, 15),
    "slow_share": (0.2, 0.5),
    "blocks": (5, 20),
    "shrinkage": (0.0, 0.2),
    "folds": (4, 8),
    "confidence": (0.98, 0.995),
}
"""Other values of each parameter: how much depends on it."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One labelled recording."""

    name: str
    values: Floats
    labels: Flags | None


@dataclass(frozen=True, slots=True)
class Counts:
    """Rows by what they are and what was said of them."""

    found: int = 0
    false_alarms: int = 0
    missed: int = 0
    quiet: int = 0

    @classmethod
    def of(cls, said: Flags, labels: Flags) -> Counts:
        """Return the counts of one recording."""
        return cls(
            int((said & labels).sum()),
            int((said & ~labels).sum()),
            int((~said & labels).sum()),
            int((~said & ~labels).sum()),
        )

    def __add__(self, other: Counts) -> Counts:
        """Return the counts of both."""
        return Counts(
            self.found + other.found,
            self.false_alarms + other.false_alarms,
            self.missed + other.missed,
            self.quiet + other.quiet,
        )

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall, 0 to 1."""
        return 2 * self.found / max(2 * self.found + self.false_alarms + self.missed, 1)

    def figures(self) -> dict[str, float]:
        """Return F1, and false and missed alarms as shares of the normal and of the anomalous rows."""
        return {
            "f1": round(self.f1, 4),
            "false_alarms": round(self.false_alarms / max(self.false_alarms + self.quiet, 1), 4),
            "missed_alarms": round(self.missed / max(self.missed + self.found, 1), 4),
        }


def run(progress: Progress, *, folder: Path | None = None, variations: bool = True) -> dict[str, Any]:
    """Return the figures.

    Args:
        progress: Called with a line about what is being done.
        folder: Where the recordings are; GL_REPLAY_DIR, or those beside the repository, if left out.
        variations: Whether to tell what depends on each parameter.

    Raises:
        ConfigError: There is no labelled recording.
    """
    recordings = read_recordings(folder or Path(os.environ.get("GL_REPLAY_DIR") or BESIDE))
    labelled = [one for one in recordings if one.labels is not None]
    progress(f"{len(labelled)} labelled recordings, {len(recordings) - len(labelled)} without")
    own, peer = judged(labelled, by_detector(DetectorSettings())), judged(labelled, anomalies_peer.is_anomalous)
    result: dict[str, Any] = {
        "recordings": len(labelled),
        "training_rows": TRAINING_ROWS,
        "all": {"detector": total(own).figures(), "pca_t2_q": total(peer).figures()},
        "f1_vs_pca_t2_q": round(total(own).f1 / max(total(peer).f1, 1e-9), 4),
        "files": {name: {"detector": own[name].figures(), "pca_t2_q": peer[name].figures()} for name in own},
        "without_labels": {one.name: _quiet(one) for one in recordings if one.labels is None},
        "false_alarms_demo_plant": _demo_plant(),
    }
    if variations:
        progress("the same with other parameters")
        result |= _varied(labelled)
    overall = result["all"]["detector"]
    result["goals_met"] = overall["f1"] > GOAL_F1 and overall["false_alarms"] < GOAL_FALSE_ALARMS
    result["missed"] = ["f1_vs_pca_t2_q"] if result["f1_vs_pca_t2_q"] < LEAST_RATIO else []
    return result


def read_recordings(folder: Path) -> list[Recording]:
    """Return the recordings in a folder and its folders, by name.

    Raises:
        ConfigError: There is none with labels, or one cannot be read.
    """
    found = [_read(file, folder) for file in sorted(folder.rglob("*.csv"))]
    if not any(one.labels is not None for one in found):
        raise ConfigError(
            f"{folder}: no recording with a column `anomaly`; set GL_REPLAY_DIR to a folder of the Skoltech Anomaly "
            "Benchmark (doi 10.34740/KAGGLE/DSV/1693952)"
        )
    return found


def _read(file: Path, folder: Path) -> Recording:
    try:
        with file.open(newline="", encoding="utf-8") as text:
            header, *lines = csv.reader(text, delimiter=";")
        columns = [n for n, name in enumerate(header) if name not in _NO_VALUES]
        values = np.array([[float(line[n]) for n in columns] for line in lines])
        labels = None
        if "anomaly" in header:
            place = header.index("anomaly")
            labels = np.array([float(line[place]) > 0 for line in lines])
    except (OSError, ValueError, IndexError) as error:
        raise ConfigError(
            f"recording {file} cannot be read ({error}): columns separated by ;, decimal points"
        ) from error
    return Recording(file.relative_to(folder).with_suffix("").as_posix(), values, labels)


def by_detector(settings: DetectorSettings) -> Judge:
    """Return what the multivariate detector says under these settings."""

    def judge(training: Floats, values: Floats) -> Flags:
        names = [str(n) for n in range(values.shape[1])]
        return Detector(settings).fit(training, names).score(values).is_anomalous

    return judge


def judged(recordings: Sequence[Recording], judge: Judge) -> dict[str, Counts]:
    """Return the counts of each labelled recording, each trained on its own first rows."""
    return {
        one.name: Counts.of(judge(one.values[:TRAINING_ROWS], one.values), one.labels)
        for one in recordings
        if one.labels is not None
    }


def total(counts: Mapping[str, Counts]) -> Counts:
    """Return the counts of all recordings together."""
    return sum(counts.values(), Counts())


def _quiet(one: Recording) -> dict[str, float]:
    """Return the false alarms on what follows the training, with as many rows as prescribed, and with half of all."""
    judge, half = by_detector(DetectorSettings()), len(one.values) // 2
    shares = {"false_alarms_first_rows": TRAINING_ROWS, "false_alarms_first_half": half}
    return {name: round(float(judge(one.values[:rows], one.values)[rows:].mean()), 4) for name, rows in shares.items()}


def _demo_plant() -> dict[str, dict[str, float]]:
    """Return the share of false alarms over six hours of the demo plant, by equipment and hours of training.

    Its loads follow waves of minutes to hours; one row a minute.
    """
    found: dict[str, dict[str, float]] = {}
    times_us = 1_795_000_000_000_000 + 60_000_000 * np.arange((max(_PLANT_HOURS) + 6) * 60, dtype=np.int64)
    for source, sensors in SENSORS.items():
        measured = Plant(1).measure(source, times_us)
        for equipment in dict.fromkeys(sensor.equipment for sensor in sensors):
            own = measured[:, [n for n, sensor in enumerate(sensors) if sensor.equipment == equipment]]
            judge = by_detector(DetectorSettings())
            found[equipment] = {
                f"{hours} h": round(float(judge(own[: hours * 60], own[: hours * 60 + 360])[hours * 60 :].mean()), 4)
                for hours in _PLANT_HOURS
            }
    return found


def _varied(recordings: Sequence[Recording]) -> dict[str, Any]:
    """Return F1 with other parameters, one by one, and F1 where each recording is judged by what the others chose."""
    default = DetectorSettings()
    settings = {"default": default} | {
        f"{name}={value:g}": replace(default, **{name: type(getattr(default, name))(value)})
        for name, values in VARIATIONS.items()
        for value in values
    }
    counts = {name: judged(recordings, by_detector(changed)) for name, changed in settings.items()}
    left_out = {
        one.name: max(counts, key=lambda name: total(_without(counts[name], one.name)).f1) for one in recordings
    }
    chosen = total({one: counts[name][one] for one, name in left_out.items()})
    return {
        "f1_by_parameters": {name: round(total(found).f1, 4) for name, found in counts.items()},
        "f1_leave_one_out": round(chosen.f1, 4),
    }


def _without(counts: Mapping[str, Counts], name: str) -> dict[str, Counts]:
    return {one: found for one, found in counts.items() if one != name}
