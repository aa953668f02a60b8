"""What metrics become: texts, states, times, flags; what is refused of them, and what is kept of that."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from resources.core.errors import ConfigError
from resources.demo_plant.servers.sparkplug_bytes import (
    BOOLEAN,
    BYTES,
    DATETIME,
    DOUBLE,
    INT16,
    INT32,
    STRING,
    SparkplugMetric,
    encode_metric,
    encode_payload,
)
from resources.scada.mqtt.sparkplug.nodes.store import SparkplugStore
from tests.unit.resources.scada.mqtt.sparkplug.bench import FLOW, LEVEL, T0, Bench, Row, metric, node_birth, payload


def reading_of(tag: dict[str, Any], *metrics: SparkplugMetric) -> tuple[Bench, list[Row]]:
    bench = Bench(tags=[{"sensor_id": "t", "unit": "1", "sparkplug": "G/E//M", **tag}])
    return bench, bench.say("NBIRTH", *node_birth(0), *metrics)


@pytest.mark.parametrize(
    ("datatype", "value", "text"),
    [
        (STRING, "läuft", "läuft"),
        (DATETIME, T0, "2026-11-22T10:15:00.000+00:00"),
        (BOOLEAN, True, "true"),
        (BOOLEAN, False, "false"),
        (INT32, -4, "-4"),
        (DOUBLE, 0.1, "0.1"),
        (STRING, "", ""),
    ],
)
def test_text_when_the_metric_is_of_any_type_then_it_is_written_out(datatype: int, value: Any, text: str) -> None:
    _, rows = reading_of({"data": "text", "unit": None}, SparkplugMetric("M", datatype, value))
    assert rows == [Row("t", text, T0, "good", True)]


def test_text_when_null_then_bad() -> None:
    _, rows = reading_of({"data": "text", "unit": None}, SparkplugMetric("M", STRING, None))
    assert rows == [Row("t", None, T0, "bad", True)]


def test_state_when_listed_then_its_number_and_otherwise_a_reject() -> None:
    states = {"states": {"off": 0, "on": 1}}
    assert reading_of(states, SparkplugMetric("M", STRING, "on"))[1] == [Row("t", 1.0, T0, "good", True)]
    bench, rows = reading_of(states, SparkplugMetric("M", STRING, "broken"))
    assert rows == []
    assert bench.rejects[0]["reasons"] == ["the state 'broken' is none of off, on"]
    assert bench.rejects[0]["sensor_id"] == "t"


def test_number_when_the_metric_is_a_text_then_rejected() -> None:
    bench, rows = reading_of({}, SparkplugMetric("M", STRING, "12"))
    assert rows == []
    assert bench.rejects[0]["reasons"] == ["wrong type: the value is text (String) where a number is due"]
    kept = json.loads(bench.rejects[0]["raw"])
    assert kept == {
        "topic": "spBv1.0/G/NBIRTH/E", "metric": "M", "alias": None, "datatype": "String", "timestamp": T0, "value": "12",
    }  # fmt: skip


def test_bytes_when_refused_then_their_size_is_kept() -> None:
    bench, _ = reading_of({}, SparkplugMetric("M", BYTES, b"1234"))
    assert json.loads(bench.rejects[0]["raw"])["value"] == "4 bytes"
    assert bench.failed["t"] == "Bytes are not read: they are neither a number nor a text"


def test_time_when_it_is_beyond_all_calendars_then_rejected_without_a_time() -> None:
    bench = Bench()
    bench.births()
    assert bench.flow(2.0, time_ms=2**63) == []
    assert bench.rejects[0]["reasons"] == [f"the time {2**63} is not in epoch milliseconds"]
    assert bench.rejects[0]["time"] is None


def test_transient_when_the_tag_says_so_then_it_is_stored() -> None:
    transient = SparkplugMetric("M", DOUBLE, 1.5, is_transient=True)
    place = {"group": "G", "edge_node": "E", "metric": "M", "store_transient": True}
    bench, rows = reading_of({"sparkplug": place}, transient)
    assert rows == [Row("t", 1.5, T0, "good", True)]
    bench, rows = reading_of({}, transient)
    assert rows == []
    assert "the metric is transient" in bench.failed["t"]


def test_transient_when_told_of_one_value_only_then_that_is_rejected() -> None:
    bench = Bench()
    bench.births()
    assert bench.say("NDATA", metric("Flow", 2.0, 1, is_transient=True)) == []
    assert bench.flow(3.0) == [Row(FLOW, 3.0, T0, "good")]
    assert "the metric is transient" in bench.rejects[0]["reasons"][0]


def test_scale_when_the_tag_has_one_then_the_metrics_unit_is_not_its_business() -> None:
    bar = SparkplugMetric("M", DOUBLE, 2.0, unit="bar")
    assert reading_of({"unit": "Cel", "scale": 10}, bar)[1] == [Row("t", 20.0, T0, "good", True)]
    assert reading_of({"unit": "kPa"}, bar)[1] == [Row("t", 200.0, T0, "good", True)]


def test_quality_when_configured_then_it_counts_and_the_worst_wins() -> None:
    bench = Bench(options={"quality_codes": {"300": "uncertain"}})
    bench.births()
    assert bench.say("NDATA", metric("Flow", 2.0, 1, quality=300)) == [Row(FLOW, 2.0, T0, "uncertain")]
    assert bench.say("NDATA", metric("Flow", None, 1, quality=192)) == [Row(FLOW, None, T0, "bad")]


def test_tags_when_two_name_one_metric_then_both_get_it() -> None:
    bench = Bench(tags=[
        {"sensor_id": "a", "unit": "1", "sparkplug": "G/E//M"},
        {"sensor_id": "b", "unit": "1", "scale": 2, "sparkplug": "G/E//M"},
    ])  # fmt: skip
    rows = bench.say("NBIRTH", *node_birth(0), SparkplugMetric("M", DOUBLE, 3.0))
    assert [(row.sensor_id, row.value) for row in rows] == [("a", 3.0), ("b", 6.0)]


def test_element_when_the_metric_is_an_array_then_it_is_read() -> None:
    place = {"group": "G", "edge_node": "E", "metric": "M", "element": 1}
    numbers = SparkplugMetric("M", 23, b"\x01\x00\xff\xff")
    assert reading_of({"sparkplug": place}, numbers)[1] == [Row("t", -1.0, T0, "good", True)]


# -- what waits, at its ends -----------------------------------------------------------------------------------------


def test_deaths_and_births_when_they_waited_for_a_lost_message_then_they_are_taken_when_the_wait_is_over() -> None:
    bench = Bench()
    bench.births()
    assert bench.say("DDEATH", device="D", seq=9, time_ms=T0 + 5) == []
    assert bench.wait(2.1) == [Row(LEVEL, None, T0 + 5, "bad")]
    assert set(bench.failed) == {LEVEL}


def test_births_when_they_waited_and_the_edge_node_is_born_anew_then_they_are_past() -> None:
    bench = Bench()
    bench.births()
    bench.say("DBIRTH", metric("Level", 9, 3, INT16), device="D", seq=9)
    rows = bench.births(bd_seq=1, time_ms=T0 + 9)
    assert [row.value for row in rows] == [1.0, -3.0]


def test_alias_when_the_awaited_birth_does_not_have_it_then_rejected() -> None:
    bench = Bench()
    bench.births()
    assert bench.flow(8.0, alias=99) == []
    bench.births(time_ms=T0 + 1)
    assert bench.rejects[0]["reasons"] == ["unknown alias 99: no birth certificate has it"]
    assert json.loads(bench.rejects[0]["raw"])["alias"] == 99


def test_alias_when_neither_of_its_metrics_is_read_then_nothing_is_rejected() -> None:
    bench = Bench()
    bench.say("NBIRTH", *node_birth(0), metric("Flow", 1.0, 1), metric("X", 1.0, 5), metric("Y", 1.0, 6))
    bench.take("NDATA", payload("NDATA", [metric("X", 2.0, 5)], T0, 9))
    bench.wait(2.1)
    bench.seq = 0
    bench.say("NBIRTH", *node_birth(1), metric("Flow", 1.0, 1), metric("X", 1.0, 6), metric("Y", 1.0, 5))
    assert not bench.rejects


def test_data_of_a_device_that_is_not_read_when_births_do_not_come_then_nothing_is_rejected() -> None:
    bench = Bench()
    bench.take("DDATA", payload("DDATA", [metric("X", 2.0, 5)], T0, 9), "other")
    bench.wait(60)
    assert not bench.rejects


def test_compressed_when_sequence_and_time_are_inside_only_then_they_count() -> None:
    import zlib

    from resources.scada.mqtt.sparkplug.payload.envelope import read_payload
    from resources.scada.mqtt.sparkplug.payload.schema import new_payload

    inner = encode_payload([encode_metric(metric("Flow", 2.0, 1, quality=0))], timestamp=5, seq=6)
    outer = new_payload(uuid="SPBV1.0_COMPRESSED", body=zlib.compress(inner))
    found = read_payload(outer.SerializeToString())
    assert (found.timestamp, found.seq) == (5, 6)
    bench = Bench()
    bench.births()
    inner = encode_payload([encode_metric(metric("Flow", 2.0, 1, quality=0), whole=False)], timestamp=T0, seq=2)
    outer.body = zlib.compress(inner)
    assert bench.take("NDATA", outer.SerializeToString()) == [Row(FLOW, 2.0, T0, "bad")]


def test_store_when_the_disk_does_not_take_it_then_config_error_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    store = SparkplugStore(tmp_path)
    other = sqlite3.connect(tmp_path / "sparkplug.sqlite", isolation_level=None)
    other.execute("CREATE TRIGGER full BEFORE INSERT ON births BEGIN SELECT RAISE(ABORT, 'disk full'); END")
    with pytest.raises(ConfigError, match="sparkplug.sqlite: cannot be written \\(disk full\\): free disk space"):
        store.keep_births([(("G", "E"), 1, "", "[]")])
    assert store.edge_nodes() == {}
    other.close()
    store.close()
    assert store.births() == []
    store.close()
    store.close()
