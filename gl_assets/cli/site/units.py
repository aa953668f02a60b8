"""`gl units`: what a unit means here, conversions, and the steam tables."""

from __future__ import annotations

import json

import click

from resources.core.errors import ConfigError, DataError
from resources.core.physics.gas_volumes import ATMOSPHERE_KPA
from resources.core.physics.quantities import described
from resources.core.physics.units import conversion, ucum_code

_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_ATMOSPHERE = click.option(
    "--atmosphere-kpa", default=ATMOSPHERE_KPA, show_default=True, help="Pressure of the air, for gauge pressures."
)


@click.group()
def units() -> None:
    """Units as the configuration takes them: UCUM codes, and the spellings of plants (psig, Nm3/h, MMBtu)."""


@units.command()
@click.argument("value", type=float)
@click.argument("unit")
@click.argument("to")
@_ATMOSPHERE
@_JSON
def convert(value: float, unit: str, to: str, *, atmosphere_kpa: float, as_json: bool) -> None:
    """Convert VALUE from UNIT to another one, such as `gl units convert 100 psig bar`."""
    factor, offset = conversion(unit, to, atmosphere_kpa)
    found = factor * value + offset
    codes = ucum_code(unit), ucum_code(to)
    if as_json:
        shown = {"value": value, "unit": codes[0], "result": found, "result_unit": codes[1]}
        click.echo(json.dumps({**shown, "factor": factor, "offset": offset}))
    else:
        click.echo(f"{value:g} {codes[0]} = {found:.9g} {codes[1]}")


@units.command()
@click.argument("unit")
@_JSON
def explain(unit: str, *, as_json: bool) -> None:
    """Say which UCUM code a spelling is, and what it measures."""
    code = ucum_code(unit)
    if as_json:
        click.echo(json.dumps({"unit": code, "measures": described(code)}))
    else:
        click.echo(f"{code}: {described(code)}")


@units.command()
@click.option("--pressure", required=True, help="Value and unit, such as '10 barg'.")
@click.option("--temperature", required=True, help="Value and unit, such as '250 Cel'.")
@click.option("--water", is_flag=True, help="Of water, not of steam.")
@click.option("--to", default="kJ/kg", show_default=True, help="Unit of the result.")
@_ATMOSPHERE
@_JSON
def steam(*, pressure: str, temperature: str, water: bool, to: str, atmosphere_kpa: float, as_json: bool) -> None:
    """Return the specific enthalpy of steam (or water) by IAPWS-IF97."""
    from resources.core.physics.steam import enthalpy

    try:
        found = enthalpy(
            _quantity(pressure), _quantity(temperature), unit=to, water=water, atmosphere_kpa=atmosphere_kpa
        )
    except ValueError as error:
        raise DataError(str(error)) from error
    click.echo(json.dumps({"enthalpy": found, "unit": ucum_code(to)}) if as_json else f"{found:.7g} {ucum_code(to)}")


def _quantity(text: str) -> tuple[float, str]:
    number, _, unit = text.strip().partition(" ")
    try:
        return float(number), unit.strip()
    except ValueError as error:
        raise ConfigError(f"{text!r} is not a number and a unit, such as '10 barg'") from error
