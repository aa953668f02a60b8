"""What is checked of a standard table beyond each row by itself, as data.

Checks judge what is stored by it (`gl_assets.erp.judging.judgements`), scores the rows on their way there
(`gl_assets.transforms.erp.row_rules`).
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Once:
    """No two rows say the same of these columns; rows with one of them missing are not compared."""

    name: str
    says: str
    columns: tuple[str, ...]
    blocking: bool = False
    """What is counted twice makes every sum wrong."""


@dataclass(frozen=True, slots=True)
class OneValue:
    """Rows that are equal in `per` are equal in `column`."""

    name: str
    says: str
    per: tuple[str, ...]
    column: str


@dataclass(frozen=True, slots=True)
class Balanced:
    """The amounts of rows that are equal in `per` sum to 0, where a system's whole groups are read."""

    name: str
    says: str
    per: tuple[str, ...]
    amount: str


@dataclass(frozen=True, slots=True)
class InCurrency:
    """Amounts have no more decimals than their currency."""

    name: str
    says: str
    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class Metered:
    """Every meter of the configuration has a row."""

    name: str
    says: str
    meter: str


TableRule = Once | OneValue | Balanced | InCurrency | Metered
"""One rule of a table."""
