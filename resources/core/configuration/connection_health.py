"""The block `connection_health` of the configuration: when a source is said to be at risk before it fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, StrictModel

MOST_SLOTS = 20_000
"""Slots of history that are kept at most: 16 bytes each and source."""


class ConnectionHealthConfig(StrictModel):
    """Predictive connection health: what is kept of every source's connection, and what is too much of it."""

    enabled: bool = True
    """False: nothing is measured, and nobody is warned before a source fails."""
    every: Annotated[Duration, Field(ge=timedelta(milliseconds=100))] = timedelta(seconds=10)
    """How often every source's connection is measured and judged; a connected one is asked for one answer each time."""
    recent: Duration = timedelta(minutes=15)
    """What is judged: the latest stretch, against the history before it."""
    history: Duration = timedelta(hours=6)
    """What the latest stretch is compared with; kept over restarts."""
    horizon: Duration = timedelta(minutes=15)
    """How far the growth of the answer times is drawn out, and how soon a failure must follow to prove a warning."""
    chance: float = Field(1e-4, gt=0, lt=0.5)
    """A source is at risk when so many losses, retries or gaps as in `recent` had come by chance with less than this
    probability."""

    @model_validator(mode="after")
    def _spans_fit(self) -> Self:
        if self.recent < 6 * self.every:
            raise ValueError("connection_health.recent must hold at least six times connection_health.every")
        if self.history < 2 * self.recent:
            raise ValueError("connection_health.history must be at least twice connection_health.recent")
        if self.history / self.every > MOST_SLOTS:
            raise ValueError(
                f"connection_health.history holds more than {MOST_SLOTS} times connection_health.every: shorten the "
                "one or lengthen the other"
            )
        return self
