"""Run configuration becomes requests: every option reaches its strategy, and none that it does not know."""

import re
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from gl_assets.agents.run_config import (
    AggregationConfig,
    BroadcastConfig,
    CapabilityConfig,
    EventConfig,
    QuorumConfig,
    StrategyConfig,
)
from gl_assets.agents.run_identity import message_id_of
from resources.agents.aggregation.model import Aggregation
from resources.agents.config import AgentsConfig
from resources.agents.members.directory import CapabilityQuery
from resources.agents.requests import Quorum, Request, Retry
from resources.agents.strategies.base import Strategy
from resources.agents.strategies.capability import ByCapability
from resources.agents.strategies.load_balanced import LoadBalanced
from resources.agents.strategies.parallel import Parallel
from resources.agents.strategies.round_robin import RoundRobin
from resources.agents.wire.message import UUID7_PATTERN
from resources.core.errors import DataError
from resources.transport.broker import BrokerConfig

AGENTS = AgentsConfig(broker=BrokerConfig(host="127.0.0.1"), private_key=Path("k"), public_keys=Path("p"))


def asked(**given: Any) -> Request:
    return BroadcastConfig.model_validate(given).request(AGENTS, "the run's")


@pytest.mark.parametrize(
    ("given", "strategy"),
    [
        ({}, Parallel()),
        ({"concurrency": 3, "only_online": True}, Parallel(3, only_online=True)),
        ({"all_at_once": True}, Parallel(None)),
        (
            {"name": "round_robin", "count": 2, "stop_at_first_good": True, "turn": "nightly"},
            RoundRobin(2, stop_at_first_good=True, turn="nightly"),
        ),
        (
            {"name": "load_balanced", "count": 4, "exploration": 0.2, "seed": 7, "concurrency": 2},
            LoadBalanced(4, 0.2, 7, 2),
        ),
        ({"name": "capability", "count": 5, "all_at_once": True}, ByCapability(5, None)),
    ],
    ids=["default", "parallel", "all at once", "round robin", "load balanced", "capability"],
)
def test_strategy_when_configured_then_built_with_its_options(given: dict[str, Any], strategy: Strategy) -> None:
    assert StrategyConfig.model_validate(given).build() == strategy


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": 1}, "strategy parallel: it has no seed"),
        ({"name": "capability", "turn": "x", "exploration": 0.1}, "it has no exploration, turn"),
        ({"name": "round_robin", "concurrency": 2}, "strategy round_robin: it has no concurrency"),
        ({"concurrency": 2, "all_at_once": True}, "all_at_once and a concurrency contradict each other"),
    ],
)
def test_strategy_when_an_option_is_not_its_own_then_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        StrategyConfig.model_validate(given).build()


def test_aggregation_when_nothing_is_configured_then_the_method_decides() -> None:
    assert AggregationConfig.model_validate({}).build() == Aggregation()
    given = {"method": "best", "missing": "fail", "prefer": "lowest", "rank_by": "latency", "accept_late": False}
    expected = Aggregation("best", missing="fail", prefer="lowest", rank_by="latency", accept_late=False)
    assert AggregationConfig.model_validate(given).build() == expected


def test_request_when_all_is_configured_then_it_carries_all() -> None:
    request = asked(
        command="optimize",
        kind="query",
        args={"objective": "cost"},
        targets=["GL-002"],
        capabilities={"all": ["heat"], "any": ["gas", "oil"], "none": ["coal"]},
        quorum={"count": 1},
        retry={"times": 2, "after_seconds": 0.5},
        timeout_seconds=7,
        priority="high",
        check_args=False,
        try_silent=True,
    )
    command = request.command
    assert (command.name, command.kind, command.args) == ("optimize", "query", {"objective": "cost"})
    assert (command.targets, command.timeout_s, command.priority, command.message_id) == (
        ("GL-002",),
        7,
        "high",
        "the run's",
    )
    assert request.capabilities == CapabilityQuery(("heat",), ("gas", "oil"), ("coal",))
    assert (request.quorum, request.retry) == (Quorum(1), Retry(2, 0.5))
    assert (command.check_args, request.skip_open_circuits) == (False, False)


def test_request_when_little_is_configured_then_defaults_and_the_id_of_the_run() -> None:
    request = asked()
    assert (request.command.timeout_s, request.command.targets, request.command.message_id) == (30.0, (), "the run's")
    assert (request.capabilities, request.quorum) == (None, None)


@pytest.mark.parametrize("given", ["019ab5f0-0000-7000-8000-000000000001", None, ""], ids=["given", "absent", "empty"])
def test_message_id_when_the_run_names_one_then_that_else_the_same_for_every_attempt(given: str | None) -> None:
    found = []

    @dg.op
    def send(context: dg.OpExecutionContext) -> None:
        found.extend(message_id_of(context, given) for _ in range(2))

    @dg.job
    def sending() -> None:
        send()

    with dg.DagsterInstance.ephemeral() as instance:
        sending.execute_in_process(instance=instance)
    assert len(set(found)) == 1
    assert re.fullmatch(UUID7_PATTERN, found[0])
    if given:
        assert found[0] == given


def test_parts_when_empty_then_none() -> None:
    assert CapabilityConfig.model_validate({}).build() is None
    assert QuorumConfig.model_validate({}).build() is None
    assert QuorumConfig.model_validate({"share": 0.5}).build() == Quorum(share=0.5)


def test_event_when_configured_then_its_request() -> None:
    event = EventConfig.model_validate({"topic": "emergency", "payload": {"a": 1}, "priority": "critical"})
    request = event.request(AGENTS, "the run's")
    assert (request.topic, request.payload, request.timeout_s) == ("emergency", {"a": 1}, 30.0)
    assert (request.priority, request.message_id, request.correlation_id) == ("critical", "the run's", None)
