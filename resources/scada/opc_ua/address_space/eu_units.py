"""EngineeringUnits of a node as UCUM codes.

A unit is told as the common code of UN/ECE Recommendation 20, its characters packed into UnitId (`CEL` is 0x43454c), or
by its display name alone. Source: OPC 10000-8, 5.6.4.3 (EUInformation); UNECE Recommendation 20, revision 17.
"""

from __future__ import annotations

from resources.core.errors import ConfigError
from resources.core.physics.units import ucum_code

_COMMON_CODES = {
    # temperature, pressure
    "CEL": "Cel", "FAH": "[degF]", "KEL": "K",
    "BAR": "bar", "MBR": "mbar", "PAL": "Pa", "KPA": "kPa", "MPA": "MPa", "A97": "hPa", "PS": "[psi]",
    # mass, mass flow, volume, volume flow
    "KGM": "kg", "GRM": "g", "TNE": "t", "KGS": "kg/s", "E93": "kg/h", "F31": "kg/min", "E18": "t/h",
    "LTR": "L", "MTQ": "m3", "MLT": "mL", "MQH": "m3/h", "MQS": "m3/s", "G52": "m3/d", "L2": "L/min", "E32": "L/h",
    "G51": "L/s",
    # power, energy, electricity
    "WTT": "W", "KWT": "kW", "MAW": "MW", "WHR": "W.h", "KWH": "kW.h", "MWH": "MW.h", "JOU": "J", "KJO": "kJ",
    "3B": "MJ", "GV": "GJ", "VLT": "V", "KVT": "kV", "AMP": "A", "4K": "mA", "HTZ": "Hz", "OHM": "Ohm",
    # length, speed, time, shares
    "MTR": "m", "CMT": "cm", "MMT": "mm", "KMT": "km", "MTS": "m/s", "KMH": "km/h",
    "SEC": "s", "MIN": "min", "HUR": "h", "DAY": "d", "C26": "ms",
    "P1": "%", "59": "[ppm]", "C62": "1", "KMQ": "kg/m3", "RPM": "1/min",
}  # fmt: skip


def common_code(unit_id: int) -> str:
    """Return the code packed into a UnitId: up to three characters, most significant first."""
    return bytes(byte for byte in unit_id.to_bytes(4, "big", signed=unit_id < 0) if byte).decode("ascii", "replace")


def ucum(unit_id: int, display_name: str | None) -> str | None:
    """Return the UCUM code of a unit, None where it maps to none.

    Args:
        unit_id: UnitId of an EUInformation; -1 where the server has none.
        display_name: What it shows to people.
    """
    if unit_id > 0 and (found := _COMMON_CODES.get(common_code(unit_id))):
        return found
    try:
        return ucum_code((display_name or "").strip())
    except ConfigError:
        return None
