from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from resources.core.configuration.settings import parse_yaml
from resources.core.errors import ConfigError
from resources.integrations import Integrations, example_path, load_integrations, refuse_too_many_partitions

HEAD = "site: plant\nstart: 2026-11-01T00:00:00+01:00\n"
SOURCES = """
sources:
  boilers:
    kind: modbus
    host: 10.0.0.5
    tags:
      - {sensor_id: b1.fuel, unit: kg/h, address: 0}
      - {sensor_id: b1.steam, unit: t/h, canonical_unit: kg/h, address: 2}
      - {sensor_id: b1.p, unit: bar, address: 4}
      - {sensor_id: b1.t, unit: Cel, canonical_unit: K, address: 6}
      - {sensor_id: b1.feed, unit: Cel, address: 8}
  furnace:
    kind: mqtt
    client_id: collector-1
    topic_filters: [plant/furnace/#]
    broker: {host: broker, tls: false, insecure_plain_tcp: true}
    tags:
      - {sensor_id: f1.t, unit: Cel, topic: plant/furnace/t}
"""
BOILER = """
boilers:
  b1:
    fuel_flow: b1.fuel
    fuel_heating_value_kj_per_kg: 42000
    steam_flow: b1.steam
    steam_pressure: b1.p
    steam_temperature: b1.t
    feedwater_temperature: b1.feed
"""


def parse(text: str) -> Integrations:
    return parse_yaml(text, Integrations, name="integrations.yaml")


def test_configuration_when_minimal_then_the_documented_defaults_hold() -> None:
    config = parse(HEAD)
    assert config.start == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert config.start.tzinfo is UTC
    assert (config.window, config.grace) == (timedelta(minutes=15), timedelta(seconds=5))
    assert config.grid.length == timedelta(minutes=15)
    assert (config.collector.host, config.buffer.retention) == ("127.0.0.1", timedelta(hours=24))
    assert config.sources == {}
    assert len(config.catalog()) == 0


def test_catalog_when_there_are_sources_then_numbered_in_the_order_of_the_file() -> None:
    config = parse(HEAD + SOURCES + BOILER)
    assert [s.sensor_id for s in config.catalog().sensors] == ["b1.fuel", "b1.steam", "b1.p", "b1.t", "b1.feed", "f1.t"]
    assert config.catalog().sensors[5].source == "furnace"
    assert list(config.tags()) == [s.sensor_id for s in config.catalog().sensors]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("window: 7m", ""), "window: .*divide the hour"),
        (("start: 2026-11-01T00:00:00+01:00", "start: 2026-11-01T00:00:00"), "start: .*timezone"),
        (("f1.t,", "b1.p,"), r"sensor_id b1.p is configured twice \(sources boilers and furnace\)"),
        (("fuel_flow: b1.fuel", "fuel_flow: b1.nothing"), "boilers.b1.fuel_flow: sensor b1.nothing is not a tag"),
        (("canonical_unit: K", "canonical_unit: bar"), "tag b1.t: cannot convert Cel"),
        (("kind: mqtt", "kind: profibus"), "sources.furnace: .*profibus"),
        (("  furnace:", "  1furnace:"), "1furnace"),
    ],
    ids=["window", "start-without-zone", "duplicate-sensor", "unknown-sensor", "units", "kind", "name"],
)
def test_configuration_when_wrong_then_one_line_says_where(change: tuple[str, str], message: str) -> None:
    old, new = change
    text = HEAD + SOURCES + BOILER
    text = text.replace(old, new) if old in text else f"{old}\n{text}"
    with pytest.raises(ConfigError, match=rf"^integrations.yaml:\d+: .*{message}") as caught:
        parse(text)
    assert len(str(caught.value).splitlines()) == 1


def test_partitions_when_too_many_then_the_shortest_window_that_fits_is_named() -> None:
    config = parse("site: plant\nstart: 2020-01-01T00:00:00Z\nwindow: 1m\n")
    now = datetime(2026, 11, 22, tzinfo=UTC)
    with pytest.raises(ConfigError, match=r"makes 1,051,200 partitions.*set window to 30m or longer"):
        refuse_too_many_partitions(config, now)
    refuse_too_many_partitions(config.model_copy(update={"window": timedelta(minutes=30)}), now)
    refuse_too_many_partitions(config.model_copy(update={"start": now - timedelta(days=30)}), now)


def test_load_when_gl_config_names_a_file_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "integrations.yaml"
    path.write_text(HEAD)
    monkeypatch.setenv("GL_CONFIG", str(path))
    assert load_integrations().site == "plant"
    assert load_integrations(path).site == "plant"


def test_load_when_the_file_is_missing_then_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read"):
        load_integrations(tmp_path / "nowhere.yaml")


def test_example_path_when_asked_then_in_the_root_of_the_repository() -> None:
    assert example_path().name == "integrations.example.yaml"
    assert (example_path().parent / "pyproject.toml").exists()


def test_catalog_when_a_tag_is_text_then_its_sensor_is() -> None:
    text = HEAD + SOURCES + "      - {sensor_id: f1.state, data: text, topic: plant/furnace/state}\n"
    assert [sensor.sensor_id for sensor in parse(text).catalog().sensors if sensor.is_text] == ["f1.state"]
