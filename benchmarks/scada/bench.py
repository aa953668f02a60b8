"""`gl bench scada`: each connector over the bare client of its protocol, and one collector of a hundred devices.

Ratios are taken in one run on one machine. Which figure is held to which limit stands in `TARGETS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from typing import Any, Literal

from resources.core.errors import ConfigError

PARTS = ("opcua", "mqtt", "modbus", "pool")

TARGETS: dict[str, tuple[Literal["least", "most"], float]] = {
    "opcua_vs_bare": ("least", 0.8),
    "mqtt_vs_bare": ("least", 0.8),
    "modbus_vs_bare": ("least", 0.6),
    "modbus_requests_vs_optimum": ("most", 1.05),
    "devices_100_connect_s": ("most", 5.0),
    "health_100_s": ("most", 2.0),
    "reconnect_s": ("most", 5.0),
    "collector_readings_per_s": ("least", 10_000.0),
    "collector_readings_lost": ("most", 0.0),
}
"""Figure -> what it has to be at least or at most."""


def run(progress: Callable[[str], None], *, repeats: int = 3, parts: Iterable[str] = PARTS) -> dict[str, Any]:
    """Return the figures of `parts`, their targets, and which of them were missed.

    Raises:
        ConfigError: There is no such part.
    """
    figures: dict[str, Any] = {}
    for part in parts:
        if part not in PARTS:
            raise ConfigError(f"gl bench scada has no part {part}: there are {', '.join(PARTS)}")
        measured = importlib.import_module(f"benchmarks.scada.{part}").measure(repeats, progress)
        figures |= measured
    targets = {name: f"at {bound} {limit:g}" for name, (bound, limit) in TARGETS.items() if name in figures}
    return figures | {"targets": targets, "missed": missed(figures)}


def missed(figures: dict[str, Any]) -> list[str]:
    """Return the names of the figures that miss their target."""
    found = []
    for name, (bound, limit) in TARGETS.items():
        if name in figures and (figures[name] < limit if bound == "least" else figures[name] > limit):
            found.append(name)
    return found
