import numpy as np
import pytest

from gl_assets.schemas.sensor_readings import LEVELS as SCHEMA_LEVELS
from gl_assets.transforms.quality import LEVEL_NAMES, LEVELS, level_codes, quality_level, quality_scores

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("status", "limits", "delay_s", "score", "level"),
    [
        (0, True, 1, 100, "EXCELLENT"),
        (0, False, 1, 90, "GOOD"),
        (0, True, 61, 90, "GOOD"),
        (0, True, -61, 90, "GOOD"),
        (0, False, 61, 80, "GOOD"),
        (1, True, 1, 60, "FAIR"),
        (1, False, 1, 50, "POOR"),
        (1, False, 61, 40, "POOR"),
        (2, True, 1, 0, "INVALID"),
        (2, False, 61, 0, "INVALID"),
    ],
)
def test_score_when_status_limits_and_delay_are_given_then_as_documented(
    status: int, limits: bool, delay_s: int, score: float, level: str
):
    found = quality_scores(np.array([status], np.uint8), np.array([limits]), np.array([delay_s * SECOND]))

    assert found.tolist() == [score]
    assert LEVEL_NAMES[level_codes(found)[0]] == level
    assert quality_level(score) == level


def test_levels_when_the_schema_names_them_too_then_both_agree():
    assert dict(LEVELS) == SCHEMA_LEVELS
