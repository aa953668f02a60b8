from typing import Any

import pytest
from pydantic import ValidationError

from resources.core.configuration.settings import parse_yaml
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.tags import ModbusTag, parse_reference
from resources.scada.values import plain_settings


def _tag(**changes: Any) -> ModbusTag:
    return ModbusTag.model_validate({"sensor_id": "s", "unit": "kW"} | changes)


def _config(*tags: dict[str, Any], **changes: Any) -> ModbusConfig:
    made = [{"sensor_id": f"s{n}", "unit": "kW", **tag} for n, tag in enumerate(tags)]
    return ModbusConfig.model_validate({"kind": "modbus", "host": "h", "tags": made} | changes)


@pytest.mark.parametrize(
    ("reference", "place"),
    [
        (40001, ("holding_register", 0)),
        ("400001", ("holding_register", 0)),
        (465536, ("holding_register", 65535)),
        (30017, ("input_register", 16)),
        (10001, ("discrete_input", 0)),
        (100001, ("discrete_input", 0)),
        ("00001", ("coil", 0)),
        ("000017", ("coil", 16)),
    ],
)
def test_reference_when_written_as_in_manuals_then_it_is_table_and_address(
    reference: str | int, place: tuple[str, int]
) -> None:
    assert parse_reference(reference) == place


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (1, "ambiguous"),
        (4001, "ambiguous"),
        ("4001", "is none: it has five or six digits"),
        (20001, "is none"),
        (50001, "is none"),
        (40000, "counts from 1 to 65536"),
        (465537, "counts from 1 to 65536"),
        ("4x001", "is none"),
    ],
)
def test_reference_when_it_can_be_read_in_several_ways_or_none_then_it_is_refused(
    reference: str | int, words: str
) -> None:
    with pytest.raises(ValidationError, match=f"tag s: reference {reference}.*{words}"):
        _tag(reference=reference)


def test_tag_when_it_has_a_reference_then_its_other_registers_are_references_too() -> None:
    tag = _tag(reference=30011, data_type="int16", time_register=30001, scale_register=30020)
    assert (tag.where, tag.first_address, tag.spans) == ("input_register", 10, ((0, 11), (19, 20)))


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ({}, "give its address .* or its reference"),
        ({"reference": 40001, "address": 1}, "reference 40001 is holding_register 0 .*say otherwise"),
        ({"reference": 30001, "table": "holding_register"}, "say otherwise"),
        ({"reference": 40001, "time_register": 30001}, "time_register 30001 is not in the table"),
        ({"reference": 40001, "scale_register": 7}, "reference 7 is ambiguous"),
        ({"address": 65535}, "s: its registers end at 65536, beyond 65535"),
        ({"address": 0, "table": "coil"}, "data_type bool goes with coil"),
        ({"address": 0, "table": "coil", "data_type": "bool", "time_register": 4}, "a coil has no time_register"),
        ({"address": 0, "data_type": "string"}, "length goes with data_type string"),
        ({"address": 0, "length": 4}, "length goes with data_type string, and only with it"),
        ({"address": 0, "data_type": "bitfield"}, "bits goes with data_type bitfield"),
        ({"address": 0, "data_type": "bitfield", "bits": "7-4"}, "bits 7-4 is none of 0 to 15"),
        ({"address": 0, "data_type": "bitfield", "bits": 16}, "bits 16 is none"),
        ({"address": 0, "data_type": "bitfield", "bits": "low"}, "bits low is none"),
        ({"address": 0, "data_type": "uint16", "not_implemented": -1}, "not_implemented -1 is no uint16"),
        ({"address": 0, "table": "coil", "data_type": "bool", "not_implemented": "sunspec"}, "has no not_implemented"),
        ({"address": 0, "data_type": "string", "length": 2, "scale_register": 9}, "a string has no scale_register"),
        ({"address": 0, "data": "text"}, "data_type string is a text"),
        ({"address": 0, "data_type": "string", "length": 2, "data": "number"}, "is a text, or has states"),
        ({"address": 0, "data_type": "int16", "states": {"on": 1}}, "states go with data_type string"),
        ({"address": 0, "poll_interval": "0s"}, "poll_interval must be longer than 0s"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_tag_when_it_cannot_be_read_then_it_is_refused(tag: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        _tag(**tag)


def test_tag_when_a_string_is_configured_then_it_is_a_text_without_unit() -> None:
    tag = ModbusTag.model_validate({"sensor_id": "s", "address": 4, "data_type": "string", "length": 8})
    assert tag.is_text
    assert tag.words == 8
    assert not _tag(address=4, data_type="string", length=2, states={"on": 1}).is_text


SERIAL = {"transport": "rtu", "serial_port": "/dev/ttyUSB0", "host": None}


@pytest.mark.parametrize(
    ("tag", "changes", "words"),
    [
        ({"address": 0, "time_register": 200}, {}, "s0: its registers 0 to 203 do not fit into one request"),
        ({"address": 0, "data_type": "float64"}, {"max_registers": 3}, "one request of max_registers 3"),
        ({"address": 0, "data_type": "float64"}, {"units": {1: {"max_registers": 3}}}, "of max_registers 3"),
        ({"address": 4}, {"forbidden_addresses": [{"first": 5, "last": 9}]}, "would read the forbidden_addresses 5 to 9"),
        ({"address": 0}, {"forbidden_addresses": [{"first": 5, "last": 4}]}, "last 4 comes before first 5"),
        ({"address": 0}, {"tls": True}, "tls needs ca_certificate"),
        ({"address": 0}, {"tls": True, "transport": "tcp"}, "contradict each other"),
        ({"address": 0}, {"client_key": "k.pem"}, "go together"),
        ({"address": 0}, {"poll_interval": "0s"}, "longer than 0s"),
        ({"address": 0}, {"host": None}, "transport tcp needs host"),
        ({"address": 0}, {"serial_port": "/dev/ttyS0"}, "and has no serial_port"),
        ({"address": 0}, {"transport": "rtu"}, "transport rtu needs serial_port, and has no host"),
        ({"address": 0}, SERIAL | {"other_endpoints": ["h:502"]}, "no other_endpoints"),
        ({"address": 0, "unit_id": 0}, SERIAL, "unit_id 0 cannot be asked by RTU"),
        ({"address": 0, "unit_id": 248}, {"transport": "rtu_over_tcp"}, "unit_id 248 cannot be asked by RTU"),
        ({"address": 0}, {"units": {9: {"timeout": "1s"}}}, "no tag is of unit 9"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_config_when_it_cannot_work_then_it_is_refused(
    tag: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        _config(tag, **changes)


def test_config_when_tls_is_written_either_way_then_it_is_tls_and_the_new_way_has_its_port() -> None:
    old = _config({"address": 0}, tls=True, ca_certificate="ca.pem")
    new = _config({"address": 0}, transport="tls", ca_certificate="ca.pem")
    assert (old.medium, old.port) == ("tls", 502)
    assert (new.medium, new.port) == ("tls", 802)


def test_config_when_it_is_a_line_then_the_circuit_stays_open_for_a_short_time_only() -> None:
    assert _config({"address": 0}, **SERIAL).circuit_breaker.recovery.total_seconds() == 5
    own = _config({"address": 0}, **SERIAL, circuit_breaker={"recovery": "30s"})
    assert own.circuit_breaker.recovery.total_seconds() == 30


@pytest.mark.parametrize(
    ("changes", "attempts"), [({}, 1), (SERIAL, 2), ({"transport": "rtu_over_tcp"}, 2), ({"retries": 3}, 4)]
)
def test_config_when_retries_are_not_set_then_lines_have_one(changes: dict[str, Any], attempts: int) -> None:
    assert _config({"address": 0}, **changes).attempts == attempts


def test_config_when_dumped_for_dagster_then_it_loads_to_the_same() -> None:
    config = _config(
        {"reference": 30011, "data_type": "int16", "scale_register": 30020, "poll_interval": "10s", "unit_id": 3},
        {"address": 7, "data_type": "bitfield", "bits": "4-7", "not_implemented": "sunspec"},
        {"address": 9, "data_type": "string", "length": 4},
        units={3: {"timeout": "500ms", "forbidden_addresses": [{"table": "coil", "first": 1, "last": 2}]}},
    )
    assert ModbusConfig.model_validate(plain_settings(config)) == config


def test_config_when_read_from_yaml_then_units_are_numbers() -> None:
    text = """
kind: modbus
transport: rtu
serial_port: /dev/ttyUSB0
units: {3: {timeout: 1s}}
tags:
  - {sensor_id: a, unit: kW, unit_id: 3, reference: "00001", data_type: bool}
"""
    config = parse_yaml(text, ModbusConfig, name="x")
    assert config.limits(3).timeout_s == 1.0
    assert config.tags[0].where == "coil"
