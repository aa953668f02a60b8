import numpy as np
import pytest

from gl_assets.schemas.sensor_readings import LEVELS as SCHEMA_LEVELS
from gl_assets.transforms.quality import LEVEL_NAMES, LEVELS, level_codes, quality_level


@pytest.mark.parametrize(
    ("score", "level"),
    [
        (100, "EXCELLENT"),
        (95, "EXCELLENT"),
        (94.9, "GOOD"),
        (80, "GOOD"),
        (60, "FAIR"),
        (40, "POOR"),
        (39.9, "INVALID"),
        (0, "INVALID"),
    ],
)
def test_level_when_a_score_is_given_then_it_is_the_best_whose_least_score_is_reached(score: float, level: str):
    assert LEVEL_NAMES[level_codes(np.array([score], np.float32))[0]] == level
    assert quality_level(score) == level


def test_levels_when_the_schema_names_them_too_then_both_agree():
    assert dict(LEVELS) == SCHEMA_LEVELS
