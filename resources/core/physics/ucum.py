"""The grammar of UCUM codes, and their atoms under the names that pint has for them.

A code is a product of components: `kJ/(kg.K)`, `10*6.[Btu_IT]/h`, `m3{normal}/h`. As people write it and unlike UCUM,
everything after a `/` up to the next one divides: `W/m2.K` is W/(m2.K).
Source: The Unified Code for Units of Measure, version 2.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

PREFIXES = {
    "Y": "yotta", "Z": "zetta", "E": "exa", "P": "peta", "T": "tera", "G": "giga", "M": "mega", "k": "kilo",
    "h": "hecto", "da": "deca", "d": "deci", "c": "centi", "m": "milli", "u": "micro", "n": "nano", "p": "pico",
    "f": "femto", "a": "atto", "z": "zepto", "y": "yocto",
}  # fmt: skip
"""Prefix -> its name in pint."""

METRIC = {
    "m": "meter", "g": "gram", "s": "second", "K": "kelvin", "A": "ampere", "mol": "mole", "cd": "candela",
    "rad": "radian", "sr": "steradian", "Hz": "hertz", "N": "newton", "Pa": "pascal", "J": "joule", "W": "watt",
    "C": "coulomb", "V": "volt", "F": "farad", "Ohm": "ohm", "S": "siemens", "Wb": "weber", "T": "tesla", "H": "henry",
    "lm": "lumen", "lx": "lux", "Bq": "becquerel", "Gy": "gray", "Sv": "sievert", "l": "liter", "L": "liter",
    "t": "metric_ton", "bar": "bar", "eV": "electron_volt", "cal": "calorie", "cal_IT": "international_calorie",
    "cal_th": "calorie", "gf": "gram_force", "P": "poise", "St": "stokes", "dyn": "dyne", "erg": "erg",
    "m[H2O]": "meter_of_water", "m[Hg]": "meter_of_mercury", "Cel": "degC",
}  # fmt: skip
"""Atom that takes prefixes -> its name in pint."""

OTHER = {
    "%": "percent", "[ppth]": "per_thousand", "[ppm]": "ppm", "[ppb]": "ppb", "[pH]": "pH_value",
    "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year", "deg": "degree",
    "[degF]": "degF", "[degR]": "degree_Rankine", "[g]": "standard_gravity", "atm": "standard_atmosphere",
    "att": "technical_atmosphere", "[psi]": "psi", "[in_i'H2O]": "inch_of_water", "[in_i'Hg]": "inch_of_mercury",
    "[lb_av]": "pound", "[oz_av]": "ounce", "[ston_av]": "short_ton", "[lton_av]": "long_ton", "[gr]": "grain",
    "[lbf_av]": "force_pound", "[ft_i]": "foot", "[in_i]": "inch", "[yd_i]": "yard", "[mi_i]": "mile",
    "[nmi_i]": "nautical_mile", "[kn_i]": "knot", "[sft_i]": "square_foot", "[sin_i]": "square_inch",
    "[cft_i]": "cubic_foot", "[cin_i]": "cubic_inch", "[gal_us]": "gallon", "[gal_br]": "imperial_gallon",
    "[bbl_us]": "oil_barrel", "[Btu_IT]": "Btu_it", "[Btu_th]": "Btu_th", "[Btu]": "Btu", "[Cal]": "kilocalorie",
    "[HP]": "horsepower", "ar": "are", "har": "hectare",
}  # fmt: skip
"""Atom without prefixes -> its name in pint. [Btu] is the one of ISO, as in [Btu_IT], which is what meters mean."""

_WRITTEN_OUT = {*METRIC.values(), "metre", "litre", "byte", "bit"} - {"degC"}
"""Names that are taken with a prefix that is written out, too."""
_PLAIN = {
    *OTHER.values(), "count", "turn", "revolution", "cycle", "baud", "decibel", "dB",
    "kB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB",
}  # fmt: skip
"""Names that are taken as they are; pint knows each by this very name."""

_COMPONENT = re.compile(
    r"((?:10[*^][+-]?\d+)|\[[^\]{}]+\]|%|[^\W\d_]\w*?(?:\[[^\]{}]+\])?|\d+)??([+-]?\d+)?(\{[^{}]*\})?"
)
_TENS = re.compile(r"10[*^]([+-]?\d+)")
_MOST_LETTERS = 80
_LARGEST_EXPONENT = 9
_LARGEST_TEN = 30
_MOST_NUMBER = 1_000_000


@dataclass(frozen=True, slots=True)
class Component:
    """One factor of a code."""

    atom: str
    """Atom with its prefix, `kg`; empty for a number alone."""
    exponent: int
    """Below zero where it divides."""
    number: float = 1.0
    """A number in place of an atom."""
    annotation: str = ""
    """What stands in braces after it."""


def components(code: str) -> list[Component]:
    """Return the factors of a code, those that divide with negative exponents.

    Raises:
        ValueError: It is not UCUM's grammar; atoms are not looked at.
    """
    if not code or len(code) > _MOST_LETTERS or not code.isascii():
        raise ValueError(code)
    found: list[Component] = []
    end = _product(code, 0, 1, found)
    if end != len(code):
        raise ValueError(code)
    return found


def _product(code: str, at: int, sign: int, found: list[Component]) -> int:
    """Read up to the end or a closing parenthesis and return where that is."""
    power = sign
    if code[at : at + 1] == "/":
        power, at = -sign, at + 1
    while True:
        if code[at : at + 1] == "(":
            at = _product(code, at + 1, power, found)
            if code[at : at + 1] != ")":
                raise ValueError(code)
            at += 1
        else:
            end = _end_of_component(code, at)
            found.append(_component(code[at:end], power))
            at = end
        if code[at : at + 1] == ".":
            at += 1
        elif code[at : at + 1] == "/":
            power, at = -sign, at + 1
        else:
            return at


def _end_of_component(code: str, at: int) -> int:
    closing = ""
    for end in range(at, len(code)):
        letter = code[end]
        if closing:
            closing = "" if letter == closing else closing
        elif letter in "[{":
            closing = "]" if letter == "[" else "}"
        elif letter in "./()":
            return end
    return len(code)


def _component(text: str, power: int) -> Component:
    match = _COMPONENT.fullmatch(text)
    if not text or match is None:
        raise ValueError(text)
    atom, exponent, annotation = match.group(1) or "", int(match.group(2) or 1), (match.group(3) or "")[1:-1]
    if atom and not atom[0].isdigit():
        if not 1 <= abs(exponent) <= _LARGEST_EXPONENT:
            raise ValueError(text)
        return Component(atom, power * exponent, annotation=annotation)
    return Component("", power, _number(text.partition("{")[0]), annotation)


def _number(text: str) -> float:
    tens = _TENS.fullmatch(text)
    if tens is not None:
        if abs(int(tens.group(1))) > _LARGEST_TEN:
            raise ValueError(text)
        return 10.0 ** int(tens.group(1))
    if not text:
        return 1.0  # an annotation alone is one
    if not text.isdecimal() or not 1 <= int(text) <= _MOST_NUMBER:
        raise ValueError(text)
    return float(int(text))


def pint_name(atom: str) -> str | None:
    """Return the name that pint has for an atom with or without prefix, None where it is none of UCUM's here."""
    if atom in METRIC or atom in OTHER:
        return METRIC.get(atom) or OTHER[atom]
    for length in (1, 2):
        if atom[:length] in PREFIXES and atom[length:] in METRIC and atom[length:] != "Cel":
            return PREFIXES[atom[:length]] + METRIC[atom[length:]]
    return None


def written_out(name: str) -> bool:
    """Return whether this is a unit written out, which pint knows by the same name: `pound`, `kilowatts`.

    Of pint's own words no others are taken: it puts a prefix before any of them, and so makes a number of what plants
    write (`Mlb` a million pounds, `cp` a cup, `Min` a million inches).
    """
    for one in (name, name.removesuffix("s")):
        if one in _WRITTEN_OUT or one in _PLAIN:
            return True
        if any(one.removeprefix(prefix) in _WRITTEN_OUT for prefix in PREFIXES.values()):
            return True
    return False


def definitions() -> Sequence[str]:
    """Return what pint has to be told: conventional columns of water and mercury, and shares."""
    return (
        "meter_of_water = 9806.65 * pascal",
        "meter_of_mercury = 133322.387415 * pascal",
        "inch_of_water = 249.08891 * pascal",
        "inch_of_mercury = 3386.388640341 * pascal",
        "per_thousand = 0.001",
        "ppb = 1e-9",
        "pH_value = [acidity]",
    )
