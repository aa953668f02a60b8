"""Currencies of ISO 4217: which there are or were, and how many decimals their amounts have.

Source: ISO 4217 list one by the package iso4217 (today's currencies with their minor units); Unicode CLDR by Babel for
those withdrawn since, which older records rightly have (BGN until 2025, HRK until 2022).
"""

from __future__ import annotations

from functools import cache

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc


@cache
def currency_decimals() -> dict[str, int]:
    """Return currency -> decimals of its minor unit; metals, test codes and `XXX` are no currencies of an amount."""
    from babel.numbers import get_currency_precision, list_currencies
    from iso4217 import Currency

    current = {currency.code: currency.exponent for currency in Currency}
    withdrawn = {code: get_currency_precision(code) for code in list_currencies() if code not in current}
    return {**withdrawn, **{code: decimals for code, decimals in current.items() if decimals is not None}}


@cache
def _codes() -> pa.Array:
    return pa.array(sorted(currency_decimals()), pa.string())


def known_currencies(codes: pa.Array) -> pa.Array:
    """Return True for each code that is a currency; false where it is none or missing."""
    return pc.is_in(codes, value_set=_codes())


def is_currency(column: pd.Series) -> pd.Series:
    """Return the same of a column of a frame; what is missing is no fault here."""
    return column.isin(currency_decimals()) | column.isna()
