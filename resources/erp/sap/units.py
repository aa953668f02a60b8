"""The SI unit in which SAP keeps a reading, beside the unit it was entered in."""

from __future__ import annotations

_SI = {"m3": "m3", "L": "m3", "g": "kg", "kg": "kg", "t": "kg"}


def si_of(ucum: str) -> str:
    """Return the SI unit in which SAP keeps amounts of a unit, both as UCUM codes: energy is kept in joule."""
    return _SI.get(ucum, "J")
