"""Every strategy with every aggregation, asked of simulated agents over a real broker and a real database."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from resources.agents.aggregation.aggregate import aggregate
from resources.agents.aggregation.model import METHODS, Aggregate, Aggregation, Method
from resources.agents.broadcaster import Broadcaster
from resources.agents.members.directory import CapabilityQuery
from resources.agents.requests import Command, Outcome, Quorum, Request
from resources.agents.strategies.base import Strategy
from resources.agents.strategies.capability import ByCapability
from resources.agents.strategies.load_balanced import LoadBalanced
from resources.agents.strategies.parallel import Parallel
from resources.agents.strategies.round_robin import RoundRobin
from resources.demo_plant.agents import Fleet, FleetConfig
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.postgres import EmbeddedPostgres
from resources.embedded.programs import ServerPrograms
from tests.agents_support import SITE, Plant, plain_broker, until
from tests.conftest import fresh_database

EVERYONE = tuple(f"GL-{n:03d}" for n in range(2, 12))
STARTED = EVERYONE[:-1]
ABSENT = EVERYONE[-1]
AIR = CapabilityQuery(all=("excess_air",))

STRATEGIES: dict[str, tuple[Strategy, CapabilityQuery | None, int]] = {
    "parallel": (Parallel(3), None, 9),
    "all_at_once": (Parallel(None), None, 9),
    "round_robin": (RoundRobin(count=3), None, 3),
    "load_balanced": (LoadBalanced(count=4, seed=7), None, 4),
    "capability": (ByCapability(), AIR, 3),
}
"""Name -> the strategy, the capabilities that are wanted, and how many agents that is."""

SAVED = "/fuel_saved_kw"
AGGREGATIONS: dict[Method, Aggregation] = {
    "all": Aggregation("all"),
    "majority": Aggregation("majority", "/objective"),
    "average": Aggregation("average", SAVED, weighted=True),
    "consensus": Aggregation("consensus", SAVED, tolerance=1e9),
    "first": Aggregation("first", SAVED),
    "best": Aggregation("best", quality_path=SAVED),
}


@dataclass
class Site:
    """Nine simulated agents of ten, and the one process that orchestrates them."""

    plant: Plant
    broadcaster: Broadcaster

    def ask(self, strategy: Strategy, wanted: CapabilityQuery | None = None, **more: Any) -> Outcome:
        timeout_s = more.pop("timeout_s", 60.0)
        targets = more.pop("targets", STARTED)
        command = Command("optimize", {"objective": "efficiency"}, targets, timeout_s, kind="query")
        return self.broadcaster.run(Request(command, strategy, wanted, **more))

    def answers(self, outcome: Outcome) -> dict[str, tuple[dict[str, Any], Any, float]]:
        """Agent id -> result, when it came and after how many ms, as the table has it."""
        query = f"SELECT agent_id, payload->'result', received_at, latency_ms FROM agents.responses WHERE correlation_id = '{outcome.message.message_id}'"
        return {agent_id: (result, at, latency) for agent_id, result, at, latency in self.plant.rows(query)}


@pytest.fixture(scope="module")
def site(
    programs: ServerPrograms, server_folder: Path, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    broker = EmbeddedBroker(server_folder / "coordination", programs, BrokerOptions(insecure_anonymous=True))
    broker.start()
    databases = fresh_database(postgres)
    folder = tmp_path_factory.mktemp("coordination")
    plant = Plant(folder, plain_broker(broker.port), next(databases), EVERYONE)
    config = plant.config.model_copy(update={"targets": STARTED})
    fleet = Fleet(FleetConfig(site=SITE, agents=config), keys=plant.keys, home=folder)
    with plant.broadcaster() as broadcaster:
        fleet.start()
        online = "SELECT count(*) FROM agents.registry WHERE status = 'online'"
        until(lambda: plant.rows(online) == [(len(STARTED),)], "all agents online")
        yield Site(plant, broadcaster)
        fleet.stop()
    next(databases, None)
    broker.stop()


def expected_value(method: Method, found: Aggregate, answers: dict[str, tuple[dict[str, Any], Any, float]]) -> Any:
    """What the answers in the table come to, by another way than the code takes."""
    saved = {agent_id: result["fuel_saved_kw"] for agent_id, (result, _, _) in answers.items()}
    weights = {entry.agent_id: entry.weight for entry in found.provenance}
    middle = sorted(saved.values())[(len(saved) - 1) // 2 : len(saved) // 2 + 1]
    return {
        "all": {agent_id: result for agent_id, (result, _, _) in answers.items()},
        "majority": "efficiency",
        "average": sum(saved[a] * weights[a] for a in saved) / sum(weights.values()),
        "consensus": found.value if found.value in middle else middle,
        "first": saved[min(answers, key=lambda agent_id: (answers[agent_id][1], agent_id))],
        "best": answers[max(saved, key=saved.__getitem__)][0],
    }[method]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy_when_its_answers_are_aggregated_then_the_value_and_who_gave_it(
    site: Site, name: str, method: Method
) -> None:
    strategy, wanted, addressed = STRATEGIES[name]
    outcome = site.ask(strategy, wanted)
    found = aggregate(outcome.results, AGGREGATIONS[method], deadline=outcome.message.deadline)
    answers = site.answers(outcome)
    assert len(answers) == len(outcome.results) == addressed
    assert (found.succeeded, found.support, found.reason) == (True, 1.0, None)
    value = expected_value(method, found, answers)
    assert found.value == (pytest.approx(value) if method == "average" else value)
    assert [entry.agent_id for entry in found.provenance] == sorted(answers)
    for entry in found.provenance:
        _, received_at, latency_ms = answers[entry.agent_id]
        assert (entry.answered_at, entry.latency_ms, entry.late_ms) == (received_at, latency_ms, 0.0)


def test_aggregate_when_an_agent_is_absent_then_the_policy_decides_and_its_silence_is_told(site: Site) -> None:
    outcome = site.ask(Parallel(None), targets=(*STARTED, ABSENT), timeout_s=2.0)
    everyone = aggregate(outcome.results, Aggregation("all"), deadline=outcome.message.deadline)
    assert (everyone.succeeded, everyone.support) == (False, 0.9)
    assert everyone.agents("missing") == (ABSENT,)
    assert "no answer before the deadline" in (everyone.provenance[-1].reason or "")
    mean = aggregate(outcome.results, Aggregation("average", SAVED)).value
    assert mean == pytest.approx(fmean(result["fuel_saved_kw"] for result, _, _ in site.answers(outcome).values()))
    strict = aggregate(outcome.results, Aggregation("average", SAVED, missing="fail"))
    assert (strict.reason or "").startswith(f"{ABSENT} is missing")


def test_aggregate_when_a_quorum_ended_the_wait_then_who_was_not_awaited_counts_for_nothing(site: Site) -> None:
    outcome = site.ask(Parallel(None), targets=(*STARTED, ABSENT), quorum=Quorum(share=0.9))
    found = aggregate(outcome.results, Aggregation("all", missing="fail"))
    assert found.succeeded
    assert found.agents("not_awaited") == (ABSENT,)


def test_round_robin_when_the_first_good_answer_is_enough_then_first_is_that_answer(site: Site) -> None:
    outcome = site.ask(RoundRobin(stop_at_first_good=True))
    found = aggregate(outcome.results, AGGREGATIONS["first"])
    assert outcome.answered == len(found.agents("supports")) == 1
    assert len(found.agents("not_awaited")) == len(STARTED) - 1
