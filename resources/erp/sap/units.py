"""SAP unit codes (table T006, English external format) as UCUM codes, and the SI unit SAP keeps beside each.

SAP stores a reading as a floating-point number in the SI unit of its dimension (kWh as joule) and shows it in the unit
it was entered in.
"""

from __future__ import annotations

from collections.abc import Mapping

UCUM = {
    "WH": "W.h",
    "KWH": "kW.h",
    "MWH": "MW.h",
    "GWH": "GW.h",
    "J": "J",
    "KJ": "kJ",
    "MJ": "MJ",
    "GJ": "GJ",
    "TJ": "TJ",
    "L": "L",
    "M3": "m3",
    "G": "g",
    "KG": "kg",
    "TO": "t",
    "T": "t",
}
"""SAP unit code -> UCUM code."""

_SI = {"m3": "m3", "L": "m3", "g": "kg", "kg": "kg", "t": "kg"}


def ucum_of(code: str, more: Mapping[str, str]) -> str | None:
    """Return the UCUM code of a SAP unit, by `more` first; None if it is not known."""
    return more.get(code) or UCUM.get(code.upper())


def si_of(ucum: str) -> str:
    """Return the SI unit in which SAP keeps amounts of a unit: energy is kept in joule."""
    return _SI.get(ucum, "J")
