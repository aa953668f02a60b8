from __future__ import annotations

import numpy as np

from resources.demo_plant.signals import noise, wave

SECONDS = np.arange(1_795_000_000_000_000, 1_795_000_000_000_000 + 20_000_000_000, 1_000_000, dtype=np.int64)


def test_noise_when_drawn_for_many_seconds_then_has_mean_0_and_deviation_1() -> None:
    drawn = noise(1, "a", SECONDS)
    assert abs(drawn.mean()) < 0.03
    assert abs(drawn.std() - 1) < 0.03
    assert np.abs(drawn).max() <= 3.5


def test_noise_when_drawn_for_two_names_or_neighbouring_seconds_then_is_independent() -> None:
    one, other = noise(1, "a", SECONDS), noise(1, "b", SECONDS)
    assert abs(np.corrcoef(one, other)[0, 1]) < 0.03
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 0.03


def test_wave_when_followed_for_hours_then_stays_within_its_amplitude_and_moves_slowly() -> None:
    followed = wave(1, "a", SECONDS, mean=10.0, amplitude=2.0)
    assert followed.min() >= 8.0
    assert followed.max() <= 12.0
    assert np.abs(np.diff(followed)).max() < 0.01
