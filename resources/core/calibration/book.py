"""All calibrations of a configuration: which of them hold in a window, and under what name that is remembered."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from resources.core.calibration.calibrations import CalibrationConfig
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA

ATMOSPHERE = "atmosphere "
"""How a member of a set begins that is no calibration, but the pressure of the air."""


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """What calibrated values of one window are made with."""

    name: str = ""
    """Made of the members; empty for none."""
    members: tuple[str, ...] = ()
    """Fingerprints of the calibrations, and the atmosphere where it is not the standard one; ascending."""
    calibrations: tuple[CalibrationConfig, ...] = ()

    @property
    def certificates(self) -> dict[str, str]:
        """Sensor -> number of its last certificate in the window."""
        return {c.sensor_id: c.certificate for c in sorted(self.calibrations, key=lambda c: c.valid_from)}


NO_CALIBRATIONS = CalibrationSet()
"""Values are only converted."""


class CalibrationBook:
    """All calibrations of a configuration, by sensor and time.

    Args:
        calibrations: As configured; the periods of a sensor don't overlap.
        atmosphere_kpa: Pressure of the air at the site.
        tag_units: Sensor -> its tag's unit, which a calibration without a unit is stated in.
    """

    def __init__(
        self,
        calibrations: Iterable[CalibrationConfig] = (),
        atmosphere_kpa: float = ATMOSPHERE_KPA,
        tag_units: Mapping[str, str] | None = None,
    ) -> None:
        self.calibrations: tuple[CalibrationConfig, ...] = tuple(calibrations)
        self.atmosphere_kpa = atmosphere_kpa
        self._tag_units = tag_units or {}
        self._by_sensor: dict[str, list[CalibrationConfig]] = {}
        for calibration in sorted(self.calibrations, key=lambda c: c.valid_from):
            self._by_sensor.setdefault(calibration.sensor_id, []).append(calibration)
        ends = (c.valid_until for c in self.calibrations if c.valid_until is not None)
        self._edges = sorted({*(c.valid_from for c in self.calibrations), *ends})
        self._sets: dict[tuple[int, int], CalibrationSet] = {}

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.calibrations)

    def of(self, sensor_id: str) -> Sequence[CalibrationConfig]:
        """Return a sensor's calibrations, oldest first."""
        return self._by_sensor.get(sensor_id, ())

    def unit_of(self, calibration: CalibrationConfig) -> str | None:
        """Return the unit of a calibration's numbers: its own, or else the tag's; None: the tag is not known.

        It is no part of the fingerprint: that a certificate is read as it always was asks nobody to calibrate anew.
        """
        return calibration.unit or self._tag_units.get(calibration.sensor_id)

    def set_of(self, start: datetime, end: datetime) -> CalibrationSet:
        """Return what holds in `[start, end)`."""
        # between two edges nothing changes: there are few different sets, however many windows
        place = bisect_right(self._edges, start), bisect_left(self._edges, end)
        found = self._sets.get(place)
        if found is None:
            holding = tuple(c for c in self.calibrations if c.overlaps(start, end))
            found = self._sets[place] = self._named(holding)
        return found

    @cached_property
    def name(self) -> str:
        """A word that changes with whatever changes any calibrated value."""
        return self._named(self.calibrations).name

    def _named(self, calibrations: tuple[CalibrationConfig, ...]) -> CalibrationSet:
        members = {c.fingerprint for c in calibrations}
        if self.atmosphere_kpa != ATMOSPHERE_KPA:
            members.add(f"{ATMOSPHERE}{self.atmosphere_kpa:g}")
        if not members:
            return NO_CALIBRATIONS
        ordered = tuple(sorted(members))
        name = hashlib.blake2b("\n".join(ordered).encode(), digest_size=12).hexdigest()
        return CalibrationSet(name, ordered, calibrations)
