"""Payloads: compression, garbage, properties, births."""

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.demo_plant.servers.sparkplug_bytes import DOUBLE, INT32, SparkplugMetric, encode_metric, encode_payload
from resources.scada.mqtt.sparkplug.nodes.births import Birth, Definition, bd_seq_of
from resources.scada.mqtt.sparkplug.payload.datatypes import RefusedError
from resources.scada.mqtt.sparkplug.payload.envelope import LARGEST, read_payload
from resources.scada.mqtt.sparkplug.payload.properties import (
    BAD,
    GOOD,
    UNCERTAIN,
    conversion_to,
    quality_of,
    status_of,
    ucum_of,
    unit_of,
)
from resources.scada.mqtt.sparkplug.payload.schema import new_payload, parse
from tests.unit.resources.scada.mqtt.sparkplug.bench import T0, Bench

PLAIN = encode_payload([encode_metric(SparkplugMetric("Flow", DOUBLE, 2.5))], timestamp=T0)


def compressed(body: bytes, algorithm: str | None) -> bytes:
    envelope = new_payload(uuid="SPBV1.0_COMPRESSED", body=body, seq=4, timestamp=9)
    if algorithm is not None:
        envelope.metrics.add(name="algorithm", datatype=12, string_value=algorithm)
    return envelope.SerializeToString()


@pytest.mark.parametrize(
    "data",
    [compressed(gzip.compress(PLAIN), "GZIP"), compressed(zlib.compress(PLAIN), "deflate"), compressed(zlib.compress(PLAIN), None)],
    ids=["gzip", "deflate", "not told"],
)  # fmt: skip
def test_payload_when_compressed_then_it_is_unpacked_with_the_number_outside(data: bytes) -> None:
    payload = read_payload(data)
    assert (payload.seq, payload.timestamp) == (4, T0)
    assert [m.double_value for m in payload.metrics] == [2.5]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (compressed(PLAIN, "BROTLI"), "compressed with 'BROTLI': only GZIP and DEFLATE"),
        (compressed(PLAIN, "GZIP"), "GZIP cannot unpack it"),
        (compressed(zlib.compress(PLAIN)[:-6], "DEFLATE"), "cut short"),
        (compressed(zlib.compress(b"\xff\xff\xff"), "DEFLATE"), "no Sparkplug B payload"),
        (compressed(zlib.compress(bytes(LARGEST + 1)), "DEFLATE"), "unpacks to more than 16777216 bytes"),
        (b"{}", "no Sparkplug B payload"),
    ],
)
def test_payload_when_it_cannot_be_read_then_refused(data: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        read_payload(data)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80), st.sampled_from(["NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"]))
def test_decoder_when_given_any_bytes_then_it_never_fails(data: bytes, kind: str) -> None:
    bench = Bench()
    bench.births()
    bench.take(kind, data, "D" if kind[0] == "D" else "")
    bench.wait(60)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_decoder_when_a_message_is_mutilated_then_it_never_fails(data: st.DataObject) -> None:
    bench = Bench()
    bench.births()
    message = bytearray(encode_payload(
        [encode_metric(SparkplugMetric("Flow", DOUBLE, 2.5, 1, "kg/h", 192), time_ms=T0)], timestamp=T0, seq=2
    ))  # fmt: skip
    for _ in range(data.draw(st.integers(1, 4))):
        message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    bench.take(data.draw(st.sampled_from(["NBIRTH", "NDATA", "NDEATH"])), bytes(message))
    bench.wait(60)


# -- properties ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status"),
    [(192, GOOD), (216, GOOD), (255, GOOD), (0, BAD), (24, BAD), (64, UNCERTAIN), (127, UNCERTAIN), (128, BAD),
     (500, BAD), (-1, BAD), (256, BAD)],
)  # fmt: skip
def test_quality_when_by_code_then_status(code: int, status: int) -> None:
    assert status_of(code, {}) == status


def test_quality_when_configured_otherwise_then_that_counts() -> None:
    assert status_of(500, {500: UNCERTAIN}) == UNCERTAIN


def _with_property(**value: object):
    made = new_payload().metrics.add()
    made.properties.keys.append(value.pop("key", "Quality"))
    made.properties.values.add(**value)
    return made


def test_quality_when_in_either_integer_then_it_is_read() -> None:
    assert quality_of(_with_property(type=3, int_value=192)) == 192
    assert quality_of(_with_property(type=4, long_value=500)) == 500
    assert quality_of(_with_property(type=3, int_value=2**32 - 1)) == -1
    assert quality_of(_with_property(type=4, long_value=2**64 - 1)) == -1
    assert quality_of(_with_property(key="quality", type=3, int_value=64)) == 64


def test_quality_when_absent_null_or_another_property_then_none() -> None:
    assert quality_of(new_payload().metrics.add()) is None
    assert quality_of(_with_property(is_null=True)) is None
    assert quality_of(_with_property(key="engHigh", double_value=1.0)) is None
    assert unit_of(_with_property(key="engUnit", string_value="  ")) is None
    assert unit_of(_with_property(key="engUnit", string_value=" °C ")) == "°C"


@pytest.mark.parametrize(("unit", "code"), [("°C", "Cel"), ("kWh", "kW.h"), ("kg/h", "kg/h"), ("furlongs!", None)])
def test_unit_when_as_devices_write_it_then_ucum(unit: str, code: str | None) -> None:
    assert ucum_of(unit) == code


def test_conversion_when_units_fit_differ_or_clash_then_as_needed() -> None:
    assert conversion_to(None, "Cel") == (1.0, 0.0)
    assert conversion_to("whatever", "Cel") == (1.0, 0.0)
    assert conversion_to("°C", "Cel") == (1.0, 0.0)
    factor, shift = conversion_to("°F", "Cel")
    assert 212 * factor + shift == pytest.approx(100)
    assert "the unit 'bar' (engUnit) does not fit" in str(conversion_to("bar", "Cel"))


# -- births ----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.lists(
        st.builds(Definition, st.text(), st.none() | st.integers(0, 2**64 - 1), st.integers(0, 34),
                  st.none() | st.text(), st.booleans(), st.text())
    )
)  # fmt: skip
def test_birth_when_kept_as_text_then_the_same_comes_back(definitions: list[Definition]) -> None:
    birth = Birth.of(definitions)
    again = Birth.from_text(birth.to_text())
    assert again == birth
    for definition in birth.definitions.values():
        if definition.alias is not None:
            assert again.by_alias(definition.alias) is not None


def test_birth_when_read_then_names_types_units_and_flags() -> None:
    data = encode_payload(
        [encode_metric(SparkplugMetric("T", INT32, -4, 9, "°C", 192, True)), encode_metric(SparkplugMetric("", INT32, 1, 8))],
        timestamp=T0, seq=0,
    )  # fmt: skip
    birth = Birth.read(parse(data))
    assert birth.definitions == {"T": Definition("T", 9, INT32, "°C", True)}
    assert birth.by_alias(8) is None


def test_bd_seq_when_in_either_integer_or_absent_then_as_it_is() -> None:
    for field in ("int_value", "long_value"):
        payload = new_payload()
        payload.metrics.add(name="bdSeq", **{field: 7})
        assert bd_seq_of(payload) == 7
    assert bd_seq_of(new_payload()) is None
    payload = new_payload()
    payload.metrics.add(name="bdSeq", string_value="7")
    assert bd_seq_of(payload) is None
