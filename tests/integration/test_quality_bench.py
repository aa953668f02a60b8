"""`gl bench quality` on few rows: all faults are found, and every figure is there."""

from __future__ import annotations

import numpy as np

from benchmarks.quality import bench as quality
from benchmarks.quality.rows import FAULTS, ByHand, make_config, make_rows
from gl_assets.step_times import StepTimes


def test_quality_bench_when_faults_are_planted_then_every_one_is_found():
    result = quality.run(lambda line: None, repeats=1, per_sensor=20)

    assert result["rows"] == 20_000
    assert result["faults_found"] == dict.fromkeys(FAULTS, 1.0)
    assert {"pipeline_vs_numpy", "rows_per_s", "bytes_per_row", "steps_ms", "missed"} <= result.keys()


def test_pass_by_hand_when_compared_with_the_steps_then_both_score_alike_what_is_stored():
    config = make_config()
    rows = make_rows(config, 20)
    by_hand = ByHand.of(rows)
    window = quality.through(rows, config, StepTimes())

    calibrated, valid, score, _ = by_hand.run()

    order = np.argsort(by_hand.sensor.astype(np.int64) << 32 | (by_hand.time_us - by_hand.time_us.min()), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    stored = place[window.refined.good.sequence]
    assert valid[stored].all()
    np.testing.assert_allclose(calibrated[stored], window.refined.good.calibrated_value)
    # by hand the return from a spike is flagged as well, and the one after a rejected reading
    assert (score[stored] <= window.refined.quality_score).all()
