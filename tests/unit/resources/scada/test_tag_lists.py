from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resources.core.errors import ConfigError
from resources.integrations import Integrations, load_integrations
from resources.scada.modbus.config import ModbusTag
from resources.scada.mqtt.config import MqttTag
from resources.scada.tag_lists import read_tag_list

HEAD = """site: plant
start: 2026-11-01T00:00:00Z
sources:
  boilers:
    kind: modbus
    host: 10.0.0.5
"""
LIST = """\
sensor_id,unit,address,data_type,scale,minimum,maximum,report.when,report.deadband_percent,area
b1.p,bar,0,int16,0.1,0,60,deadband,0.5,boiler house
b1.mode,1,1,uint16,,,,,,
"""
MQTT = """
    kind: mqtt
    client_id: c1
    topic_filters: ["#"]
    broker: {host: broker, tls: false, insecure_plain_tcp: true}
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a list and a configuration beside it, and load that from another folder."""
    monkeypatch.setenv("GL_HOME", str(tmp_path / "home"))

    def load_(text: str, *, head: str = HEAD, more: str = "    tags_csv: lists/boilers.csv\n") -> Integrations:
        (tmp_path / "lists").mkdir(exist_ok=True)
        (tmp_path / "lists" / "boilers.csv").write_text(text, encoding="utf-8")
        (tmp_path / "integrations.yaml").write_text(head + more, encoding="utf-8")
        return load_integrations(tmp_path / "integrations.yaml")

    return load_


def test_list_when_named_by_a_source_then_its_lines_are_tags(load: Any, tmp_path: Path) -> None:
    config = load(LIST)
    pressure, mode = config.sources["boilers"].tags
    assert (pressure.sensor_id, pressure.address, pressure.scale, pressure.area) == ("b1.p", 0, 0.1, "boiler house")
    assert (pressure.report.when, pressure.report.deadband_percent) == ("deadband", 0.5)
    assert (mode.scale, mode.report, mode.minimum) == (1.0, None, None)
    assert config.sources["boilers"].tags_csv == tmp_path / "lists" / "boilers.csv"


def test_list_when_there_are_tags_as_well_then_it_comes_behind_them(load: Any) -> None:
    config = load(
        LIST, more="    tags_csv: lists/boilers.csv\n    tags:\n      - {sensor_id: a, unit: bar, address: 9}\n"
    )
    assert list(config.tags()) == ["a", "b1.p", "b1.mode"]


def test_list_when_written_by_a_spreadsheet_then_read_all_the_same(load: Any) -> None:
    config = load("\ufeffsensor_id;unit;address\r\nb1.p;bar;0\r\n;;\r\n\r\nb1.q;bar;1\r\n")
    assert list(config.tags()) == ["b1.p", "b1.q"]


def test_list_when_its_columns_are_of_discovery_then_they_are_no_keys(load: Any) -> None:
    config = load("sensor_id,unit,address,found_path,formerly,gone\nb1.p,bar,0,a/b,a/c,2026-11-22\n")
    assert list(config.tags()) == ["b1.p"]


def test_cell_when_null_or_the_empty_text_is_spelled_then_it_is_that(load: Any) -> None:
    text = "sensor_id,unit,topic,value_path,time_path,states\na,1,t,'',null,OFF=0; ON=1\nb,bar,u,,,\n"
    config = load(
        text, head=HEAD[: HEAD.index("    kind")], more=MQTT.lstrip("\n") + "    tags_csv: lists/boilers.csv\n"
    )
    one, other = config.sources["boilers"].tags
    assert one.states == {"OFF": 0, "ON": 1}
    assert (one.value_path, one.time_path, other.value_path, other.time_path) == ("", None, "value", "time")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LIST.replace(",area", ",speed"), "^boilers.csv:1: column speed: unknown; there are address, area, "),
        (LIST.replace("minimum", "unit"), "^boilers.csv:1: column unit: it occurs twice$"),
        (LIST.replace("sensor_id,", "scale2,"), "boilers.csv:1: column sensor_id: it is missing"),
        (LIST.replace("scale,", "report,"), "boilers.csv:1: column report: a block is one column, or one for each"),
        (LIST + "b1.x,bar,3\n", "^boilers.csv:4: 3 cells, and the first line names 10$"),
        (LIST + LIST.splitlines()[1] + "\n", r"^boilers.csv:4: column sensor_id: b1.p occurs twice \(first on line 2\)$"),
        (LIST.replace("1,1,uint16", "foo,1,uint16"), "^boilers.csv:3: column unit: unknown unit 'foo'"),
        (LIST.replace("deadband,0.5", "deadband,five"), "^boilers.csv:2: column report.deadband_percent: Input should"),
        (LIST.replace("deadband,0.5", "change,0.5"), "^boilers.csv:2: column report: report.when: change takes neither"),
        (LIST.replace("0,60,", "70,60,"), "^boilers.csv:2: tag b1.p: minimum 70 is above maximum 60"),
        (LIST.replace("bar,0,int16", "bar,0,bool"), "^boilers.csv:2: tag b1.p: "),
        (LIST.replace("bar,0", "bar,"), "^boilers.csv:2: tag b1.p: give its address"),
        ("sensor_id,unit,address\n" + "x" * 200_000, "^boilers.csv:2: not CSV: field larger"),
    ],
)  # fmt: skip
def test_list_when_wrong_then_file_line_and_column_are_named(load: Any, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load(text)


def test_list_when_several_lines_are_wrong_then_each_is_named(load: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        load(LIST.replace("bar,0", "foo,0").replace("uint16", "byte"))
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["boilers.csv:2", "boilers.csv:3"]


def test_list_when_missing_then_the_key_that_names_it_is_too(load: Any) -> None:
    with pytest.raises(
        ConfigError, match=r"^integrations.yaml:7: sources.boilers.tags_csv: .*none.csv: .*No such file"
    ):
        load(LIST, more="    tags_csv: none.csv\n")


def test_list_when_not_utf8_then_said(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"sensor_id\n\xff\n")
    with pytest.raises(ConfigError, match="it is not UTF-8"):
        read_tag_list(tmp_path / "a.csv", ModbusTag)


def test_source_when_it_has_neither_tags_nor_list_then_refused(load: Any) -> None:
    with pytest.raises(
        ConfigError, match="integrations.yaml:4: sources.boilers.*: tags: name at least one, here or in"
    ):
        load(LIST, more="")


def test_source_when_its_tags_are_to_be_discovered_then_it_needs_none_yet(load: Any, tmp_path: Path) -> None:
    head = HEAD[: HEAD.index("    kind")]
    config = load(LIST, head=head, more=MQTT.lstrip("\n") + "    discover: {}\n")
    assert config.sources["boilers"].tags == ()
    usual = tmp_path / "home" / "tags" / "boilers.csv"
    assert config.sources["boilers"].tags_csv == usual
    usual.parent.mkdir(parents=True)
    usual.write_text("sensor_id,unit,topic\na,bar,t\n")
    assert list(load_integrations(tmp_path / "integrations.yaml").tags()) == ["a"]


def test_discover_when_the_protocol_cannot_then_refused(load: Any) -> None:
    with pytest.raises(ConfigError, match="discover: this protocol cannot say what a device offers"):
        load(LIST, more="    tags_csv: lists/boilers.csv\n    discover: {}\n")


@pytest.mark.parametrize("sources", ["sources: 5\n", "sources: {a: 5}\n", "sources: {a: {kind: what}}\n", "- 1\n"])
def test_configuration_when_it_is_no_configuration_then_the_model_says_so(tmp_path: Path, sources: str) -> None:
    path = tmp_path / "integrations.yaml"
    path.write_text(sources)
    with pytest.raises(ConfigError, match="integrations.yaml"):
        load_integrations(path)


def test_columns_when_a_block_may_be_one_text_then_both_ways_are_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sensor_id,unit,sparkplug\na,bar,G/E//M\n")
    assert read_tag_list(path, MqttTag).rows == [{"sensor_id": "a", "unit": "bar", "sparkplug": "G/E//M"}]
    path.write_text("sensor_id,unit,sparkplug.group,sparkplug.metric\na,bar,G,M\n")
    assert read_tag_list(path, MqttTag).columns[2:] == ("sparkplug.group", "sparkplug.metric")
