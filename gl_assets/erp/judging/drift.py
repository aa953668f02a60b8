"""Drift of a schema: the properties that records have now, against those remembered. Pure; the contract decides.

`evolve` takes every change as it comes. `warn` says a change once and knows it from then on. `freeze` blocks until
somebody has looked at it: one run with another contract takes it over.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from resources.erp.auditing.observed import Property

FEWEST_RECORDS = 20
"""Of fewer records it cannot be told that a property has gone: systems leave out what has no value."""

Contract = Literal["evolve", "warn", "freeze"]


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed in the records of a dataset."""

    new: tuple[str, ...] = ()
    """Properties that no record had before."""
    missing: tuple[str, ...] = ()
    """Properties that the declaration reads, that every record had before, and that none has now."""
    retyped: tuple[str, ...] = ()
    """Properties with values of a JSON type they never had: `Quantity: number, was string`."""

    def __bool__(self) -> bool:
        """Return whether anything changed."""
        return bool(self.new or self.missing or self.retyped)


def drift(known: Mapping[str, Property], found: Mapping[str, Property], records: int, read: Collection[str]) -> Drift:
    """Return what changed.

    Args:
        known: What is remembered; nothing of a dataset that is looked at for the first time, which is no change.
        found: What the records have now.
        records: How many records `found` is of.
        read: The paths that the declaration reads.
    """
    if not known or not records:
        return Drift()
    gone = [
        name
        for name in sorted(set(read) & known.keys() - found.keys())
        if known[name].always and records >= FEWEST_RECORDS
    ]
    retyped = [
        f"{name}: {_listed(held.types - known[name].types)}, was {_listed(known[name].types)}"
        for name, held in sorted(found.items())
        if name in known and known[name].types and held.types - known[name].types
    ]
    return Drift(tuple(sorted(found.keys() - known.keys())), tuple(gone), tuple(retyped))


def passes(found: Drift, contract: Contract) -> bool:
    """Return whether the check passes."""
    return contract == "evolve" or not found


def is_taken_over(found: Drift, contract: Contract) -> bool:
    """Return whether what was found is remembered as what the records have."""
    return contract != "freeze" or not found


def _listed(types: Collection[str]) -> str:
    return " or ".join(sorted(types))
