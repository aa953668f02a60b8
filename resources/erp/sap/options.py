"""What only SAP knows of a dataset: the block `options` of its declaration."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from resources.core.configuration.settings import StrictModel
from resources.erp.declared import DatasetConfig, PropertyPath
from resources.erp.sap.conditions import Condition


def _one_or_more(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class Validity(StrictModel):
    """The period in which a record of master data is valid; only what is valid today is asked for."""

    start: PropertyPath
    """Property with its first day."""
    end: PropertyPath
    """Property with its last day."""


class NetAmount(StrictModel):
    """The net amount of an item whose service has only its price: quantity x price / per, in the order's price unit."""

    quantity: PropertyPath
    """Property with the quantity, in the order's unit."""
    price: PropertyPath
    """Property with the price."""
    per: PropertyPath
    """Property with how many price units the price is for."""
    numerator: PropertyPath | None = None
    """Property with the numerator of the way from order unit to price unit; 1 if absent."""
    denominator: PropertyPath | None = None
    """Property with its denominator; 1 if absent."""


class SapOptions(StrictModel):
    """The block `options` of a dataset."""

    order_by: Annotated[tuple[PropertyPath, ...], BeforeValidator(_one_or_more)] = ()
    """Properties that give the entities a stable order; the dataset's key if absent. Needed with `explode`, where the
    key is that of the children."""
    expand_select: dict[str, tuple[PropertyPath, ...]] = Field(default_factory=dict)
    """Navigation (a path of them, joined by /) -> properties asked for of it; all if absent."""
    expand_by: Literal["query", "batch"] = "query"
    """`query` expands within the pages. `batch` asks for pages without, and then for the navigations of a page's
    entities in one $batch: for sets whose $expand runs into the system's time limit."""
    batch_size: int = Field(100, ge=1, le=1000)
    """Entities asked for by one $batch."""
    language: dict[str, str] = Field(default_factory=dict)
    """Navigation to texts -> its property with the language: the texts of sap_language come first (OData V2), or alone
    (V4, by a filter within $expand)."""
    valid: Validity | None = None
    """Period of validity, of master data that depends on time."""
    business_date_as: Literal["date", "instant"] = "date"
    """What the business date is: a date, or an instant (its day by the system's zone)."""
    changed_as: Literal["instant", "digits", "date"] = "instant"
    """What the change stamp is: an instant, a text of 14 digits (YYYYMMDDhhmmss), or a date."""
    changed_zone: Literal["utc", "system"] = "utc"
    """Zone of a change stamp of digits."""
    flags: dict[str, PropertyPath] = Field(default_factory=dict)
    """Word -> property that holds X or true where it applies; the first that does becomes derived.status."""
    net_amount: NetAmount | None = None
    """Where derived.net_amount comes from."""
    filter: Condition | None = None
    """A further condition, as complex as need be; see README.md."""
    modules: tuple[str, ...] = ()
    """Modules of SAP that the dataset belongs to (PM, PP, MM, FI, CO); for people."""


def options_of(declared: DatasetConfig) -> SapOptions:
    """Return a dataset's options, validated.

    Raises:
        ValidationError: A key that is none, or a value that does not fit.
    """
    values: dict[str, Any] = declared.options
    return SapOptions.model_validate(values)
