"""The SI unit that SAP keeps beside each unit of entry.

SAP stores a reading as a floating-point number in the SI unit of its dimension (kWh as joule) and shows it in the unit
it was entered in. What the codes of units stand for is known to the mapping (`gl_assets.transforms.values.unit_codes`).
"""

from __future__ import annotations

_SI = {"m3": "m3", "L": "m3", "g": "kg", "kg": "kg", "t": "kg"}


def si_of(ucum: str) -> str:
    """Return the SI unit in which SAP keeps amounts of a unit: energy is kept in joule."""
    return _SI.get(ucum, "J")
