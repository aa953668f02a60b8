"""What reads fields that no rule can: a function for one resource of one kind of system."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gl_assets.transforms.erp.records import Records


@dataclass(frozen=True, slots=True)
class SpecialReading:
    """A function that finds fields of a table by more than one property."""

    columns: tuple[str, ...]
    """Columns of the table that it gives; rules for them are not read."""
    paths: tuple[str, ...]
    """Properties it reads."""
    read: Callable[[Records], None]
    """Puts the columns into `values`, problems and withdrawn records to the others."""
