import os
import subprocess
import sys
from pathlib import Path

import pytest

import gl_assets.definitions
from gl_assets.definitions import build_definitions
from gl_assets.instance import PlatformInstance
from resources.core.errors import ConfigError
from resources.integrations import Integrations
from resources.wiring import build_resources, source_key
from tests.integration.dagster_plant import configuration

REPOSITORY = Path(gl_assets.definitions.__file__).resolve().parent.parent


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **env},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def test_definitions_when_loaded_without_any_variable_then_all_of_them_resolve():
    done = run("import gl_assets.definitions as d; d.defs.get_repository_def().load_all_definitions(); print('loaded')")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "loaded\n"
    assert done.stderr == ""


def test_keys_when_compared_with_what_other_programs_rely_on_then_they_are_the_same():
    repository = build_definitions(configuration()).get_repository_def()
    assert sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()) == [
        "agents/command_results",
        "agents/registry",
        "process_heat/boiler_efficiency",
        "process_heat/energy_cost",
        "process_heat/energy_intensity",
        "quality/score_forecast",
        "scada/corrected_readings",
        "scada/hourly_readings",
        "scada/sensor_readings",
    ]
    assert {job.name for job in repository.get_all_jobs()} >= {
        "sensor_readings_job",
        "hourly_readings_job",
        "energy_job",
        "freshness_job",
        "certificates_job",
        "event_log_pruning_job",
        "retention_job",
        "broadcast_command",
    }
    assert sorted(schedule.name for schedule in repository.schedule_defs) == [
        "certificates_schedule",
        "event_log_pruning_schedule",
        "freshness_schedule",
        "retention_schedule",
        "score_forecast_schedule",
    ]
    assert sorted(sensor.name for sensor in repository.sensor_defs) == [
        "closed_windows_sensor",
        "energy_days_sensor",
        "gaps_sensor",
        "hour_complete_sensor",
        "recalibrations_sensor",
        "run_failure_sensor",
    ]
    checks = {key.name for key in repository.asset_graph.asset_check_keys}
    assert checks >= {
        "stored_readings_match_the_schema",
        "rejected_rows_are_below_the_limit",
        "every_source_sent_readings",
        "every_gap_is_filled",
    }


def test_sensors_when_alarms_are_configured_then_there_is_one_that_records_them():
    keys = {"broker": {"host": "broker.example"}, "private_key": "GL-001.jwk", "public_keys": "keys.jwks"}
    config = Integrations.model_validate(
        {**configuration().model_dump(), "agents": keys, "alarms": {"private_key": "alarm-1.jwk"}}
    )
    names = {sensor.name for sensor in build_definitions(config).get_repository_def().sensor_defs}
    assert "alarm_events_sensor" in names


def test_definitions_when_a_resource_is_given_then_it_replaces_the_wired_one():
    config = configuration()
    marker = build_resources(config)["timescale"]
    assert build_definitions(config, resources={"timescale": marker}).resources["timescale"] is marker


def test_resources_when_a_source_is_configured_then_it_has_one_by_kind_and_name():
    config = configuration()
    resources = build_resources(config)
    assert {source_key(name, source) for name, source in config.sources.items()} == {"mqtt_boiler_house", "mqtt_yard"}
    assert resources.keys() >= {"window_buffer", "timescale", "agents", "mqtt_boiler_house", "mqtt_yard"}


def test_assets_when_read_in_the_ui_then_owner_kind_group_columns_and_text_are_there():
    repository = build_definitions(configuration()).get_repository_def()
    for key in repository.asset_graph.get_all_asset_keys():
        if key.path[0] in {"scada", "process_heat"}:
            node = repository.asset_graph.get(key)
            assert node.owners == ["team:data-engineering"]
            assert "timescaledb" in node.kinds
            assert node.group_name == key.path[0]
            assert node.description
            assert node.metadata["dagster/column_schema"].columns


def test_instance_when_opened_without_its_environment_then_it_names_gl_up(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(ConfigError, match="gl up"):
        PlatformInstance.config_schema()
    monkeypatch.setenv("GL_DAGSTER_POSTGRES_URL", "postgresql://u:secret@h/d")
    with pytest.raises(ConfigError, match=r"postgresql\+psycopg2://") as found:
        PlatformInstance.config_schema()
    assert "secret" not in str(found.value)
    monkeypatch.setenv("GL_DAGSTER_POSTGRES_URL", "postgresql+psycopg2://u:p@h/d")
    assert PlatformInstance.config_schema() == {}


def test_dagster_dev_when_started_bare_then_it_fails_and_names_gl_up(tmp_path: Path):
    (tmp_path / "dagster.yaml").symlink_to(REPOSITORY / "dagster.yaml")
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "dev", "-m", "gl_assets.definitions"],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "start the platform with `gl up`" in done.stdout + done.stderr
