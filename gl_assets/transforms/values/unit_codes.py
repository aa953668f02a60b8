"""Unit codes of ERP systems as UCUM codes.

An ERP counts in units that no standard of measures knows (boxes, pallets, services). UCUM writes them as an annotation,
`{box}`: a number without dimension that says what was counted. A meter's amount cannot be of such a unit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import pandas as pd

from resources.core.errors import ConfigError
from resources.core.physics.units import parse_unit

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
    "LTR": "L",
    "M3": "m3",
    "MTQ": "m3",
    "G": "g",
    "GRM": "g",
    "KG": "kg",
    "KGM": "kg",
    "TO": "t",
    "T": "t",
    "TNE": "t",
    "M": "m",
    "MTR": "m",
    "CM": "cm",
    "MM": "mm",
    "KM": "km",
    "M2": "m2",
    "MTK": "m2",
    "H": "h",
    "HR": "h",
    "HUR": "h",
    "MIN": "min",
    "DAY": "d",
    "WHR": "W.h",
    "BTU": "[Btu_IT]",
    "MMBTU": "10*6.[Btu_IT]",
    "THM": "10*5.[Btu_IT]",
    "GLL": "[gal_us]",
    "GAL": "[gal_us]",
    "FTQ": "[cft_i]",
    "FT3": "[cft_i]",
    "NM3": "m3{normal}",
    "LB": "[lb_av]",
    "LBR": "[lb_av]",
    "EA": "{each}",
    "PC": "{piece}",
    "PCS": "{piece}",
    "PCE": "{piece}",
    "ST": "{piece}",
}
"""Code -> UCUM code, whatever its case: those of SAP (table T006, English external format), of UN/ECE Recommendation 20
and those that Oracle, Dynamics 365 and Workday ship. Energy, mass and volume are what meters have; the rest is what is
bought and made. A system's own `unit_codes` come first."""

_ANNOTATION = re.compile(r"\{[\x21-\x7a|~]{1,60}\}")


def ucum_of(code: str, more: Mapping[str, str]) -> str | None:
    """Return the UCUM code of a unit code, by `more` first; None if it is not known."""
    return more.get(code) or UCUM.get(code.upper())


def counting_unit(code: str) -> str:
    """Return a code without known measure as an annotation: `{BOX}`."""
    return "{" + re.sub(r"[^\x21-\x7a|~]", "_", code)[:60] + "}"


def is_ucum(column: pd.Series, *, physical: bool) -> pd.Series:
    """Return True for each unit that is a UCUM code; what is missing is no fault here.

    Args:
        column: Unit codes.
        physical: A code that only counts is none.
    """
    good = [code for code in column.dropna().unique() if _is_unit(str(code), physical=physical)]
    return column.isin(good) | column.isna()


def _is_unit(code: str, *, physical: bool) -> bool:
    if _ANNOTATION.fullmatch(code):
        return not physical
    try:
        parse_unit(code)
    except ConfigError:
        return False
    return True
