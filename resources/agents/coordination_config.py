"""Configuration of what the platform asks and judges by itself: limits of checks, circuits, the query of each hour."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from resources.agents.aggregation.model import Aggregation, Method
from resources.agents.aggregation.pointer import split_pointer
from resources.core.configuration.settings import Duration, StrictModel
from resources.core.errors import DataError


def _pointer(value: str) -> str:
    try:
        split_pointer(value)
    except DataError as error:
        raise ValueError(str(error)) from error
    return value


class AgentLimits(StrictModel):
    """Beyond these the checks of the agents' assets warn."""

    least_answered_share: float = Field(0.9, ge=0, le=1)
    """Share of the agents addressed that must have answered the last command well."""
    slowest_answer: Duration = timedelta(seconds=10)
    """The 99th percentile of the time to an answer must be below this."""
    most_offline: int = Field(0, ge=0)
    """How many of the known agents may be offline."""


class EfficiencyQuery(StrictModel):
    """The query that the agents are asked when the efficiency of a new hour is known."""

    enabled: bool = False
    """true: the asset agents/efficiency_advice is there, and each new hour is asked about."""
    query: str = Field("optimize", min_length=1, max_length=128)
    """Name of the query."""
    args: dict[str, Any] = Field(default_factory=lambda: {"objective": "efficiency"})
    """Its arguments."""
    balance_argument: str | None = Field(None, min_length=1, max_length=128)
    """Argument that carries the hour's balance (boiler, efficiency, steam_power_kw, fuel_power_kw); none if absent."""
    capabilities: tuple[str, ...] = Field(("optimize",), min_length=1)
    """Agents that are online and have all of these are asked."""
    below: float | None = Field(None, gt=0, le=1.5)
    """Ask only if a boiler's efficiency was below this; always if absent."""
    at_most: Duration = timedelta(hours=3)
    """An hour that ended longer ago is not asked about by itself."""
    timeout: Duration = timedelta(seconds=30)
    """How long answers are awaited."""
    method: Method = "average"
    """How the answers are put together: all, majority, average, consensus, first, best."""
    path: Annotated[str, AfterValidator(_pointer)] = "/fuel_saved_kw"
    """JSON Pointer (RFC 6901) to what the method looks at in each answer."""

    @property
    def aggregation(self) -> Aggregation:
        """How the answers are put together."""
        return Aggregation(self.method, self.path)


class CircuitRules(StrictModel):
    """When an agent that is silent is left alone, and for how long."""

    failures: int = Field(5, ge=1)
    """Commands unanswered in a row after which an agent is left out of further ones."""
    recovery: Duration = Field(timedelta(seconds=60), ge=timedelta(seconds=1))
    """Time after which one command tries it again; at once when the agent connects anew."""
