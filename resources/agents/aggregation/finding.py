"""What a method makes of the usable answers, before policies and shares are applied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from resources.agents.aggregation.model import Standing


@dataclass(frozen=True, slots=True)
class Finding:
    """A value and the agents it comes from."""

    value: Any
    supporters: frozenset[str]
    """Who stands behind the value."""
    details: Mapping[str, Any]
    others: Standing = "dissents"
    """Where the agents with another usable answer stand."""
    refusal: str | None = None
    """Why there is no value, whatever its support."""
