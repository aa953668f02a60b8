from typing import Any

import orjson
import pytest

from resources.core.tags import Sensor, SensorCatalog
from resources.scada.opc_ua.config import OpcUaTag
from resources.scada.opc_ua.readings import ReadingAssembler, overflowed
from resources.scada.opc_ua.wire.codec import EPOCH_TICKS, Columns
from resources.scada.opc_ua.wire.nodes import UnknownNodeError, resolve

GOOD, UNCERTAIN, BAD = 0, 0x4090_0000, 0x8031_0000


def _assembler() -> ReadingAssembler:
    tags = [OpcUaTag(sensor_id=s, unit="kW", node_id=f"nsu=u;s={s}", scale=2.0, offset=1.0) for s in "ab"]
    return ReadingAssembler(
        "o", tags, SensorCatalog([Sensor("zero", "kW", "x"), *(Sensor(s, "kW", "o") for s in "ab")])
    )


def _columns(*rows: tuple[int, float, int, int], **more: Any) -> Columns:
    ticks = [row[3] * 10 + EPOCH_TICKS for row in rows]
    return Columns([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], ticks, **more)


def test_batches_when_values_come_again_then_first_ones_are_only_if_newer() -> None:
    assembler = _assembler()
    first, rest = assembler.batches(_columns((0, 1.0, GOOD, 100), (1, 2.0, GOOD, 100), (0, 3.0, GOOD, 200)), 500)
    assert (first.only_if_newer, rest.only_if_newer) == (True, False)
    assert first.readings is not None
    assert rest.readings is not None
    assert first.readings.column("value").to_pylist() == [3.0, 5.0]
    assert first.readings.column("sensor_key").to_pylist() == [1, 2]
    assert rest.readings.column("value").to_pylist() == [7.0]
    (later,) = assembler.batches(_columns((1, 4.0, GOOD, 300)), 500)
    assert not later.only_if_newer
    assembler.forget_first_values()
    (again,) = assembler.batches(_columns((1, 4.0, GOOD, 400)), 500)
    assert again.only_if_newer


def test_batches_when_statuses_differ_then_they_are_mapped_by_severity() -> None:
    assembler = _assembler()
    assembler.batches(_columns((0, 1.0, GOOD, 1), (1, 1.0, GOOD, 1)), 1)
    (batch,) = assembler.batches(
        _columns(
            (0, 1.0, GOOD | 0x480, 10),
            (0, 1.0, UNCERTAIN, 20),
            (0, 0.0, BAD, 30),
            (0, 1.0, 0xC000_0000, 40),
            missing=[2],
        ),
        99,
    )
    assert batch.readings is not None
    assert batch.readings.column("status").to_pylist() == [0, 1, 2, 2]
    assert batch.readings.column("value").to_pylist() == [3.0, 3.0, None, 3.0]


def test_batches_when_a_type_is_wrong_then_it_is_rejected_and_the_rest_stays() -> None:
    columns = _columns((0, 0.0, GOOD, 10), (1, 5.0, GOOD, 10), (0, 0.0, GOOD, 20), (0, 0.0, GOOD, 30), missing=[2])
    columns.odd = {0: "on", 3: [1, 2]}
    first, rest = _assembler().batches(columns, 99)
    assert first.readings is not None
    assert first.readings.num_rows == 1
    assert rest.readings is None
    assert rest.rejects is not None
    assert rest.rejects.column("reasons").to_pylist() == [
        ["wrong type: a String where a number is due"],
        ["the value is missing although the status is not bad (Good)"],
        ["wrong type: an array where a number is due"],
    ]
    raw = orjson.loads(rest.rejects.column("raw").to_pylist()[0])
    assert (raw["value"], raw["node_id"]) == ("on", "nsu=u;s=a")
    assert rest.rejects.column("time").cast("int64").to_pylist() == [10, 20, 30]


def test_batches_when_text_comes_with_a_bad_status_then_it_is_a_bad_reading_without_value() -> None:
    columns = _columns((0, 0.0, BAD, 10))
    columns.odd = {0: "broken"}
    (batch,) = _assembler().batches(columns, 99)
    assert batch.readings is not None
    assert batch.readings.column("value").to_pylist() == [None]


def test_batches_when_a_handle_was_never_given_then_it_is_rejected() -> None:
    batches = _assembler().batches(_columns((9, 1.0, GOOD, 10)), 99)
    assert batches[0].rejects is not None
    assert "unknown sensor" in batches[0].rejects.column("reasons").to_pylist()[0][0]


def test_overflowed_when_the_info_bits_say_so_then_rows_are_counted() -> None:
    assert overflowed(_columns((0, 1.0, 0x480, 1), (0, 1.0, 0x400, 2), (0, 1.0, 0x80, 3))) == 1


def test_resolve_when_the_index_moves_then_the_uri_finds_it() -> None:
    assert resolve("nsu=urn:b;s=x;y", ["urn:a", "urn:b"]).to_string() == "ns=1;s=x;y"
    assert resolve("nsu=urn:b;i=7", ["u", "v", "urn:b"]).to_string() == "ns=2;i=7"
    assert resolve("i=2258", []).to_string() == "i=2258"


@pytest.mark.parametrize(
    ("node_id", "words"),
    [
        ("nsu=urn:c;s=x", "the server has no namespace urn:c"),
        ("ns=3;s=x", "names its namespace by index"),
        ("nsu=urn:a;q=x", "is not a node id"),
        ("nonsense", "is not a node id"),
        ("nsu=urn:a;i=seven", "is not a node id"),
    ],
)
def test_resolve_when_a_node_id_is_wrong_then_the_reason_is_plain(node_id: str, words: str) -> None:
    with pytest.raises(UnknownNodeError, match=words):
        resolve(node_id, ["urn:a"])
