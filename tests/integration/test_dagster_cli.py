import dataclasses
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from gl_assets.cli.rejection.rejected import rejected
from gl_assets.cli.stored.gates import gates
from gl_assets.scada.run import run_windows
from resources.core.errors import ConfigError, DataError
from resources.core.process.logs import setup_logging
from resources.databases.timescale.quality.gate_results import GateResult, record_results
from tests.integration.dagster_plant import HOUR, Plant, configuration

RED = GateResult(
    "scada/sensor_readings",
    "2026-11-21T10:00",
    1,
    "stored_readings_match_the_schema",
    passed=False,
    blocking=True,
    metadata={"broken": {"a value is a finite number": 2}},
)
BECAUSE = ("--because", "seen and fine")


@pytest.fixture(autouse=True)
def _logs_as_the_command_has_them() -> Iterator[None]:
    logging = setup_logging("warning")
    yield
    logging.close()


@pytest.fixture
def url(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    return database_url


def call(command, *words: str) -> Result:
    return CliRunner().invoke(command, list(words), catch_exceptions=False, env={"COLUMNS": "200"})


def test_gates_when_none_is_red_then_the_list_says_so(url: str):
    assert "no gate is red" in call(gates, "list").stdout
    assert "no results yet" in call(gates, "list", "--all").stdout
    assert json.loads(call(gates, "list", "--json").stdout) == []


def test_gates_when_one_is_red_then_it_can_be_released_once_and_by_name(url: str):
    with psycopg.connect(url) as connection:
        record_results(connection, [RED])
    assert "a value is a finite number" in call(gates, "list").stdout
    (released,) = json.loads(call(gates, "release", RED.partition, *BECAUSE, "--by", "M. Keller", "--json").stdout)
    assert released["released_by"] == "M. Keller"
    assert "no gate is red" in call(gates, "list").stdout
    assert "M. Keller" in call(gates, "list", "--all").stdout
    with pytest.raises(DataError, match="gl gates list"):
        call(gates, "release", RED.partition, *BECAUSE)
    (row,) = json.loads(call(gates, "history", RED.partition, "--json").stdout)
    assert (row["released_by"], row["released_because"]) == ("M. Keller", "seen and fine")
    assert "no gate has judged" in call(gates, "history", "2000-01-01T00:00").stdout


def test_gates_when_released_without_a_reason_then_it_is_refused(url: str):
    with pytest.raises(DataError, match="say why"):
        call(gates, "release", RED.partition, "--because", " ")


def test_gates_when_red_on_another_table_then_the_list_names_it(url: str):
    with psycopg.connect(url) as connection:
        record_results(connection, [dataclasses.replace(RED, asset="a/b")])
    assert "a/b" in call(gates, "list").stdout
    assert "a/b" in call(gates, "history", RED.partition, "--asset", "a/b").stdout


def test_gates_when_released_by_nobody_in_particular_then_the_user_is_noted(url: str):
    with psycopg.connect(url) as connection:
        record_results(connection, [RED])
    assert RED.check in call(gates, "release", RED.partition, *BECAUSE, "--check", RED.check).stdout


def test_rejected_when_readings_were_rejected_then_they_are_listed_and_counted(url: str, tmp_path: Path):
    config = configuration()
    plant = Plant(tmp_path, config)
    plant.reject(HOUR, 3)
    plant.close_windows(HOUR, HOUR + timedelta(minutes=15))
    run_windows(config, tmp_path, url)
    rows = json.loads(call(rejected, "readings", "--window", "2026-11-21T10:00", "--json").stdout)
    assert [row["reasons"] for row in rows] == [["not a number"]] * 3
    (reason,) = json.loads(call(rejected, "readings", "--reasons", "--json").stdout)
    assert (reason["source"], reason["rows"]) == ("boiler_house", 3)
    assert "not a number" in call(rejected, "readings", "--sensor", "B1/P").stdout
    assert "nothing was rejected" in call(rejected, "readings", "--source", "yard").stdout
    assert "nothing was rejected" in call(rejected, "records").stdout
    with pytest.raises(ConfigError, match="write the start of a window"):
        call(rejected, "readings", "--window", "yesterday")
