"""`quality.rules`: which broken rule rejects a reading and which lowers its score, for all tags that do not say."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from resources.core.configuration.settings import Duration, StrictModel
from resources.core.rules import Action


class RulesConfig(StrictModel):
    """What follows from a broken rule: `reject`, `lower` (the quality score), or `off`. A tag's own `rules` win."""

    range: Action = "reject"
    """A value beyond the tag's minimum or maximum."""
    future: Action = "lower"
    """A source time ahead of the receipt by more than `future_after`; beyond 5 min the collector rejects it."""
    too_old: Action = "lower"
    """A source time before the receipt by more than `too_old_after`; history is exempt."""
    rate_of_change: Action = "lower"
    """A value further from the last plausible one than the tag's `max_rate` allows for the time between."""
    flat_line: Action = "lower"
    """The same value for the tag's `flat_after` or longer."""
    out_of_order: Action = "lower"
    """A reading that came after a newer one of its sensor; history is exempt."""
    duplicate: Action = "lower"
    """Another value came for the same sensor and time before; the later one stands, the earlier one is rejected."""
    future_after: Duration = Field(timedelta(minutes=1), gt=timedelta(0))
    """How far a source time may lie ahead of the receipt."""
    too_old_after: Duration = Field(timedelta(minutes=1), gt=timedelta(0))
    """How far a source time may lie before the receipt."""
