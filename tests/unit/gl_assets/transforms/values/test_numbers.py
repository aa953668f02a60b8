"""Numbers in every form that ERP systems send, with every digit they have."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gl_assets.transforms.values.numbers import AMOUNT, divided, negated, read_numbers, signed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12.5", "12.5"),
        ("+3", "3"),
        ("-.5", "-0.5"),
        ("5.", "5"),
        ("0012.30", "12.3"),
        ("1.25E+02", "125"),
        ("1.5e-3", "0.0015"),
        ("12.50-", "-12.5"),
        ("1e-400", "0"),
        ("0.1000000000000000055511151231257827", "0.1"),
        ("0.0000000005", "0"),
        ("0.0000000015", "0.000000002"),
        ("9999999999999999999999999999.999999999", "9999999999999999999999999999.999999999"),
        ("9007199254740993", "9007199254740993"),
        ("0" * 60 + "1.5", "1.5"),
    ],
)
def test_a_number_when_in_any_form_keeps_its_digits(text: str, value: str) -> None:
    found = read_numbers(pa.array([text]))
    assert found.values[0].as_py() == Decimal(value)
    assert not found.malformed[0].as_py()


@pytest.mark.parametrize(
    "text", ["12,5", "1.234,56", "1 234", "NaN", "Infinity", "0x10", "abc", "1e", "--1", "1.2.3", "€5", "true", "."]
)
def test_a_number_when_it_is_none_is_said_to_be_none(text: str) -> None:
    found = read_numbers(pa.array([text, None, "1"]))
    assert found.values.to_pylist() == [None, None, 1]
    assert found.malformed.to_pylist() == [True, False, False]


@pytest.mark.parametrize("text", ["1e28", "-1e28", "1e999999", "9" * 29])
def test_a_number_when_no_amount_is_so_large_is_said_to_be_too_large(text: str) -> None:
    found = read_numbers(pa.array([text]))
    assert (found.values.to_pylist(), found.too_large.to_pylist(), found.malformed.to_pylist()) == (
        [None],
        [True],
        [False],
    )


@settings(deadline=None)
@given(
    st.lists(
        st.decimals(-(10**27), 10**27, allow_nan=False, allow_infinity=False, places=12)
        | st.floats(-1e20, 1e20).map(lambda f: Decimal(repr(f)))
    )
)
def test_numbers_when_read_are_those_of_decimal(numbers: list[Decimal]) -> None:
    found = read_numbers(pa.array([str(number) for number in numbers], pa.string()))
    from decimal import localcontext

    with localcontext(prec=60):
        expected = [number.quantize(Decimal("1e-9"), ROUND_HALF_EVEN) for number in numbers]
    assert found.values.to_pylist() == expected


@settings(deadline=None)
@given(st.lists(st.text(max_size=12) | st.none()))
def test_any_text_when_read_is_a_number_or_said_to_be_none(texts: list[str | None]) -> None:
    found = read_numbers(pa.array(texts, pa.string()))
    for text, value, bad, large in zip(texts, found.values, found.malformed, found.too_large, strict=True):
        assert (text is None) + value.is_valid + bad.as_py() + large.as_py() == 1


def test_debit_and_credit_when_one_is_missing_are_signed() -> None:
    debit, credit = pa.array([1, None, None, 5], AMOUNT), pa.array([None, 2, None, 1], AMOUNT)
    assert signed(debit, credit).to_pylist() == [1, -2, None, 4]
    assert negated(debit, pa.array([True, True, True, False])).to_pylist() == [-1, None, None, 5]


@pytest.mark.parametrize(
    ("value", "factor", "quotient"),
    [("36000000", 3.6e6, "10"), ("0.25", 0.0010000000000000002, "250"), ("1", 3.6e6, "0.000000278"), ("1", 1e12, "0"),
     ("10000000000000000000000000000", 1e-3, None)],
)  # fmt: skip
def test_a_number_when_divided_by_a_factor_of_units_is_exact(value: str, factor: float, quotient: str | None) -> None:
    found = divided(pa.array([Decimal(value)], AMOUNT), factor)[0].as_py()
    assert found == (None if quotient is None else Decimal(quotient))
