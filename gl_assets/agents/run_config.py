"""Run configuration of the agents' jobs, as the launchpad shows it, and the requests that are made of it."""

from typing import Any, Literal

import dagster as dg
from pydantic import Field

from resources.agents.aggregation.model import Aggregation
from resources.agents.config import AgentsConfig
from resources.agents.members.directory import CapabilityQuery
from resources.agents.orchestration.events import EventRequest
from resources.agents.requests import Command, Quorum, Request, Retry
from resources.agents.strategies.base import Strategy
from resources.agents.strategies.catalog import make_strategy
from resources.agents.wire.message import LONGEST_TIMEOUT_S
from resources.core.errors import DataError

_MESSAGE_ID = "UUIDv7 of the message, for repeating it safely; derived from the run if absent."
_TIMEOUT = "How long answers are awaited; the configuration's default if absent."

PriorityName = Literal["low", "normal", "high", "critical"]
PolicyName = Literal["default", "ignore", "against", "fail"]


class StrategyConfig(dg.Config):
    """Who of the candidates gets it, and how it is let go. What a strategy does not know must stay absent."""

    name: Literal["parallel", "round_robin", "load_balanced", "capability"] = Field(
        default="parallel",
        description="parallel: all; round_robin: one after the other; load_balanced: the best; capability.",
    )
    concurrency: int | None = Field(
        default=None,
        ge=1,
        description="Most agents waited for at a time; the strategy's own if absent: 10 for parallel.",
    )
    all_at_once: bool = Field(default=False, description="No bound: one signature for all; not for round_robin.")
    count: int | None = Field(default=None, ge=1, description="How many agents get it; not for parallel.")
    only_online: bool | None = Field(
        default=None, description="Leave out who is offline; for parallel and round_robin."
    )
    stop_at_first_good: bool | None = Field(
        default=None, description="The first good answer is enough; for round_robin."
    )
    turn: str | None = Field(
        default=None, description="Name of the ring that goes on from run to run; for round_robin."
    )
    exploration: float | None = Field(default=None, ge=0, le=1, description="Share drawn by lot; for load_balanced.")
    seed: int | None = Field(default=None, description="Makes the lot repeatable; for load_balanced.")

    def build(self) -> Strategy:
        """Return the strategy.

        Raises:
            DataError: An option is given that the strategy does not have.
        """
        options = self.model_dump(exclude={"name", "all_at_once"}, exclude_none=True)
        if self.all_at_once:
            if self.concurrency is not None:
                raise DataError("strategy: all_at_once and a concurrency contradict each other; give one of them")
            options["concurrency"] = None
        # what is no field is fixed for a strategy: round-robin waits for one agent at a time
        return make_strategy(self.name, options)


class AggregationConfig(dg.Config):
    """How the answers are put together."""

    method: Literal["all", "majority", "average", "consensus", "first", "best"] = Field(
        default="all", description="The way."
    )
    path: str = Field(
        default="", description="JSON Pointer into each result, such as /efficiency; empty: the whole result."
    )
    missing: PolicyName = Field(default="default", description="What a missing answer does; default: the method's own.")
    failed: PolicyName = Field(default="default", description="What a failed answer does; default: the method's own.")
    share: float | None = Field(
        default=None, ge=0, le=1, description="Least share behind the value; the method's if absent."
    )
    weighted: bool = Field(default=False, description="Agents count by their performance score.")
    tolerance: float = Field(default=0.0, ge=0, description="Numbers this near are the same: majority, consensus.")
    relative_tolerance: float = Field(default=0.0, ge=0, description="As tolerance, as a share of the larger number.")
    rank_by: Literal["value", "score", "latency"] = Field(default="value", description="What best judges by.")
    quality_path: str = Field(default="", description="JSON Pointer to the number that best judges by; empty: path.")
    prefer: Literal["default", "highest", "lowest"] = Field(default="default", description="Which quality is the best.")
    accept_late: bool = Field(default=True, description="Whether an answer from after the deadline is one.")

    def build(self) -> Aggregation:
        """Return the aggregation.

        Raises:
            DataError: A field is out of its range.
        """
        given = self.model_dump()
        return Aggregation(**{name: value for name, value in given.items() if value != "default"})


class CapabilityConfig(dg.Config):
    """What the agents must be able to do; empty: anything."""

    all: list[str] = Field(default=[], description="They have each of these.")
    any: list[str] = Field(default=[], description="They have at least one of these.")
    none: list[str] = Field(default=[], description="They have not one of these.")

    def build(self) -> CapabilityQuery | None:
        """Return the query; None if nothing is asked for."""
        if not (self.all or self.any or self.none):
            return None
        return CapabilityQuery(tuple(self.all), tuple(self.any), tuple(self.none))


class QuorumConfig(dg.Config):
    """Good answers after which the command is done; neither: everyone is waited for."""

    count: int | None = Field(default=None, ge=1, description="So many good answers.")
    share: float | None = Field(
        default=None, gt=0, le=1, description="Good answers of this share of the agents addressed."
    )

    def build(self) -> Quorum | None:
        """Return the quorum; None if everyone is waited for.

        Raises:
            DataError: Both are given.
        """
        return None if self.count is None and self.share is None else Quorum(self.count, self.share)


class RetryConfig(dg.Config):
    """When a silent agent gets the same message again; it never runs it twice."""

    times: int = Field(default=1, ge=0, description="Sendings beyond the first.")
    after_seconds: float | None = Field(
        default=None, gt=0, description="Silence before the next; shared evenly if absent."
    )


class AskConfig(dg.Config):
    """What commands and queries have in common."""

    args: dict[str, Any] = Field(default={}, description="Arguments, as the agents' schema of the command says.")
    targets: list[str] = Field(
        default=[], description="Agent ids; empty: all agents of the configuration, or all with the capabilities."
    )
    capabilities: CapabilityConfig = CapabilityConfig()
    strategy: StrategyConfig = StrategyConfig()
    aggregation: AggregationConfig = AggregationConfig()
    quorum: QuorumConfig = QuorumConfig()
    retry: RetryConfig = RetryConfig()
    timeout_seconds: float | None = Field(default=None, gt=0, le=LONGEST_TIMEOUT_S, description=_TIMEOUT)
    priority: PriorityName = Field(default="normal", description="Urgency.")
    message_id: str | None = Field(default=None, description=_MESSAGE_ID)
    check_args: bool = Field(default=True, description="Refuse arguments that do not fit what the agents declare.")
    try_silent: bool = Field(default=False, description="Address agents, too, that were silent several times in a row.")


class BroadcastConfig(AskConfig):
    """One command to many agents."""

    command: str = Field(default="status", min_length=1, max_length=128, description="Name of the command.")
    kind: Literal["command", "query"] = Field(default="command", description="query: it asks, and changes nothing.")

    def request(self, agents: AgentsConfig, message_id: str) -> Request:
        """Return the request with the id of its message (`run_identity.message_id_of`).

        Raises:
            DataError: The fields contradict each other.
        """
        command = Command(
            self.command,
            self.args,
            tuple(self.targets),
            self.timeout_seconds or agents.default_timeout.total_seconds(),
            self.priority,
            message_id,
            self.kind,
            check_args=self.check_args,
        )
        return Request(
            command,
            self.strategy.build(),
            self.capabilities.build(),
            self.quorum.build(),
            Retry(self.retry.times, self.retry.after_seconds),
            skip_open_circuits=not self.try_silent,
        )


class QueryConfig(AskConfig):
    """One query to many agents: it asks, and changes nothing."""

    query: str = Field(default="status", min_length=1, max_length=128, description="Name of the query.")


class EventConfig(dg.Config):
    """One event, for whoever has subscribed to its topic."""

    topic: str = Field(
        description="heat_optimization, energy_efficiency, system_status, emergency, or a configured one.",
        min_length=1,
        max_length=64,
    )
    payload: dict[str, Any] = Field(default={}, description="What is told, as the topic's schema says.")
    timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=LONGEST_TIMEOUT_S,
        description="After this it is no news; the configuration's default if absent.",
    )
    priority: PriorityName = Field(default="normal", description="Urgency.")
    correlation_id: str | None = Field(default=None, description="UUIDv7 of the message that it is about.")
    message_id: str | None = Field(default=None, description=_MESSAGE_ID)

    def request(self, agents: AgentsConfig, message_id: str) -> EventRequest:
        """Return the request with the id of its message (`run_identity.message_id_of`)."""
        return EventRequest(
            self.topic,
            self.payload,
            self.timeout_seconds or agents.default_timeout.total_seconds(),
            self.priority,
            self.correlation_id,
            message_id,
        )


@dg.config_mapping
def query_config(config: QueryConfig) -> dict[str, Any]:
    """Return the configuration of the op that sends, for a query."""
    asked = config.model_dump(exclude={"query"}, exclude_none=True)
    return {"ops": {"send_command": {"config": {**asked, "command": config.query, "kind": "query"}}}}
