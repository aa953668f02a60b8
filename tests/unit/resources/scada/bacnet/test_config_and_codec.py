"""Configuration, units, words and values of the BACnet/IP connector, without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bacpypes3.apdu import AbortPDU, ErrorPDU, RejectPDU
from bacpypes3.basetypes import BinaryPV, EngineeringUnits, Scale, StatusFlags
from bacpypes3.constructeddata import Any as AnyValue
from bacpypes3.primitivedata import CharacterString, ObjectIdentifier, Real
from pydantic import ValidationError

from resources.core.errors import AuthError, ProtocolError, UnreachableError
from resources.core.physics.units import parse_unit
from resources.core.readings import Status
from resources.core.tags import Sensor, SensorCatalog
from resources.scada.bacnet.codec import BatchBuilder, decode, facts_of, number_of, status_of, to_write
from resources.scada.bacnet.config import BacnetConfig, BacnetTag
from resources.scada.bacnet.errors import Refused, as_error, unknown_service, wants_less, words
from resources.scada.bacnet.units import UCUM, ucum


def config(**changes: Any) -> BacnetConfig:
    return BacnetConfig.model_validate(
        {
            "kind": "bacnet",
            "local_address": "10.1.2.20/24",
            "endpoint": "10.1.2.3",
            "tags": [{"sensor_id": "a", "unit": "Cel", "object": "analogInput:3"}],
            **changes,
        }
    )


def test_config_when_short_forms_are_used_then_ports_and_objects_are_complete():
    found = config()
    assert (found.local_address, found.endpoint) == ("10.1.2.20/24:47808", "10.1.2.3:47808")
    assert found.tags[0].object == "analog-input,3"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"local_address": "10.1.2.20"}, "is not an address with its network"),
        ({"local_address": "10.1.2.300/24"}, "is not an address with its network"),
        ({"endpoint": None}, "endpoint or device_instance is needed"),
        ({"other_endpoints": ["10.1.2.4:47808"]}, "a BACnet device has one address"),
        ({"tags": [{"sensor_id": "a", "unit": "1", "object": "thing"}]}, "is no object"),
        ({"tags": [{"sensor_id": "a", "unit": "1", "object": "analog-input,1", "array_index": 2}]}, "is no array"),
        (
            {
                "tags": [
                    {
                        "sensor_id": "a",
                        "unit": "1",
                        "object": "analog-input,1",
                        "property": "cov-increment",
                        "writable": {"minimum": 0, "maximum": 1, "max_step": 1},
                    }
                ]
            },
            "only present-value can be written",
        ),
    ],
)
def test_config_when_wrong_then_the_message_says_what_to_write(changes: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        config(**changes)


def test_units_when_mapped_then_bacpypes_and_we_know_both_sides():
    names = {str(EngineeringUnits(number)) for number in EngineeringUnits._enum_map.values()}
    assert set(UCUM) <= names
    for code in UCUM.values():
        parse_unit(code)
    assert ucum(EngineeringUnits("degreesCelsius")) == "Cel"
    assert ucum(EngineeringUnits("noUnits")) is None


def test_facts_when_the_units_differ_then_the_reason_says_what_to_do():
    tag = BacnetTag(sensor_id="a", unit="bar", object="analog-input,1")
    assert facts_of(tag, EngineeringUnits("bars"), None).wrong_unit is None
    assert "canonical_unit: 'bar'" in (facts_of(tag, EngineeringUnits("kilopascals"), None).wrong_unit or "")
    assert facts_of(tag.model_copy(update={"scale": 0.01}), EngineeringUnits("kilopascals"), None).wrong_unit is None
    assert facts_of(tag, EngineeringUnits("degreesCelsius"), Refused("x")).wrong_unit is not None
    assert facts_of(tag, Refused("unknown-property"), Scale(floatScale=0.25)).factor == 0.25


@pytest.mark.parametrize(
    ("flags", "reliability", "expected"),
    [
        ([0, 0, 0, 0], 0, Status.GOOD),
        ([1, 0, 0, 0], None, Status.GOOD),
        ([0, 1, 0, 0], Refused("unknown-property"), Status.BAD),
        ([0, 0, 1, 0], None, Status.UNCERTAIN),
        ([0, 0, 0, 1], 0, Status.UNCERTAIN),
        ([0, 0, 0, 0], 7, Status.BAD),
        (None, None, Status.GOOD),
    ],
)
def test_status_when_flags_and_reliability_are_given_then_the_worse_one_counts(
    flags: list[int] | None, reliability: Any, expected: Status
):
    assert status_of(StatusFlags(flags) if flags else None, reliability) is expected


def builder(**tag: Any) -> BatchBuilder:
    tags = [BacnetTag(**{"sensor_id": "a", "unit": "1", "object": "analog-input,1", **tag})]
    catalog = SensorCatalog([Sensor("a", "1", "b", tags[0].is_text)])
    return BatchBuilder("b", tags, catalog, {})


def test_builder_when_a_value_is_no_number_then_it_is_rejected_with_the_original():
    found = builder()
    found.add(0, CharacterString("off\x00"), Status.GOOD, 1)
    rejects = found.batch().rejects
    assert rejects is not None
    assert "is no number: set data: text" in rejects.to_pylist()[0]["reasons"][0]
    assert "off" in rejects.to_pylist()[0]["raw"]


def test_builder_when_states_are_named_then_they_become_numbers_and_unknown_ones_are_rejected():
    found = builder(states={"running": 2, "stopped": 0})
    found.add(0, CharacterString("running"), Status.GOOD, 1)
    found.add(0, CharacterString("melting"), Status.GOOD, 2)
    batch = found.batch()
    assert batch.readings is not None
    assert batch.readings.column("value").to_pylist() == [2.0]
    assert batch.rejects is not None
    assert "known are running, stopped" in batch.rejects.to_pylist()[0]["reasons"][0]


def test_builder_when_nan_is_bad_then_null_and_when_good_then_kept_for_the_validation():
    found = builder()
    found.add(0, Real(float("nan")), Status.BAD, 1)
    found.add(0, Real(float("nan")), Status.GOOD, 2)
    readings = found.batch().readings
    assert readings is not None
    assert readings.column("value")[0].as_py() is None
    assert np.isnan(readings.column("value")[1].as_py())


def test_decode_when_the_type_does_not_fit_then_refused():
    there = ObjectIdentifier("analog-input,1")
    assert decode(there, "present-value", AnyValue(Real(3.5))) == 3.5
    assert isinstance(decode(there, "present-value", AnyValue(CharacterString("x"))), Refused)
    assert isinstance(decode(there, "no-such-property", AnyValue(Real(1.0))), Refused)
    assert number_of(BinaryPV("active")) == 1.0
    assert number_of(CharacterString("1")) is None


def test_to_write_when_given_a_number_then_it_has_the_type_of_the_object():
    assert to_write(ObjectIdentifier("analog-output,1"), 1.5) == Real(1.5)
    assert to_write(ObjectIdentifier("binary-output,1"), 1.0) == BinaryPV("active")
    assert to_write(ObjectIdentifier("multi-state-output,1"), 3.0) == 3
    assert to_write(ObjectIdentifier("characterstring-value,1"), "on") == "on"
    with pytest.raises(ValueError, match="no present value"):
        to_write(ObjectIdentifier("file,1"), 1.0)


def test_errors_when_the_device_refuses_then_they_are_of_the_right_kind():
    silent = AbortPDU(reason=65)
    assert isinstance(as_error(silent, "b", "reading", 3), UnreachableError)
    assert isinstance(as_error(AbortPDU(reason=5), "b", "reading", 3), AuthError)
    assert isinstance(as_error(RejectPDU(reason=4), "b", "reading", 3), ProtocolError)
    assert wants_less(AbortPDU(reason=4))
    assert wants_less(RejectPDU(reason=1))
    assert not wants_less(ErrorPDU())
    assert unknown_service(RejectPDU(reason=9))
    assert words(RejectPDU(reason=9)).startswith("unrecognized-service: ")
