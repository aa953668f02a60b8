"""Numbers as ERP systems write them, as exact decimals. Arrow in, Arrow out.

Systems send numbers as JSON numbers, as text (every `Edm.Decimal` and `Edm.Double` of OData V2) and as floating point
written in full; `1.25E+02` and ABAP's sign behind the digits occur. A decimal comma is no number: which of two places
it stands for cannot be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc

AMOUNT = pa.decimal128(38, 9)
"""What the standard tables hold: nine places."""

LARGEST = 1e28
"""No amount reaches this."""

_WIDE = pa.decimal256(76, 38)
_MIDDLE = pa.decimal256(37, 9)
"""Leaves room for what it is multiplied by or divided through: a decimal has 76 digits at most."""
_PLAIN = r"^[+-]?[0-9]{1,28}(\.[0-9]{0,9})?$"
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,9})?$"
_SIGN_LAST = r"^([0-9.]+)-$"


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers; a value is null where it is missing or one of the masks is true."""

    values: pa.Array
    malformed: pa.Array
    too_large: pa.Array


def read_numbers(texts: pa.Array) -> Numbers:
    """Return texts as decimals, rounded half to even at the ninth place."""
    nothing = pc.fill_null(pc.is_valid(texts).cast(pa.bool_()), False)
    none = pc.and_not(nothing, nothing)
    plain = pc.match_substring_regex(texts, _PLAIN)
    if pc.all(plain).as_py() is not False:  # nulls are left out; of no rows at all, every one is plain
        return Numbers(texts.cast(AMOUNT), none, none)
    return _read_odd(texts)


def _read_odd(texts: pa.Array) -> Numbers:
    texts = pc.replace_substring_regex(texts, _SIGN_LAST, r"-\1")
    number = pc.match_substring_regex(texts, _NUMBER)
    malformed = pc.fill_null(pc.invert(number), False)
    texts = pc.if_else(number, texts, pa.scalar(None, pa.string()))
    size = pc.abs(texts.cast(pa.float64()))
    too_large = pc.fill_null(pc.greater_equal(size, LARGEST), False)
    texts = pc.if_else(too_large, pa.scalar(None, pa.string()), texts)
    # what rounds to nothing may have an exponent that no decimal can hold
    texts = pc.if_else(pc.less(size, 1e-12), "0", texts)
    # more places than these cannot change the ninth; zeros in front would count as digits of the decimal
    texts = pc.replace_substring_regex(texts, r"(\.[0-9]{24})[0-9]+", r"\1")
    texts = pc.replace_substring_regex(texts, r"^([+-]?)0+([0-9])", r"\1\2")
    return Numbers(pc.round(texts.cast(_WIDE), 9, "half_to_even").cast(AMOUNT), malformed, too_large)


def signed(debit: pa.Array, credit: pa.Array) -> pa.Array:
    """Return debit less credit; what is missing counts as 0 where the other is known, null where neither is."""
    zero = pa.scalar(0, AMOUNT)
    difference = _minus(pc.fill_null(debit, zero), pc.fill_null(credit, zero))
    return pc.if_else(pc.or_(pc.is_valid(debit), pc.is_valid(credit)), difference, pa.scalar(None, AMOUNT))


def negated(values: pa.Array, where: pa.Array) -> pa.Array:
    """Return values with the other sign where the mask is true."""
    return pc.if_else(where, pc.negate(values), values)


def divided(values: pa.Array, by: float) -> pa.Array:
    """Return values divided by a factor between units, rounded half to even at the ninth place.

    What becomes too large for an amount is null.
    """
    # fifteen digits are what a float surely has: 0.001, not 0.0010000000000000002
    factor = Decimal(f"{by:.15g}")
    if factor < 1:  # multiplied by its inverse, small factors keep their digits
        fits = pc.less(pc.abs(values.cast(pa.float64())), LARGEST * float(factor))
        product = pc.multiply(pc.if_else(fits, values, pa.scalar(None, AMOUNT)).cast(_MIDDLE), _scalar(1 / factor))
        return pc.round(product, 9, "half_to_even").cast(AMOUNT)
    return pc.round(pc.divide(values.cast(_MIDDLE), _scalar(factor)), 9, "half_to_even").cast(AMOUNT)


def _scalar(factor: Decimal) -> pa.Scalar:
    return pa.scalar(factor.quantize(Decimal("1e-12")), pa.decimal256(37, 12))


def _minus(left: pa.Array, right: pa.Array) -> pa.Array:
    return pc.subtract(left.cast(pa.decimal256(38, 9)), right.cast(pa.decimal256(38, 9))).cast(AMOUNT)
