"""When the agents are asked about an hour, and what."""

from __future__ import annotations

from typing import Any

import pytest

from gl_assets.agents.efficiency_advice import request_of, why_not_asked
from gl_assets.definitions import build_definitions
from resources.agents.coordination_config import EfficiencyQuery
from resources.agents.members.directory import CapabilityQuery
from resources.core.configuration.settings import parse_yaml
from resources.core.errors import ConfigError
from resources.integrations import Integrations
from tests.integration.dagster_plant import configuration, configuration_text

AGENTS = "agents: {{broker: {{host: 127.0.0.1}}, private_key: k, public_keys: p, efficiency_query: {query}}}\n"


def balance(*efficiencies: float | None) -> list[dict[str, Any]]:
    powers = {"steam_power_kw": 9000.0, "fuel_power_kw": 10000.0, "good_share": 1.0}
    return [{"boiler": f"b{n}", "efficiency": found, **powers} for n, found in enumerate(efficiencies)]


@pytest.mark.parametrize(
    ("below", "efficiencies", "reason"),
    [
        (None, (), "the hour has no efficiency of any boiler"),
        (None, (None, None), "the hour has no efficiency of any boiler"),
        (None, (0.9, None), None),
        (0.85, (0.9, 0.86), "no boiler's efficiency was below 0.85"),
        (0.85, (0.9, 0.84), None),
    ],
)
def test_hour_when_its_efficiency_is_known_then_asked_about_if_it_is_low_enough(
    below: float | None, efficiencies: tuple[float | None, ...], reason: str | None
) -> None:
    assert why_not_asked(EfficiencyQuery(below=below), balance(*efficiencies)) == reason


def test_request_when_the_balance_has_an_argument_then_it_is_handed_on() -> None:
    settings = EfficiencyQuery(args={"objective": "cost"}, balance_argument="boilers", capabilities=("optimize", "gas"))
    request = request_of(settings, balance(0.9), "id")
    assert (request.command.name, request.command.kind, request.command.message_id) == ("optimize", "query", "id")
    row = {"boiler": "b0", "efficiency": 0.9, "steam_power_kw": 9000.0, "fuel_power_kw": 10000.0}
    assert request.command.args == {"objective": "cost", "boilers": [row]}
    assert request.capabilities == CapabilityQuery(all=("optimize", "gas"))


def test_definitions_when_the_query_is_on_then_asset_job_and_sensor_are_there_and_downstream_of_the_efficiency() -> (
    None
):
    text = configuration_text() + AGENTS.format(query="{enabled: true}")
    repository = build_definitions(parse_yaml(text, Integrations, name="on")).get_repository_def()
    graph = repository.asset_graph
    (key,) = (key for key in graph.get_all_asset_keys() if key.to_user_string() == "agents/efficiency_advice")
    assert {parent.to_user_string() for parent in graph.get(key).parent_keys} == {"process_heat/boiler_efficiency"}
    assert repository.has_job("efficiency_advice_job")
    assert {"efficiency_sensor", "agent_health_sensor"} <= {sensor.name for sensor in repository.sensor_defs}
    assert "agent_registry_schedule" in {schedule.name for schedule in repository.schedule_defs}


def test_definitions_when_the_query_is_off_then_nothing_of_it_is_there() -> None:
    text = configuration_text() + AGENTS.format(query="{}")
    off = build_definitions(parse_yaml(text, Integrations, name="off")).get_repository_def()
    assert not off.has_job("efficiency_advice_job")
    assert "efficiency_sensor" not in {sensor.name for sensor in off.sensor_defs}
    without = build_definitions(configuration()).get_repository_def()
    assert "agent_health_sensor" not in {sensor.name for sensor in without.sensor_defs}


def test_configuration_when_the_path_is_no_pointer_then_refused_naming_the_key() -> None:
    text = configuration_text() + AGENTS.format(query="{path: saved}")
    with pytest.raises(ConfigError, match=r"efficiency_query.path.*not a JSON Pointer"):
        parse_yaml(text, Integrations, name="wrong")
