"""The four strategies by name, for configurations and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from resources.agents.strategies.base import Strategy
from resources.agents.strategies.capability import ByCapability
from resources.agents.strategies.load_balanced import LoadBalanced
from resources.agents.strategies.parallel import Parallel
from resources.agents.strategies.round_robin import RoundRobin
from resources.core.errors import DataError

_StrategyClass = type[Parallel] | type[RoundRobin] | type[LoadBalanced] | type[ByCapability]

STRATEGIES: Mapping[str, _StrategyClass] = {
    found.name: found for found in (Parallel, RoundRobin, LoadBalanced, ByCapability)
}
"""Name -> strategy."""


def make_strategy(name: str, options: Mapping[str, Any]) -> Strategy:
    """Return the strategy `name` with these options; what is not given is the strategy's own.

    Raises:
        DataError: There is no such strategy, it does not have the option, or the option makes no sense.
    """
    made = STRATEGIES.get(name)
    if made is None:
        raise DataError(f"strategy {name}: there is none of that name; there are {', '.join(STRATEGIES)}")
    known = [field.name for field in fields(made)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise DataError(f"strategy {name}: it has no {', '.join(unknown)}; it has {', '.join(known)}")
    return made(**options)
