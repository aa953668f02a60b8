"""BACnet engineering units as UCUM codes.

Source: ANSI/ASHRAE 135, clause 21, BACnetEngineeringUnits. What has no UCUM code (no-units, vendor's own) is left out.
"""

from __future__ import annotations

UCUM: dict[str, str] = {
    "amperes": "A",
    "milliamperes": "mA",
    "volts": "V",
    "millivolts": "mV",
    "kilovolts": "kV",
    "ohms": "Ohm",
    "hertz": "Hz",
    "kilohertz": "kHz",
    "joules": "J",
    "kilojoules": "kJ",
    "megajoules": "MJ",
    "watt-hours": "W.h",
    "kilowatt-hours": "kW.h",
    "megawatt-hours": "MW.h",
    "btus": "[Btu]",
    "watts": "W",
    "milliwatts": "mW",
    "kilowatts": "kW",
    "megawatts": "MW",
    "horsepower": "[HP]",
    "pascals": "Pa",
    "hectopascals": "hPa",
    "kilopascals": "kPa",
    "bars": "bar",
    "millibars": "mbar",
    "pounds-force-per-square-inch": "[psi]",
    "degrees-celsius": "Cel",
    "degrees-kelvin": "K",
    "degrees-fahrenheit": "[degF]",
    "delta-degrees-kelvin": "K",
    "days": "d",
    "hours": "h",
    "minutes": "min",
    "seconds": "s",
    "milliseconds": "ms",
    "cubic-meters": "m3",
    "liters": "L",
    "cubic-feet": "[cft_i]",
    "us-gallons": "[gal_us]",
    "liters-per-second": "L/s",
    "liters-per-minute": "L/min",
    "liters-per-hour": "L/h",
    "cubic-meters-per-second": "m3/s",
    "cubic-meters-per-minute": "m3/min",
    "cubic-meters-per-hour": "m3/h",
    "kilograms": "kg",
    "tons": "t",
    "grams-per-second": "g/s",
    "kilograms-per-second": "kg/s",
    "kilograms-per-minute": "kg/min",
    "kilograms-per-hour": "kg/h",
    "tons-per-hour": "t/h",
    "percent": "%",
    "percent-relative-humidity": "%",
    "parts-per-million": "[ppm]",
    "revolutions-per-minute": "1/min",
    "meters-per-second": "m/s",
    "meters": "m",
    "millimeters": "mm",
    "centimeters": "cm",
    "kilojoules-per-kilogram": "kJ/kg",
    "luxes": "lx",
}
"""Name of a unit in bacpypes3 -> UCUM code."""


def ucum(unit: object) -> str | None:
    """Return the UCUM code of a `units` property, None where there is none."""
    return UCUM.get(str(unit))
