from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import Field

from resources.core.configuration.settings import (
    Duration,
    EnvSecret,
    Name,
    Secret,
    StrictModel,
    TagConfig,
    Unit,
    load_yaml,
    parse_yaml,
)
from resources.core.errors import ConfigError


class Pump(StrictModel):
    name: Name
    unit: Unit = "bar"
    wait: Duration = timedelta(seconds=5)
    password: Secret | None = None
    host: str = "here"
    limits: list[float] = Field(default_factory=list)
    tags: tuple[TagConfig, ...] = ()
    parts: dict[str, float] = Field(default_factory=dict)


def parse(text: str) -> Pump:
    return parse_yaml(text, Pump, name="plant.yaml")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("5s", 5), ("15m", 900), ("24h", 86_400), ("2d", 172_800), ("1.5h", 5_400), ("3 s", 3)],
)
def test_duration_when_written_with_a_unit_then_read(text: str, seconds: float) -> None:
    assert parse(f"name: p\nwait: {text}").wait == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["5", "five", "-1s", "5 weeks", "''"])
def test_duration_when_not_one_then_the_line_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^plant.yaml:2: wait: a duration is a number with ms, s, m, h or d"):
        parse(f"name: p\nwait: {text}")


def test_secret_when_literal_then_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match=r"plant.yaml:2: password: a secret must be written as") as caught:
        parse("name: p\npassword: hunter2")
    assert "hunter2" not in str(caught.value)


def test_secret_when_a_variable_then_looked_up_at_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PUMP_PASSWORD", raising=False)
    secret = parse("name: p\npassword: ${PUMP_PASSWORD}").password
    assert secret == EnvSecret("PUMP_PASSWORD")
    assert hash(secret) == hash(EnvSecret("PUMP_PASSWORD"))
    with pytest.raises(ConfigError, match="PUMP_PASSWORD is not set: export it"):
        secret.reveal()
    monkeypatch.setenv("PUMP_PASSWORD", "hunter2")
    assert secret.reveal() == "hunter2"


def test_secret_when_printed_or_dumped_then_only_the_variable_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUMP_PASSWORD", "hunter2")
    pump = parse("name: p\npassword: ${PUMP_PASSWORD}")
    assert "hunter2" not in repr(pump) + pump.model_dump_json()
    assert "${PUMP_PASSWORD}" in pump.model_dump_json()


def test_secret_when_given_as_an_object_then_kept() -> None:
    assert Pump(name="p", password=EnvSecret("X")).password == EnvSecret("X")


def test_unknown_key_when_present_then_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^plant.yaml:3: speed: unknown key$"):
        parse("name: p\n# a remark\nspeed: 3")


def test_key_when_it_occurs_twice_then_both_lines_are_named() -> None:
    with pytest.raises(ConfigError, match=r"plant.yaml:2: name: the key occurs twice \(first on line 1\)"):
        parse("name: p\nname: q")


def test_faults_when_several_then_one_line_each() -> None:
    with pytest.raises(ConfigError) as caught:
        parse("name: 1p\nunit: foo\ntags:\n  - sensor_id: a\n    unit: bar\n  - sensor_id: '!'\n    unit: bar\n")
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert lines[1].startswith("plant.yaml:2: unit: unknown unit 'foo'")
    assert lines[2].startswith("plant.yaml:6: tags.1.sensor_id:")


def test_missing_field_when_absent_then_the_nearest_line_is_named() -> None:
    with pytest.raises(ConfigError, match=r"plant.yaml:3: tags.0.unit: Field required"):
        parse("name: p\ntags:\n  - sensor_id: a")


def test_variable_when_inside_a_text_then_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANT_HOST", "10.0.0.5")
    monkeypatch.delenv("PLANT_AREA", raising=False)
    assert parse("name: p\nhost: opc://${PLANT_HOST}/${PLANT_AREA:-main}").host == "opc://10.0.0.5/main"


def test_variable_when_unset_without_default_then_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANT_HOST", raising=False)
    with pytest.raises(ConfigError, match=r"plant.yaml:2: host: environment variable PLANT_HOST is not set"):
        parse("name: p\nhost: opc://${PLANT_HOST}:1")


def test_variable_when_inside_a_list_then_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIMIT", "3")
    assert parse("name: p\nlimits: ['${LIMIT}.5', 2]").limits == [3.5, 2.0]


@pytest.mark.parametrize("text", ["name: [", "a: b: c", "\tname: p"])
def test_yaml_when_broken_then_the_line_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^plant.yaml:\d+: not YAML"):
        parse(text)


def test_yaml_when_empty_then_required_fields_are_missed() -> None:
    with pytest.raises(ConfigError, match=r"plant.yaml:1: name: Field required"):
        parse("")


def test_yaml_when_not_a_mapping_then_refused() -> None:
    with pytest.raises(ConfigError, match=r"plant.yaml:1: file:"):
        parse("- 1")


def test_load_yaml_when_the_file_is_missing_then_gl_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read .*GL_CONFIG"):
        load_yaml(tmp_path / "none.yaml", Pump)


def test_load_yaml_when_the_file_is_right_then_frozen(tmp_path: Path) -> None:
    path = tmp_path / "pump.yaml"
    path.write_text("name: p\nparts: {a: 1}\n")
    pump = load_yaml(path, Pump)
    assert pump.parts == {"a": 1.0}
    with pytest.raises(ValueError, match="frozen"):
        pump.name = "q"  # type: ignore[misc]


def tag(**keys: object) -> TagConfig:
    return TagConfig.model_validate({"sensor_id": "a", "unit": "bar"} | keys)


def test_tag_when_text_then_it_needs_no_unit() -> None:
    text = TagConfig.model_validate({"sensor_id": "a", "data": "text"})
    assert text.is_text
    assert text.unit == "1"
    assert not tag().is_text


def test_tag_when_text_with_keys_of_a_number_then_they_are_named() -> None:
    with pytest.raises(ValueError, match="tag a: a text has no scale, maximum, states: leave it out"):
        tag(data="text", scale=2, maximum=3, states={"ON": 1})


def test_tag_when_states_are_named_then_neither_scale_nor_offset() -> None:
    assert tag(states={"OFF": 0, "ON": 1}).states == {"OFF": 0, "ON": 1}
    with pytest.raises(ValueError, match="tag a: states give numbers as they are"):
        tag(states={"ON": 1}, offset=1)


def test_tag_when_its_limits_cross_then_refused() -> None:
    with pytest.raises(ValueError, match="tag a: minimum 3 is above maximum 2"):
        tag(minimum=3, maximum=2)


@pytest.mark.parametrize(
    ("report", "says"),
    [
        ({"when": "change", "deadband": 1}, "report.when: change takes neither deadband nor deviation"),
        ({"when": "deadband"}, "report.when: deadband takes deadband or deadband_percent, one of them"),
        ({"when": "deadband", "deadband": 1, "deadband_percent": 1}, "takes deadband or deadband_percent"),
        ({"when": "swinging_door", "deadband": 1}, "report.when: swinging_door takes deviation"),
        ({"when": "swinging_door", "deviation": 1, "max_silence": "0s"}, "greater than 0"),
        ({"when": "deadband", "deadband_percent": 1}, "tag a: report.deadband_percent is of the span: give the tag"),
    ],
)
def test_report_when_it_does_not_say_how_much_then_refused(report: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        tag(report=report)


def test_report_when_of_a_text_then_only_change() -> None:
    assert tag(data="text", report={"when": "change"}).report is not None
    with pytest.raises(ValueError, match="tag a: of a text only report.when: change can be said"):
        tag(data="text", report={"when": "swinging_door", "deviation": 1})


def test_report_when_in_percent_then_of_the_span_or_of_the_value() -> None:
    percent = {"when": "deadband", "deadband_percent": 1}
    assert tag(report=percent, minimum=0, maximum=5).report is not None
    assert tag(report=percent | {"percent_of": "value"}).report is not None
