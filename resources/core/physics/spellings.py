"""Units as plants, devices and people write them, as UCUM codes: `°F`, `psig`, `Nm³/h`, `lb/hr`, `MMBtu`, `SCFM`.

A word that is an atom of UCUM is that atom; a plant's word comes before an atom with a prefix (`ft` is a foot, not a
femtotonne). A prefix goes with atoms that UCUM lets have one; a plant's word with a prefix is a word of its own here
(`kgal`), or none. What is neither is left as it is.
"""

from __future__ import annotations

import re
import unicodedata

from resources.core.physics.ucum import METRIC, OTHER, pint_name

_MM = "10*6."
_WORDS = {
    # temperature
    "°C": "Cel", "degC": "Cel", "deg_C": "Cel", "Celsius": "Cel", "celsius": "Cel", "oC": "Cel",
    "°F": "[degF]", "degF": "[degF]", "deg_F": "[degF]", "Fahrenheit": "[degF]", "fahrenheit": "[degF]",
    "°K": "K", "degK": "K", "Kelvin": "K", "kelvin": "K", "°R": "[degR]", "degR": "[degR]", "Rankine": "[degR]",
    "ΔK": "K{difference}", "deltaK": "K{difference}", "Δ°C": "Cel{difference}", "ΔC": "Cel{difference}",
    "delta_degC": "Cel{difference}", "deltaC": "Cel{difference}", "delta_degF": "[degF]{difference}",
    "Δ°F": "[degF]{difference}",
    # pressure
    "psi": "[psi]", "ksi": "10*3.[psi]", "torr": "mm[Hg]", "Torr": "mm[Hg]", "mmHg": "mm[Hg]", "cmHg": "cm[Hg]",
    "inHg": "[in_i'Hg]", '"Hg': "[in_i'Hg]", "inH2O": "[in_i'H2O]", "inWC": "[in_i'H2O]", "inwc": "[in_i'H2O]",
    "in.w.c.": "[in_i'H2O]", "iwc": "[in_i'H2O]", "inWG": "[in_i'H2O]{gauge}", "inwg": "[in_i'H2O]{gauge}",
    '"WC': "[in_i'H2O]", '"H2O': "[in_i'H2O]", "mmH2O": "mm[H2O]", "mmWC": "mm[H2O]", "mmWS": "mm[H2O]",
    "mTorr": "um[Hg]", "at": "att",
    "mmWG": "mm[H2O]{gauge}", "mH2O": "m[H2O]", "mWC": "m[H2O]", "mWS": "m[H2O]", "ksc": "kgf/cm2",
    "ata": "att{absolute}", "ati": "att{gauge}", "atü": "att{gauge}", "Mpa": "MPa", "Kpa": "kPa", "KPa": "kPa",
    "Bar": "bar", "BAR": "bar", "pa": "Pa",
    # gas volumes: M is a thousand in MSCF and MCF, as in the gas trade
    "Nm3": "m3{normal}", "nm3": "m3{normal}", "NM3": "m3{normal}", "Ncm": "m3{normal}", "Nl": "L{normal}",
    "NL": "L{normal}", "kNm3": "10*3.m3{normal}", "MNm3": f"{_MM}m3{{normal}}", "kSm3": "10*3.m3{standard}",
    "MSm3": f"{_MM}m3{{standard}}", "Sm3": "m3{standard}", "sm3": "m3{standard}", "SM3": "m3{standard}",
    "Scm": "m3{standard}",
    "scf": "[cft_i]{standard}", "Mscf": "10*3.[cft_i]{standard}", "MMscf": f"{_MM}[cft_i]{{standard}}",
    "scfm": "[cft_i]{standard}/min", "scfh": "[cft_i]{standard}/h", "scfd": "[cft_i]{standard}/d",
    "MMscfd": f"{_MM}[cft_i]{{standard}}/d", "Mscfd": "10*3.[cft_i]{standard}/d", "slpm": "L{normal}/min",
    "sccm": "cm3{normal}/min", "acfm": "[cft_i]/min", "cfm": "[cft_i]/min", "cfh": "[cft_i]/h", "cfs": "[cft_i]/s",
    "Mcf": "10*3.[cft_i]", "MMcf": f"{_MM}[cft_i]", "Ccf": "100.[cft_i]", "Am3": "m3", "am3": "m3",
    # volume and its flow
    "ft3": "[cft_i]", "cuft": "[cft_i]", "cf": "[cft_i]", "cft": "[cft_i]", "in3": "[cin_i]", "cuin": "[cin_i]",
    "cc": "cm3", "ccm": "cm3", "cbm": "m3",
    "gal": "[gal_us]", "gals": "[gal_us]", "USgal": "[gal_us]", "galUS": "[gal_us]",
    "igal": "[gal_br]", "UKgal": "[gal_br]", "bbl": "[bbl_us]", "ltr": "L", "Ltr": "L", "litre": "L", "liter": "L",
    "gpm": "[gal_us]/min", "USgpm": "[gal_us]/min", "gph": "[gal_us]/h", "gpd": "[gal_us]/d", "igpm": "[gal_br]/min",
    "kgal": "10*3.[gal_us]", "kbbl": "10*3.[bbl_us]", "MMbbl": f"{_MM}[bbl_us]",
    "MGD": f"{_MM}[gal_us]/d", "lpm": "L/min", "lph": "L/h", "lps": "L/s", "bpd": "[bbl_us]/d", "cmh": "m3/h",
    # mass and its flow
    "lb": "[lb_av]", "lbs": "[lb_av]", "lbm": "[lb_av]", "klb": "10*3.[lb_av]", "Klb": "10*3.[lb_av]",
    "MMlb": f"{_MM}[lb_av]", "oz": "[oz_av]", "gr": "[gr]", "tonne": "t", "tonnes": "t", "te": "t", "ston": "[ston_av]",
    "US_ton": "[ston_av]",
    "short_ton": "[ston_av]", "lton": "[lton_av]", "long_ton": "[lton_av]", "kgs": "kg", "pph": "[lb_av]/h",
    "kpph": "10*3.[lb_av]/h", "tph": "t/h", "tpd": "t/d", "kgph": "kg/h",
    # energy and power
    "Wh": "W.h", "kWh": "kW.h", "MWh": "MW.h", "GWh": "GW.h", "KWh": "kW.h", "kWhr": "kW.h", "kW-h": "kW.h",
    "Ws": "W.s", "kWs": "kW.s", "MWs": "MW.s", "Btu": "[Btu_IT]", "kBtu": "10*3.[Btu_IT]", "MMBtu": f"{_MM}[Btu_IT]",
    "therm": "10*5.[Btu_IT]", "therms": "10*5.[Btu_IT]",
    "thm": "10*5.[Btu_IT]", "Dth": f"{_MM}[Btu_IT]", "MBH": "10*3.[Btu_IT]/h", "hp": "[HP]", "HP": "[HP]",
    "PS": "75.m.kgf/s", "KW": "kW", "Kw": "kW", "kw": "kW", "MWth": "MW", "MWt": "MW", "MWe": "MW", "MWel": "MW",
    "kWth": "kW", "kWe": "kW", "kWel": "kW", "TR": "12000.[Btu_IT]/h", "RT": "12000.[Btu_IT]/h",
    "VA": "V.A", "kVA": "kV.A", "MVA": "MV.A", "var": "V.A{reactive}", "kvar": "kV.A{reactive}",
    "Mvar": "MV.A{reactive}", "kVAR": "kV.A{reactive}", "kgf": "kgf", "lbf": "[lbf_av]", "Nm": "N.m",
    "kNm": "kN.m", "MNm": "MN.m", "Pas": "Pa.s", "mPas": "mPa.s",
    # time, speed, electricity
    "hr": "h", "hrs": "h", "hour": "h", "hours": "h", "sec": "s", "secs": "s", "second": "s", "seconds": "s",
    "Min": "min", "minute": "min", "minutes": "min", "mins": "min",
    "day": "d", "days": "d", "week": "wk", "yr": "a", "year": "a", "month": "mo", "months": "mo",
    "msec": "ms", "rpm": "1/min", "r/min": "1/min", "cpm": "1/min", "mph": "[mi_i]/h", "kph": "km/h", "kmh": "km/h",
    "fps": "[ft_i]/s", "fpm": "[ft_i]/min", "Amp": "A", "Amps": "A", "amp": "A", "amps": "A", "Volt": "V",
    "Volts": "V", "volt": "V", "volts": "V", "ohm": "Ohm", "ohms": "Ohm", "Ohms": "Ohm", "Ah": "A.h",
    "mAh": "mA.h", "mmho": "mS",
    # length and area
    "ft": "[ft_i]", "feet": "[ft_i]", "in": "[in_i]", "inch": "[in_i]", "inches": "[in_i]", "yd": "[yd_i]",
    "mile": "[mi_i]", "mi": "[mi_i]", "mil": "10*-3.[in_i]", "mils": "10*-3.[in_i]",
    "ft2": "[sft_i]", "sqft": "[sft_i]", "ha": "har", "in2": "[sin_i]", "micron": "um",
    # shares
    "pct": "%", "percent": "%", "%RH": "%", "%rh": "%", "rh": "%", "RH": "%", "%vol": "%", "vol%": "%", "Vol%": "%",
    "wt%": "%", "mol%": "%", "ppm": "[ppm]", "ppmv": "[ppm]", "vppm": "[ppm]", "ppmw": "[ppm]", "ppb": "[ppb]",
    "ppbv": "[ppb]", "-": "1", "pH": "[pH]", "deg": "deg", "°": "deg",
}  # fmt: skip
"""A plant's word -> UCUM. MMBtu is a million; MBtu is a thousand to some and a million to others, so it is refused."""

_WHOLE = {
    "C": "Cel", "F": "[degF]", "KG/H": "kg/h", "T/H": "t/h", "M3/H": "m3/h", "L/H": "L/h", "L/MIN": "L/min",
    "kg/cm2": "kgf/cm2", "kp/cm2": "kgf/cm2", "lb/in2": "[psi]", "lbf/in2": "[psi]", "rev/min": "1/min", "RPM": "1/min",
    "KG": "kg", "M3": "m3", "NM3/H": "m3{normal}/h", "SM3/H": "m3{standard}/h", "KG/S": "kg/s", "M3/S": "m3/s",
}  # fmt: skip
"""Of the whole text only: coulomb and farad are not measured in plants, nor tesla per henry."""

_AMBIGUOUS = {
    **dict.fromkeys(
        ("ton", "tons", "Ton", "Tons", "TON", "TONS"),
        "a ton is t (1000 kg), [ston_av] (2000 lb) or [lton_av] (2240 lb): write which",
    ),
    **dict.fromkeys(
        ("MBtu", "MBTU", "Mbtu", "MBtuh", "mBtu", "mBTU", "mbtu", "mBtuh"),
        "it is a thousand Btu to some and a million to others: write kBtu or MMBtu",
    ),
    **dict.fromkeys(
        ("Mlb", "MLB", "mlb", "Mlbs", "MLBS", "mlbs", "Mlbm"),
        "it is a thousand pounds to some and a million to others: write klb or MMlb",
    ),
    **dict.fromkeys(
        ("kft3", "Kft3", "KFT3"),
        "it is a thousand cubic feet or the cube of a thousand feet: write Mcf or 10*3.[cft_i] for the former",
    ),
    **dict.fromkeys(
        ("Mft3", "MFT3", "mft3"),
        "it is a thousand cubic feet to some and a million to others: write Mcf or MMcf",
    ),
    **dict.fromkeys(
        ("Mgal", "MGAL", "mgal"),
        "it is a thousand gallons to some and a million to others: write kgal or 10*6.[gal_us]",
    ),
    **dict.fromkeys(
        ("Mbbl", "MBBL", "mbbl"),
        "it is a thousand barrels to some and a million to others: write kbbl or MMbbl",
    ),
    **dict.fromkeys(("mt", "MT"), "it is a metric ton or a prefix before one: write t, kg or kt"),
    "Mm3": "it is a thousand cubic metres to some and a million to others: write 10*3.m3 or 10*6.m3",
    "mWh": "it is a milliwatt hour or a megawatt hour: write mW.h or MWh",
    "Mbar": "it is a millibar or a megabar: write mbar or 10*6.bar",
    "cp": "it is centipoise or a heat capacity: write cP or kJ/kg/K",
    **dict.fromkeys(("bhp", "BHP"), "it is brake or boiler horsepower: write hp (745.7 W) or 33475.[Btu_IT]/h"),
}

_PRESSURES = {
    "bar": "bar", "mbar": "mbar", "psi": "[psi]", "pa": "Pa", "hpa": "hPa", "kpa": "kPa", "Mpa": "MPa", "atm": "atm",
    "kg/cm2": "kgf/cm2", "kgf/cm2": "kgf/cm2", "inh2o": "[in_i'H2O]", "inhg": "[in_i'Hg]", "mmh2o": "mm[H2O]",
    "mmhg": "mm[Hg]", "ksc": "kgf/cm2", "torr": "mm[Hg]",
}  # fmt: skip
_PRESSURE = re.compile(
    r"(?i:(bar|mbar|psi|h?pa|kpa|atm|kgf?/cm2|inh2o|inhg|mmh2o|mmhg|ksc|torr)|(?-i:(M[Pp][Aa])))"
    r"[_ ]?(?:\((\w+)\.?\)|(?<!\()(?i:(gauge|gage|g|absolute|abs|a|diff|d)))"
)
_SUFFIXES = {
    "g": "gauge", "gauge": "gauge", "gage": "gauge", "a": "absolute", "abs": "absolute", "absolute": "absolute",
    "d": "difference", "diff": "difference",
}  # fmt: skip

_CLEANED = str.maketrans({"·": ".", "⋅": ".", "∙": ".", "×": ".", "−": "-", "–": "-", "⁻": "-", "Ω": "Ohm", "μ": "u"})
_EXPONENT = re.compile(r"(?<=[A-Za-z\]])(?:\*\*|\^)(?=[-+]?\d)")
_STAR = re.compile(r"(?<!10)\*")
_PARTS = re.compile(r"(\{[^{}]*\}|[./()])")
_BASE_AND_EXPONENT = re.compile(r"(.*?[^\d+-])([+-]?\d+)?")
_SIMPLE = re.compile(r"[^./]+")
_FOLDED = {word.casefold(): word for word in reversed(_WORDS)}


class AmbiguousUnitError(ValueError):
    """A word that means two units; the message says which to choose from."""


def as_ucum(text: str) -> str:
    """Return the UCUM code of a unit that may be written as plants do; what is no known word stays as it is.

    Raises:
        AmbiguousUnitError: A word means different units to different people.
    """
    cleaned = _clean(text)
    if cleaned in _WHOLE:
        return _WHOLE[cleaned]
    pressure = _pressure(cleaned)
    if pressure is not None:
        return pressure
    if cleaned in _WORDS:
        return _WORDS[cleaned]
    parts = _PARTS.split(cleaned)
    if len(parts) == 1:
        return _word(cleaned)
    divides, code = False, ""
    for part in parts:
        if not part or part[0] in "{./()":
            code += part
            divides = divides or part == "/"
            continue
        word = _word(part)
        # a word that is a quotient of its own must not lose its lower half
        code += word if _SIMPLE.fullmatch(word) or (not divides and "/" not in word) else f"({word})"
    return code


def _clean(text: str) -> str:
    found = unicodedata.normalize("NFKC", text.translate(_CLEANED)).translate(_CLEANED)
    found = "".join(found.split())
    return _STAR.sub(".", _EXPONENT.sub("", found))


def _pressure(text: str) -> str | None:
    match = _PRESSURE.fullmatch(text)
    if match is None:
        return None
    base, suffix = match.group(1), (match.group(3) or match.group(4) or "").casefold()
    if suffix not in _SUFFIXES:
        return None
    return f"{_PRESSURES['Mpa' if base is None else base.casefold()]}{{{_SUFFIXES[suffix]}}}"


def _word(text: str) -> str:
    """Return the UCUM code of one word with its exponent."""
    if text in _AMBIGUOUS:
        raise AmbiguousUnitError(_AMBIGUOUS[text])
    if text in METRIC or text in OTHER:
        return text
    if text in _WORDS:
        return _WORDS[text]
    match = _BASE_AND_EXPONENT.fullmatch(text)
    base, exponent = (match.group(1), match.group(2) or "") if match else (text, "")
    if base in METRIC or base in OTHER:
        return text
    if base in _WORDS and _SIMPLE.fullmatch(_WORDS[base]):
        return _WORDS[base] + exponent
    if pint_name(base) is not None:
        return text
    return _in_other_capitals(text)


def _in_other_capitals(text: str) -> str:
    """Return the code of a word written in other capitals; where those tell M from m, it is no such word."""
    word = _FOLDED.get(text.casefold())
    if word is None:
        return text
    said = not (text.isupper() or text.islower() or text.istitle())
    return text if said and text[0] in "mM" and text[0] != word[0] else _WORDS[word]
