"""Signals that are pure functions of (seed, name, time): slow waves for load and set points, noise for sensors.

No state is kept, so any instant can be computed alone and gives the same value in every process.
"""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Micros = npt.NDArray[np.int64]

_PERIODS_S = (23_400.0, 5_100.0, 940.0)
_WEIGHTS = (0.55, 0.3, 0.15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@cache
def _key(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest(), "big")


@cache
def _sines(seed: int, name: str) -> tuple[tuple[float, float, float], ...]:
    """Return (weight, angular frequency per s, phase) of each sine of a wave."""
    generator = np.random.default_rng(_key(seed, name))
    return tuple(
        (weight, 2 * np.pi / (period * generator.uniform(0.9, 1.1)), generator.uniform(0.0, 2 * np.pi))
        for period, weight in zip(_PERIODS_S, _WEIGHTS, strict=True)
    )


def wave(seed: int, name: str, times_us: Micros, *, mean: float, amplitude: float) -> Array:
    """Return a slow signal within mean ± amplitude: three sine waves of about 6.5 h, 85 min and 16 min."""
    # exact to the microsecond: float64 seconds since 1970 would lose it
    seconds = (times_us - 1_700_000_000_000_000) / 1e6
    total = np.zeros(len(times_us))
    for weight, frequency, phase in _sines(seed, name):
        total += weight * np.sin(frequency * seconds + phase)
    return mean + amplitude * total


def noise(seed: int, name: str, times_us: Micros) -> Array:
    """Return noise of mean 0 and standard deviation 1, never beyond ±3.5, independent for each (name, time)."""
    with np.errstate(over="ignore"):
        state = times_us.astype(np.uint64) * _GOLDEN + np.uint64(_key(seed, name))
        total = np.zeros(len(times_us))
        for _ in range(4):
            state = state + _GOLDEN
            total += _uniform(state)
    # the sum of four uniforms has variance 1/3
    return (total - 2.0) * 1.7320508075688772


def _uniform(state: npt.NDArray[np.uint64]) -> Array:
    """Return splitmix64 of each state as a number in [0, 1)."""
    mixed = (state ^ (state >> np.uint64(30))) * _MIX[0]
    mixed = (mixed ^ (mixed >> np.uint64(27))) * _MIX[1]
    mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(11)).astype(np.float64) / float(1 << 53)
