"""Conversions against published reference values; the source of each stands beside it."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.core.errors import ConfigError
from resources.core.physics.measures import registry
from resources.core.physics.quantities import QUANTITIES, quantity_of
from resources.core.physics.ucum import METRIC, OTHER, written_out
from resources.core.physics.units import conversion, ucum_code

NIST = "NIST SP 811, appendix B"
ISO = "ISO 80000"

PUBLISHED = [
    # temperature: fixed points of the scales
    ("degF", "°C", 212.0, 100.0, NIST),
    ("°F", "K", 32.0, 273.15, NIST),
    ("Cel", "degF", -40.0, -40.0, NIST),
    ("Cel", "K", 0.01, 273.16, "ITS-90, triple point of water"),
    ("degR", "K", 491.67, 273.15, NIST),
    ("delta_degF", "K{difference}", 18.0, 10.0, NIST),
    # pressure, absolute
    ("psi", "kPa", 1.0, 6.894757, NIST),
    ("atm", "psi", 1.0, 14.69595, NIST),
    ("bar", "psia", 1.0, 14.50377, NIST),
    ("inHg", "kPa", 1.0, 3.386389, NIST),
    ("inH2O", "Pa", 1.0, 249.0889, NIST),
    ("mmHg", "Pa", 1.0, 133.3224, NIST),
    ("kgf/cm2", "kPa", 1.0, 98.0665, NIST),
    ("mmH2O", "Pa", 1.0, 9.80665, NIST),
    # pressure, gauge: the air's 101.325 kPa is added
    ("psig", "psia", 0.0, 14.69595, NIST),
    ("barg", "bar", 7.0, 8.01325, "DIN 1314"),
    ("kPag", "kPa", -101.325, 0.0, "DIN 1314"),
    ("psig", "bar", 150.0, 11.35538, NIST),
    # mass and its flow
    ("lb", "kg", 1.0, 0.45359237, NIST),
    ("lb/hr", "kg/s", 1.0, 1.259979e-4, NIST),
    ("klb/h", "t/h", 100.0, 45.359237, NIST),
    ("[ston_av]", "kg", 1.0, 907.18474, NIST),
    ("[lton_av]", "kg", 1.0, 1016.0469, NIST),
    ("tph", "kg/s", 3.6, 1.0, ISO),
    # volume and its flow
    ("ft3", "m3", 1.0, 2.831685e-2, NIST),
    ("gal", "L", 1.0, 3.785412, NIST),
    ("igal", "L", 1.0, 4.54609, NIST),
    ("bbl", "m3", 1.0, 0.1589873, NIST),
    ("gpm", "m3/h", 1.0, 0.2271247, NIST),
    ("cfm", "m3/h", 1.0, 1.699011, NIST),
    # gas at its reference state
    ("Nm3/h", "scfh", 1.0, 37.3259, "ideal gas, 0 Cel to 60 degF at 101.325 kPa; GPSA Engineering Data Book"),
    ("Nm3", "Sm3", 1.0, 1.054915, "ISO 13443, table B.1, ideal gas: 288.15 / 273.15"),
    ("MMSCFD", "Nm3/h", 1.0, 1116.30, "ideal gas; GPSA Engineering Data Book"),
    ("Nm3/h", "m3{40Cel,7bar}/h", 100.0, 16.5946, "ideal gas: 313.15/273.15 * 101.325/700"),
    ("mg/Sm3", "mg/Nm3", 1.0, 1.054915, "as Nm3 to Sm3, the other way round"),
    # energy and power
    ("Btu", "kJ", 1.0, 1.055056, NIST),
    ("MMBtu", "GJ", 1.0, 1.055056, NIST),
    ("therm", "MJ", 1.0, 105.5056, "NIST SP 811: therm (EC)"),
    ("kWh", "MJ", 1.0, 3.6, NIST),
    ("kcal", "kJ", 1.0, 4.184, NIST),
    ("cal_IT", "J", 1.0, 4.1868, NIST),
    ("MMBtu/h", "kW", 1.0, 293.0711, NIST),
    ("hp", "W", 1.0, 745.6999, NIST),
    ("PS", "W", 1.0, 735.49875, "DIN 66036"),
    ("TR", "kW", 1.0, 3.516853, NIST),
    # what steam and fuels carry
    ("Btu/lb", "kJ/kg", 1.0, 2.326, NIST),
    ("kcal/kg", "kJ/kg", 1.0, 4.184, NIST),
    ("Btu/ft3", "kJ/m3", 1.0, 37.25895, NIST),
    ("lb/ft3", "kg/m3", 1.0, 16.01846, NIST),
    ("cP", "mPa.s", 1.0, 1.0, NIST),
    ("ft/s", "m/s", 1.0, 0.3048, NIST),
    ("%", "ppm", 1.0, 10_000.0, ISO),
]


@pytest.mark.parametrize(
    ("one", "other", "value", "expected", "source"), PUBLISHED, ids=[f"{case[0]} to {case[1]}" for case in PUBLISHED]
)
def test_conversion_when_published_then_within_a_ten_thousandth(
    one: str, other: str, value: float, expected: float, source: str
) -> None:
    factor, offset = conversion(one, other)
    assert factor * value + offset == pytest.approx(expected, rel=1e-4, abs=1e-9), source


FAMILIES = [
    ["Cel", "K", "[degF]", "[degR]"],
    ["bar", "bar{gauge}", "kPa", "[psi]", "[psi]{gauge}", "mm[Hg]", "atm", "kgf/cm2{gauge}"],
    ["m3/h", "L/min", "[gal_us]/min", "[cft_i]/s"],
    ["m3{normal}/h", "m3{standard}/h", "[cft_i]{standard}/min", "m3{40Cel,7bar}/h", "L{normal}/min"],
    ["kg/s", "t/h", "[lb_av]/h", "10*3.[lb_av]/h"],
    ["J", "kW.h", "10*6.[Btu_IT]", "kcal"],
    ["W", "MW", "[HP]", "[Btu_IT]/h"],
    ["kJ/kg", "[Btu_IT]/[lb_av]", "J/g"],
    ["mg/m3{normal}", "kg/m3{standard}", "[lb_av]/[cft_i]{standard}"],
]


@given(
    pair=st.sampled_from(FAMILIES).flatmap(lambda family: st.tuples(*[st.sampled_from(family)] * 3)),
    value=st.floats(-1e6, 1e6),
    atmosphere=st.floats(50, 110),
)
def test_conversion_when_there_and_back_or_by_a_third_unit_then_the_same(
    pair: tuple[str, str, str], value: float, atmosphere: float
) -> None:
    one, other, third = pair

    def through(*units: str) -> float:
        found = value
        for source, target in pairwise(units):
            factor, offset = conversion(source, target, atmosphere)
            found = factor * found + offset
        return found

    scale = abs(conversion(third, one, atmosphere)[1]) + abs(conversion(other, one, atmosphere)[1]) + 1
    assert through(one, other, one) == pytest.approx(value, rel=1e-9, abs=1e-9 * scale)
    assert through(one, third, one) == pytest.approx(through(one, other, third, one), rel=1e-9, abs=1e-9 * scale)


def test_conversion_when_the_site_is_high_up_then_its_atmosphere_counts() -> None:
    assert conversion("bar{gauge}", "bar", 84.0) == (1.0, pytest.approx(0.84))
    assert conversion("bar", "bar{gauge}", 84.0) == (1.0, pytest.approx(-0.84))
    assert conversion("bar{gauge}", "kPa{gauge}", 84.0) == (pytest.approx(100.0), 0.0)


def test_conversion_when_the_atmosphere_is_not_known_then_gauge_and_absolute_stay_apart() -> None:
    with pytest.raises(ConfigError, match="give the tag the unit that is sent"):
        conversion("barg", "bar", None)
    assert conversion("barg", "kPag", None) == (pytest.approx(100.0), 0.0)


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ("bar", "kg/h", r"cannot convert bar \(pressure\) to kg/h \(mass flow\): they measure different things"),
        (
            "Nm3/h",
            "m3/h",
            r"cannot convert Nm3/h \(gas flow at 0 Cel and 101.325 kPa\) to m3/h .*: the state of one gas",
        ),
        ("m3", "scf", "the state of one gas volume is not given"),
        ("mg/Nm3", "mg/m3", "the state of one gas volume"),
        ("Nm3/h", "kg/h", r"\(gas flow at 0 Cel .* to kg/h \(mass flow\)"),
        ("K{difference}", "Cel", r"\(temperature difference\) to Cel \(temperature\): a difference is no place"),
        ("mbar{difference}", "barg", r"pressure difference\) to barg \(gauge pressure\): a difference is no place"),
        ("MMBtu", "kW", r"\(energy\) to kW \(power\)"),
        ("kJ/kg", "kJ", r"\(specific enthalpy\) to kJ \(energy\)"),
        ("%", "Cel", r"\(share\) to Cel \(temperature\)"),
    ],
)
def test_conversion_when_impossible_then_refused_by_name(one: str, other: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        conversion(one, other)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("°F", "[degF]"), ("deg F", "[degF]"), ("DEGF", "[degF]"), ("℃", "Cel"), ("C", "Cel"),
        ("psig", "[psi]{gauge}"), ("PSIG", "[psi]{gauge}"), ("bar (g)", "bar{gauge}"), ("kPa abs", "kPa{absolute}"),
        ("MPag", "MPa{gauge}"), ("kg/cm²(g)", "kgf/cm2{gauge}"), ("mmH2O", "mm[H2O]"), ("ata", "att{absolute}"),
        ("Nm³/h", "m3{normal}/h"), ("Nm3/hr", "m3{normal}/h"), ("SCFM", "[cft_i]{standard}/min"),
        ("MMSCFD", "10*6.[cft_i]{standard}/d"), ("mg/Nm3", "mg/m3{normal}"), ("lb/hr", "[lb_av]/h"),
        ("MMBtu", "10*6.[Btu_IT]"), ("MMBTU/HR", "10*6.[Btu_IT]/h"), ("Btu / lb", "[Btu_IT]/[lb_av]"),
        ("kWh", "kW.h"), ("m^3", "m3"), ("m³/h", "m3/h"), ("W/(m²·K)", "W/(m2.K)"), ("ft/s", "[ft_i]/s"),
        ("rpm", "1/min"), ("t/gpm", "t/([gal_us]/min)"), ("kg/h", "kg/h"), ("m.s-2", "m.s-2"), ("µS/cm", "uS/cm"),
        ("kNm3/h", "10*3.m3{normal}/h"), ("mg/kNm3", "mg/(10*3.m3{normal})"), ("kgal", "10*3.[gal_us]"),
        ("MMlb/h", "10*6.[lb_av]/h"), ("kNm", "kN.m"), ("mPas", "mPa.s"), ("ft3/Min", "[cft_i]/min"), ("at", "att"),
        ("MWs", "MW.s"), ("mwh", "MW.h"), ("MWH", "MW.h"), ("kilowatts", "kilowatts"), ("millibar", "millibar"),
        ("kvar", "kV.A{reactive}"), ("T/H", "t/h"), ("%RH", "%"), ("{box}", "{box}"),
    ],
)  # fmt: skip
def test_spelling_when_a_plants_then_its_ucum_code(written: str, code: str) -> None:
    assert ucum_code(written) == code
    assert ucum_code(code) == code


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("ton/h", r"a ton is t \(1000 kg\)"),
        ("MBtu", "write kBtu or MMBtu"),
        ("bhp", "brake or boiler"),
        ("mBtu/h", "write kBtu or MMBtu"),
        ("Mlb/hr", "write klb or MMlb"),
        ("MLB/HR", "write klb or MMlb"),
        ("mt/h", "write t, kg or kt"),
        ("Mft3/h", "write Mcf or MMcf"),
        ("kft3", "the cube of a thousand feet"),
        ("Mm3/d", "write 10"),
        ("Mgal", "write kgal"),
        ("Mbbl/d", "write kbbl or MMbbl"),
        ("mWh", "write mW.h or MWh"),
        ("Mbar", "write mbar"),
        ("cp", "write cP"),
        # nor a prefix of pint's before a word of pint's
        ("kin", "write a UCUM code"),
        ("MG/L", "write a UCUM code"),
        ("mVA", "write a UCUM code"),
        ("pc", "write a UCUM code"),
        ("[points]", "write a UCUM code"),
        ("kg{gauge}", "{gauge} goes with a pressure"),
        ("K{normal}", "{normal} goes with a volume"),
        ("m3{normal}/m3{standard}", "only one volume"),
        ("bar{gauge}.m{absolute}", "exclude each other"),
        ("m3{-300Cel,1bar}", "write a UCUM code"),
        ("10*99.m", "write a UCUM code"),
        ("(m3/h", "write a UCUM code"),
        ("m10/h", "write a UCUM code"),
        ("R", "write a UCUM code"),
        ("m" * 90, "write a UCUM code"),
    ],
)
def test_spelling_when_it_means_nothing_or_two_things_then_refused(written: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ucum_code(written)


def test_spelling_when_the_how_to_has_it_then_understood() -> None:
    text = (Path(__file__).parents[4] / "docs/how-to/units.md").read_text(encoding="utf-8")
    rows = [line.split("|") for line in text.splitlines() if line.startswith("|") and line.count("|") == 4]
    spellings = [word for row in rows for word in re.findall("`([^`]+)`", row[2])]
    assert len(spellings) > 60
    assert [word for word in spellings if conversion(word, ucum_code(word)) != (1.0, 0.0)] == []


def test_units_when_written_out_then_pint_knows_each_by_that_name() -> None:
    names = {*METRIC.values(), *OTHER.values()}
    assert all(written_out(name) and written_out(f"{name}s") for name in names - {"degC"})
    assert [name for name in names if registry().parse_units(name) is None] == []
    assert not any(map(written_out, ("cup", "parsec", "kiloinch", "megapound", "kilokilowatt", "")))


def test_quantities_when_looked_up_then_each_finds_itself_or_its_twin() -> None:
    names = {quantity_of(code) for code in QUANTITIES.values()}
    assert names == set(QUANTITIES)
    assert quantity_of("[psi]{gauge}") == "gauge_pressure"
    assert quantity_of("m3/h2") is None
    assert math.isclose(conversion("L{standard}/min", "L{normal}/min")[0], 273.15 / 288.15)
