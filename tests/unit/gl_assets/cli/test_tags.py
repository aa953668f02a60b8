from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gl_assets.cli.main import cli
from gl_assets.cli.site import tags as module
from resources.core.errors import ConfigError
from resources.integrations import load_integrations
from resources.scada.connector import FoundItem

CONFIG = """\
site: plant
start: 2026-01-01T00:00:00Z
sources:
  meters:
    kind: mqtt
    broker: {host: localhost, tls: false, insecure_plain_tcp: true}
    client_id: c
    topic_filters: ["a/#"]
    tags_csv: lists/meters.csv
    discover: {include: ["a/*"], unit: kW}
  plc:
    kind: modbus
    host: 127.0.0.1
    tags:
      - {sensor_id: A.B, unit: Cel, address: 0, minimum: 0, report: {when: swinging_door, deviation: 0.5}}
      - {sensor_id: A.C, unit: Cel, address: 2, minimum: 0, maximum: 9, report: {when: deadband, deadband_percent: 2}}
      - {sensor_id: A.D, unit: Cel, address: 4, report: {when: change}}
"""


class Explorable:
    def __init__(self, found: Sequence[FoundItem]) -> None:
        self.found = found

    async def discover(self) -> Sequence[FoundItem]:
        return self.found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "integrations.yaml").write_text(CONFIG)
    monkeypatch.setenv("GL_CONFIG", str(tmp_path / "integrations.yaml"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def offer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the source offer topics: topic -> path."""

    def offer_(**paths: str) -> None:
        found = [FoundItem({"topic": f"a/{topic}"}, path, "number") for topic, path in paths.items()]
        monkeypatch.setattr(module, "build_client", lambda *_: Explorable(found))

    return offer_


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["tags", *arguments])


def test_list_when_asked_then_every_tag_with_its_address_limits_and_report(folder: Path) -> None:
    (folder / "lists").mkdir()
    (folder / "lists" / "meters.csv").write_text("sensor_id,topic,data\nM.S,a/s,text\n")
    shown = run("list").stdout
    assert "4 tags" in shown
    for words in ("M.S", "topic=a/s", "text", "address=2", "0 … 9", "swinging_door 0.5", "deadband 2 % of span"):
        assert words in shown


def test_list_when_the_terminal_is_narrow_then_no_address_is_cut(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lists").mkdir()
    topic = "a/" + "x" * 150
    (folder / "lists" / "meters.csv").write_text(f"sensor_id,topic,unit\nM.S,{topic},[psi]\n")
    monkeypatch.setenv("COLUMNS", "80")
    shown = run("list").stdout
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown.replace(" … ", "")
    assert shown.count("x") == 150
    assert "[psi]" in shown


def test_list_when_json_then_every_key(folder: Path) -> None:
    found = json.loads(run("list", "--source", "plc", "--json").stdout)
    assert [tag["sensor_id"] for tag in found] == ["A.B", "A.C", "A.D"]
    assert (found[0]["source"], found[0]["report"]["deviation"]) == ("plc", 0.5)


def test_list_when_the_source_is_unknown_then_those_there_are_are_named(folder: Path) -> None:
    result = run("list", "--source", "x")
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception) == "there is no source x; there are meters, plc"


def test_discover_when_written_then_the_configuration_reads_the_new_tags(folder: Path, offer: Any) -> None:
    offer(p="a/power", q="b/other")
    result = run("discover", "meters", "--write")
    assert "meters: 2 items offered, 1 wanted, 1 new" in result.stdout
    assert "a/power" in result.stdout
    assert "start `gl collect` again" in result.stderr
    (tag,) = load_integrations().sources["meters"].tags
    assert (tag.sensor_id, tag.topic, tag.unit) == ("a.power", "a/p", "kW")
    assert "is as it should be already" in run("discover", "meters", "--write").stderr


def test_discover_when_renamed_then_the_sensor_id_stays(folder: Path, offer: Any) -> None:
    offer(p="a/power", q="a/heat", r="a/gone")
    run("discover", "meters", "--write")
    offer(p="a/electric power", q2="a/heat", s="a/new")
    said = json.loads(run("discover", "meters", "--write", "--json").stdout)
    assert (said["written"], said["missing"], [one["sensor_id"] for one in said["new"]]) == (
        True,
        ["a.gone"],
        ["a.new"],
    )
    assert [(one["sensor_id"], one["was"]) for one in said["renamed"]] == [("a.power", "a/power")]
    assert [(one["sensor_id"], one["was"]) for one in said["moved"]] == [("a.heat", "topic=a/q")]
    tags = {tag.sensor_id: tag.topic for tag in load_integrations().sources["meters"].tags}
    assert tags == {"a.power": "a/p", "a.heat": "a/q2", "a.gone": "a/r", "a.new": "a/s"}


def test_discover_when_not_written_then_everything_is_shown_and_nothing_changes(folder: Path, offer: Any) -> None:
    offer(p="a/power", q="a/heat", r="a/gone")
    run("discover", "meters", "--write")
    before = (folder / "lists" / "meters.csv").read_text()
    offer(p="a/electric power", q2="a/heat", s="a/new", t="a/n w", u="a/n_w")
    result = run("discover", "meters")
    for words in ("Renamed", "Moved", "topic=a/q2", "Not found this time", "a.gone", "Not taken", "a.n_w"):
        assert words in result.stdout
    assert "nothing is written: `gl tags discover meters --write` writes" in result.stderr
    assert (folder / "lists" / "meters.csv").read_text() == before


def test_discover_when_a_missing_item_is_back_then_said(folder: Path, offer: Any) -> None:
    offer(p="a/power")
    run("discover", "meters", "--write")
    offer()
    run("discover", "meters", "--write")
    assert "gone" in (folder / "lists" / "meters.csv").read_text()
    offer(p="a/power")
    assert "Found again" in run("discover", "meters").stdout


def test_discover_when_the_source_does_not_ask_for_it_then_the_key_is_named(folder: Path) -> None:
    result = run("discover", "plc")
    assert isinstance(result.exception, ConfigError)
    assert "source plc has no `discover`: say in integrations.yaml" in str(result.exception)


def test_discover_when_the_connector_cannot_then_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "build_client", lambda *_: object())
    result = run("discover", "meters")
    assert isinstance(result.exception, ConfigError)
    assert "the mqtt connector cannot say what a device offers" in str(result.exception)
