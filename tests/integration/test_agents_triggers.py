"""The Dagster sensors of the agents, evaluated as the daemon does: health, and the question about each new hour."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest

from gl_assets.agents.efficiency_advice import EFFICIENCY_ADVICE, JOB_NAME
from gl_assets.asset_keys import BOILER_EFFICIENCY
from gl_assets.definitions import build_definitions
from resources.agents.config import AgentsConfig
from resources.agents.coordination_config import EfficiencyQuery
from resources.core.windows import partition_key
from resources.demo_plant.agents import Fleet, FleetConfig
from resources.integrations import Integrations
from resources.wiring import TimescaleResource
from sensors.triggers.agent_health import Remembered
from tests.agents_support import SITE, Plant, plain_broker, until
from tests.integration.dagster_plant import configuration

HOUR = timedelta(hours=1)


class Tick:
    """Evaluates a sensor with its cursor kept."""

    def __init__(self, name: str, config: Integrations, instance: dg.DagsterInstance, url: str = "") -> None:
        self.definitions = build_definitions(config)
        self.sensor = self.definitions.resolve_sensor_def(name)
        self.instance, self.url = instance, url
        self.cursor: str | None = None

    def __call__(self) -> Any:
        """Return the run requests, or the skip reason."""
        resources = {"timescale": TimescaleResource(url=self.url)}
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=resources, definitions=self.definitions
        )
        data = self.sensor.evaluate_tick(context)
        self.cursor = data.cursor if data.cursor is not None else self.cursor
        return data.run_requests or data.skip_message


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def no_agents(tmp_path: Path) -> AgentsConfig:
    """A configuration whose agents nobody talks to."""
    return AgentsConfig(broker=plain_broker(1), private_key=tmp_path / "k", public_keys=tmp_path / "p")


def integrations(agents: AgentsConfig, **query: Any) -> Integrations:
    agents = agents.model_copy(update={"efficiency_query": EfficiencyQuery(enabled=True, **query)})
    # the hours of these tests are those that pass while they run
    return configuration(start=datetime.now(UTC) - timedelta(days=2)).model_copy(
        update={"agents": agents, "site": SITE}
    )


def test_health_sensor_when_agents_come_and_go_then_events_are_recorded_and_a_snapshot_follows(
    plant: Plant, instance: dg.DagsterInstance
) -> None:
    tick = Tick("agent_health_sensor", integrations(plant.config), instance, plant.database_url)
    assert tick() == "0 agents: 0 online, 0 degraded, 0 offline"
    with plant.broadcaster() as broadcaster:
        assert broadcaster._orchestrator is not None
        broadcaster._orchestrator.wait_connected()
        stays, leaves = plant.agent("GL-002"), plant.agent("GL-003")
        until(lambda: plant.rows("SELECT count(*) FROM agents.registry") == [(2,)], "both registered")
        assert tick() == (
            "2 agents: 2 online, 0 degraded, 0 offline; 2 changed, a snapshot follows once that has settled"
        )
        (request,) = tick()
        assert request.run_key.startswith("agents/1/")
        assert "2 online" in tick()
        leaves.stop()
        until(lambda: plant.rows("SELECT 1 FROM agents.registry WHERE status = 'offline'"), "one offline")
        assert "1 changed" in tick()
        (request,) = tick()
        assert request.run_key.startswith("agents/2/")
        stays.stop()
    events = "SELECT event_type, severity, source, site FROM scada.events ORDER BY event_id"
    assert plant.rows(events) == [
        ("agent_online", "info", "GL-002", SITE),
        ("agent_online", "info", "GL-003", SITE),
        ("agent_offline", "error", "GL-003", SITE),
    ]
    (message,) = plant.rows("SELECT message FROM scada.events WHERE event_type = 'agent_offline'")[0]
    assert message.startswith("agent GL-003 (GL-003) was online and is offline: ")


def test_health_sensor_when_no_orchestrator_listened_then_silence_is_no_event(
    plant: Plant, instance: dg.DagsterInstance
) -> None:
    tick = Tick("agent_health_sensor", integrations(plant.config), instance, plant.database_url)
    with psycopg.connect(plant.database_url) as connection:
        connection.execute(
            "INSERT INTO agents.registry (agent_id, agent_name, agent_type, status, last_heartbeat) "
            "VALUES ('GL-002', 'Boiler', 'boiler', 'online', now() - interval '10 minutes')"
        )
    tick.cursor = Remembered({"GL-002": "online"}).dump()
    assert tick() == "1 agents: 1 online, 0 degraded, 0 offline"
    assert plant.rows("SELECT message FROM scada.events") == []
    with psycopg.connect(plant.database_url) as connection:
        connection.execute("UPDATE agents.registry SET status = 'offline', status_reason = 'as an orchestrator says'")
    assert "1 changed" in tick()
    assert plant.rows("SELECT message FROM scada.events") == [
        ("agent GL-002 (Boiler) was online and is offline: as an orchestrator says",)
    ]


def test_health_sensor_when_the_database_is_away_then_it_waits(
    no_agents: AgentsConfig, instance: dg.DagsterInstance
) -> None:
    tick = Tick("agent_health_sensor", integrations(no_agents), instance, "postgresql://u:p@127.0.0.1:1/none")
    assert "waiting: " in tick()
    assert tick.cursor is None


def note_efficiency(plant: Plant, hour: datetime, efficiency: float | None) -> None:
    with psycopg.connect(plant.database_url) as connection:
        connection.execute(
            "INSERT INTO process_heat.boiler_efficiency (boiler, hour, efficiency, steam_power_kw, fuel_power_kw, "
            "good_share, site, run_id) VALUES ('boiler_1', %s, %s, 9000, 10000, 1, %s, 'r')",
            (hour, efficiency, SITE),
        )


def made(instance: dg.DagsterInstance, *hours: datetime) -> None:
    """Log the efficiency of hours as materialised, newest first, as its asset does."""
    for hour in sorted(hours, reverse=True):
        instance.report_runless_asset_event(dg.AssetMaterialization(BOILER_EFFICIENCY, partition=partition_key(hour)))


def last_hour() -> datetime:
    return datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - HOUR


def test_efficiency_sensor_when_hours_are_made_then_the_newest_is_asked_about_once(
    no_agents: AgentsConfig, instance: dg.DagsterInstance
) -> None:
    tick = Tick("efficiency_sensor", integrations(no_agents), instance)
    assert tick() == "no hour's efficiency was made since the last look"
    hour = last_hour()
    made(instance, hour - 2 * HOUR, hour - HOUR, hour)
    (request,) = tick()
    assert request.partition_key == partition_key(hour)
    assert request.run_key.startswith(f"advice/{partition_key(hour)}/")
    assert tick() == "no hour's efficiency was made since the last look"
    # a late reading has changed it
    made(instance, hour)
    (again,) = tick()
    assert again.partition_key == request.partition_key
    assert again.run_key != request.run_key


def test_efficiency_sensor_when_an_old_hour_is_filled_then_it_is_left_to_people(
    no_agents: AgentsConfig, instance: dg.DagsterInstance
) -> None:
    tick = Tick("efficiency_sensor", integrations(no_agents), instance)
    made(instance, last_hour() - 5 * HOUR)
    assert "ended too long ago to ask about" in tick()
    assert "no hour's efficiency" in tick()


def test_advice_when_an_hour_has_an_efficiency_then_the_agents_are_asked_and_the_answers_averaged(
    plant: Plant, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GL_DATABASE_URL", plant.database_url)
    job = build_definitions(integrations(plant.config, below=0.95)).resolve_job_def(JOB_NAME)
    hour = last_hour()
    fleet = Fleet(FleetConfig(site=SITE, agents=plant.config), keys=plant.keys, home=plant.folder)
    with plant.broadcaster():
        fleet.start()
        until(lambda: plant.rows("SELECT count(*) FROM agents.registry") == [(2,)], "both registered")
        result = job.execute_in_process(partition_key=partition_key(hour), instance=instance)
        assert result.success
        assert not result.get_asset_materialization_events()
        note_efficiency(plant, hour, 0.9)
        result = job.execute_in_process(partition_key=partition_key(hour), instance=instance)
        fleet.stop()
    (event,) = result.get_asset_materialization_events()
    advice = event.step_materialization_data.materialization
    told = {name: value.value for name, value in advice.metadata.items()}
    assert (advice.asset_key, advice.partition) == (EFFICIENCY_ADVICE, partition_key(hour))
    assert (told["kind"], told["command"], told["answered"], told["aggregated"]) == ("query", "optimize", 2, True)
    saved = "SELECT avg((payload->'result'->>'fuel_saved_kw')::float8) FROM agents.responses"
    assert plant.rows(saved) == [(pytest.approx(told["value"]),)]
