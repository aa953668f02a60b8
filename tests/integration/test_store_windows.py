"""One window after another into a real database: what stands in the tables afterwards."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from resources.core.errors import UnreachableError
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.databases.timescale.window_store.window import SensorOrigin, SourceNumbers
from tests.integration.store_builders import SENSORS, START, query, rejects, rows, stored, texts, window

FLOW, PRESSURE = (sensor.sensor_id for sensor in SENSORS)


@pytest.fixture
def store(database_url: str) -> Iterator[ReadingsStore]:
    with ReadingsStore(database_url) as opened:
        yield opened


def test_window_when_first_stored_then_the_view_shows_every_public_column(store: ReadingsStore, database_url: str):
    result = store.replace_window(window([(0, 10, 1.5), (1, 20, None)]))

    assert (result.stored, result.rows, result.written, result.deleted) == (True, 2, 2, 0)
    assert query(
        database_url,
        "SELECT sensor_id, time, value, unit, calibrated_value, calibrated_unit, status, quality_score, quality_level,"
        " source, validated, ingested_at, site, collector FROM scada.sensor_readings ORDER BY time",
    ) == [
        (
            FLOW,
            START + timedelta(seconds=10),
            1.5,
            "kg/h",
            3.0,
            "kg/s",
            "good",
            100.0,
            "EXCELLENT",
            "opc_ua_1",
            True,
            START + timedelta(seconds=11),
            "north",
            "edge",
        ),
        (
            PRESSURE,
            START + timedelta(seconds=20),
            None,
            "bar",
            None,
            "bar",
            "bad",
            0.0,
            "INVALID",
            "modbus_1",
            True,
            START + timedelta(seconds=21),
            "north",
            "edge",
        ),
    ]


def test_window_when_stored_then_the_ledger_says_so(store: ReadingsStore, database_url: str):
    store.replace_window(
        window([(0, 10, 1.0), (1, 10, 2.0)], 3, rejects=rejects([{}]), deduplicated={"opc_ua_1": 4}, partial=True)
    )

    assert query(
        database_url,
        "SELECT site, collector, window_start, stored_revision, rows, rejected, deduplicated, complete, partial,"
        " run_id, stored_at > now() - interval '1 hour' FROM scada.window_ledger",
    ) == [("north", "edge", START, 3, 2, 1, 4, True, True, "run-3", True)]
    assert query(
        database_url, "SELECT source, rows, rejected, deduplicated FROM scada.window_sources ORDER BY source"
    ) == [("modbus_1", 1, 1, 0), ("opc_ua_1", 1, 0, 4)]


def test_window_when_empty_then_it_is_stored_with_no_rows(store: ReadingsStore, database_url: str):
    result = store.replace_window(window())

    assert result.stored
    assert query(database_url, "SELECT rows, stored_revision FROM scada.window_ledger") == [(0, 1)]


@pytest.mark.parametrize(("revision", "words"), [(2, "this revision"), (1, "the newer revision 2")])
def test_window_when_stored_at_this_revision_or_later_then_nothing_is_written(
    store: ReadingsStore, database_url: str, revision: int, words: str
):
    store.replace_window(window([(0, 10, 1.0)], 2))

    result = store.replace_window(window([(0, 10, 9.0), (0, 11, 9.0)], revision))

    assert not result.stored
    assert result.why_not is not None
    assert words in result.why_not
    assert "run-2" in result.why_not
    assert stored(database_url) == [(FLOW, 10, 1.0)]


def test_window_when_a_later_revision_comes_then_changed_new_and_vanished_rows_are_right(
    store: ReadingsStore, database_url: str
):
    store.replace_window(window([(0, second, 1.0) for second in range(10)]))

    later = [(0, second, 1.0) for second in range(1, 9)] + [(0, 9, 2.0), (1, 5, 3.0)]
    result = store.replace_window(window(later, 2))

    assert stored(database_url) == [(PRESSURE, 5, 3.0)] + [(FLOW, n, 1.0) for n in range(1, 9)] + [(FLOW, 9, 2.0)]
    assert (result.rows, result.written, result.deleted) == (10, 2, 2)


def test_window_when_every_row_changed_then_all_are_written_again(store: ReadingsStore, database_url: str):
    store.replace_window(window([(0, second, 1.0) for second in range(10)]))
    store.replace_window(window([(1, 3, 5.0)], collector="other"))

    result = store.replace_window(window([(0, second, 2.0) for second in range(10)], 2))

    assert stored(database_url) == [(PRESSURE, 3, 5.0)] + [(FLOW, n, 2.0) for n in range(10)]
    assert (result.written, result.deleted) == (10, 10)


def test_window_when_stored_again_unchanged_then_no_row_is_touched(store: ReadingsStore, database_url: str):
    readings = [(0, 10, 1.0), (1, 10, None)]
    store.replace_window(window(readings))
    before = query(database_url, "SELECT ctid, xmin FROM scada.readings ORDER BY 1")

    result = store.replace_window(window(readings, 2))

    assert (result.rows, result.written, result.deleted) == (2, 0, 0)
    assert query(database_url, "SELECT ctid, xmin FROM scada.readings ORDER BY 1") == before


def test_unit_when_changed_in_the_configuration_then_stored_rows_keep_theirs(store: ReadingsStore, database_url: str):
    store.replace_window(window([(1, 10, 4.0)]))
    kpa = (SENSORS[0], SensorOrigin(PRESSURE, "modbus_1", "kPa", "bar"))
    following = window([(1, 910, 400.0)], sensors=kpa)
    store.replace_window(
        replace(following, window_start=following.window_end, window_end=START + timedelta(minutes=30))
    )

    assert query(database_url, "SELECT value, unit FROM scada.sensor_readings ORDER BY time") == [
        (4.0, "bar"),
        (400.0, "kPa"),
    ]


def test_sensor_when_its_source_changes_inside_a_window_then_each_time_is_stored_once(
    store: ReadingsStore, database_url: str
):
    moved = (SensorOrigin(PRESSURE, "modbus_1", "bar", "bar"), SensorOrigin(PRESSURE, "modbus_2", "bar", "bar"))
    readings = rows([(0, 10, 1.0), (0, 11, 2.0), (0, 12, 7.0), (1, 11, 2.0), (1, 12, 8.0)])
    readings.received_us[3:] += 1_000_000

    result = store.replace_window(window(sensors=moved, readings=readings))

    assert stored(database_url) == [(PRESSURE, 10, 1.0), (PRESSURE, 11, 2.0), (PRESSURE, 12, 8.0)]
    assert result.sources == {"modbus_1": SourceNumbers(1, 1, 1), "modbus_2": SourceNumbers(2, 0, 0)}


# -- two collectors, and merging ---------------------------------------------------------------------------------------


def test_other_collector_when_it_has_the_same_value_then_it_is_stored_once_and_counted(
    store: ReadingsStore, database_url: str
):
    store.replace_window(window([(0, 10, 1.0)]))

    result = store.replace_window(window([(0, 10, 1.0), (0, 11, 2.0)], collector="other", received_s=9))

    assert (result.rows, result.deduplicated, result.rejected) == (1, 1, 0)
    assert query(database_url, "SELECT collector, value FROM scada.sensor_readings ORDER BY time") == [
        ("edge", 1.0),
        ("other", 2.0),
    ]


def test_other_collector_when_it_contradicts_and_arrived_later_then_it_stands_and_the_earlier_is_kept_as_rejected(
    store: ReadingsStore, database_url: str
):
    store.replace_window(window([(0, 10, 1.0), (0, 11, 1.0)]))

    store.replace_window(window([(0, 10, 5.0)], collector="other", received_s=9))

    assert stored(database_url) == [(FLOW, 10, 5.0), (FLOW, 11, 1.0)]
    [(collector, raw, reasons)] = query(database_url, "SELECT collector, raw, reasons FROM scada.rejected_readings")
    assert (collector, raw["value"], raw["unit"], raw["status"]) == ("edge", 1.0, "kg/h", "good")
    assert "the later arrival stands" in reasons[0]
    assert query(database_url, "SELECT collector, rows, rejected FROM scada.window_ledger ORDER BY 1") == [
        ("edge", 1, 1),
        ("other", 1, 0),
    ]


def test_other_collector_when_it_contradicts_and_arrived_earlier_then_it_is_rejected(
    store: ReadingsStore, database_url: str
):
    store.replace_window(window([(0, 10, 1.0)], received_s=9))

    result = store.replace_window(window([(0, 10, 5.0)], collector="other", received_s=1))

    assert stored(database_url) == [(FLOW, 10, 1.0)]
    assert (result.rows, result.rejected) == (0, 1)
    assert query(database_url, "SELECT collector, sequence FROM scada.rejected_readings") == [("other", 1)]


def test_contradiction_when_both_windows_are_stored_again_then_the_outcome_is_the_same(
    store: ReadingsStore, database_url: str
):
    early, late = window([(0, 10, 1.0)]), window([(0, 10, 5.0)], collector="other", received_s=9)
    store.replace_window(early)
    store.replace_window(late)

    store.replace_window(replace(early, revision=2))
    store.replace_window(replace(late, revision=2))

    assert stored(database_url) == [(FLOW, 10, 5.0)]
    assert query(database_url, "SELECT collector, sequence FROM scada.rejected_readings") == [("edge", 1)]
    assert query(database_url, "SELECT collector, rows, rejected FROM scada.window_ledger ORDER BY 1") == [
        ("edge", 0, 1),
        ("other", 1, 0),
    ]


def test_late_readings_when_the_buffer_dropped_the_window_then_they_are_merged_and_the_rest_stays(
    store: ReadingsStore, database_url: str
):
    store.replace_window(window([(0, 10, 1.0), (0, 11, 1.0)], rejects=rejects([{}]), deduplicated={"opc_ua_1": 2}))

    late = window([(0, 11, 7.0), (0, 12, 3.0)], 2, received_s=100, complete=False, rejects=rejects([{"sequence": 9}]))
    result = store.replace_window(late)

    assert stored(database_url) == [(FLOW, 10, 1.0), (FLOW, 11, 7.0), (FLOW, 12, 3.0)]
    assert result.sources == {"modbus_1": SourceNumbers(0, 2, 0), "opc_ua_1": SourceNumbers(3, 1, 2)}
    assert query(database_url, "SELECT complete, rows, rejected, deduplicated FROM scada.window_ledger") == [
        (False, 3, 3, 2)
    ]


def test_merge_when_its_next_revision_holds_the_same_late_readings_then_nothing_is_counted_twice(
    store: ReadingsStore, database_url: str
):
    store.replace_window(window([(0, 10, 1.0)], deduplicated={"opc_ua_1": 2}))
    resent = window([(0, 10, 1.0), (0, 12, 3.0)], 2, received_s=100, complete=False)
    store.replace_window(resent)

    result = store.replace_window(replace(resent, revision=3))

    assert stored(database_url) == [(FLOW, 10, 1.0), (FLOW, 12, 3.0)]
    assert (result.rows, result.rejected, result.deduplicated, result.written) == (2, 0, 3, 0)


def test_rows_when_somebody_wrote_past_the_store_then_the_window_is_stored_all_the_same(
    store: ReadingsStore, database_url: str, caplog: pytest.LogCaptureFixture
):
    store.replace_window(window([(0, 10, 1.0)]))
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM scada.window_ledger")

    with caplog.at_level(logging.WARNING):
        result = store.replace_window(window([(0, 10, 1.0), (0, 11, 2.0)]))

    assert result.stored
    assert stored(database_url) == [(FLOW, 10, 1.0), (FLOW, 11, 2.0)]


# -- texts and rejects -------------------------------------------------------------------------------------------------


def test_texts_when_a_window_is_replaced_then_they_are_too(store: ReadingsStore, database_url: str):
    store.replace_window(window(texts=texts([(1, "start"), (2, "run\x00ning")])))

    result = store.replace_window(window(revision=2, texts=texts([(1, "start"), (3, "stop")])))

    assert query(database_url, "SELECT value, status, source, site FROM scada.text_readings ORDER BY time") == [
        ("start", "good", "opc_ua_1", "north"),
        ("stop", "good", "opc_ua_1", "north"),
    ]
    assert result.sources == {"opc_ua_1": SourceNumbers(2, 0, 0)}


def test_texts_when_another_collector_sends_the_same_times_then_the_rule_of_duplicates_holds(
    store: ReadingsStore, database_url: str
):
    store.replace_window(window(texts=texts([(1, "a"), (2, "b"), (3, "c")], received_s=5)))

    equal, later = texts([(1, "a"), (2, "B")], received_s=9), texts([(3, "C")], received_s=1)
    store.replace_window(window(collector="other", texts=replace_sequence(equal, later)))

    assert query(database_url, "SELECT collector, value FROM scada.text_readings ORDER BY time") == [
        ("edge", "a"),
        ("other", "B"),
        ("edge", "c"),
    ]
    assert query(database_url, "SELECT collector, raw ->> 'value' FROM scada.rejected_readings ORDER BY 1") == [
        ("edge", "b"),
        ("other", "C"),
    ]
    assert query(
        database_url, "SELECT collector, rows, rejected, deduplicated FROM scada.window_ledger ORDER BY 1"
    ) == [("edge", 2, 1, 0), ("other", 1, 1, 1)]


def replace_sequence(first, second):
    import pyarrow as pa

    joined = pa.concat_tables([first, second])
    return joined.set_column(6, joined.schema.field(6), pa.array(range(joined.num_rows), pa.int64()))


def test_rejects_when_a_window_is_stored_again_then_they_are_rewritten(store: ReadingsStore, database_url: str):
    store.replace_window(window(rejects=rejects([{"reasons": ["too high", "and late"]}, {"raw": "\x00 not json"}])))
    store.replace_window(window(revision=2, rejects=rejects([{"sensor_id": None, "time": None, "raw": '{"a": 1}'}])))

    assert query(
        database_url, "SELECT time, sensor_id, raw, reasons, window_start, run_id, site FROM scada.rejected_readings"
    ) == [(None, None, {"a": 1}, ["no"], START, "run-2", "north")]


def test_reject_when_its_original_is_not_json_then_it_is_kept_as_text(store: ReadingsStore, database_url: str):
    store.replace_window(
        window(rejects=rejects([{"raw": "temp=\x00NaN"}, {"raw": '{"a": NaN, "b": "\\ud800"}'}, {"raw": '"\\u0000"'}]))
    )

    assert query(database_url, "SELECT raw FROM scada.rejected_readings ORDER BY sequence") == [
        ("temp=\ufffdNaN",),
        ('{"a": NaN, "b": "\\ud800"}',),
        ("\ufffd",),
    ]


# -- the database goes away --------------------------------------------------------------------------------------------


def test_store_when_its_connection_was_ended_then_it_says_so_and_the_next_window_goes_in(
    store: ReadingsStore, database_url: str
):
    store.replace_window(window([(0, 10, 1.0)]))
    with psycopg.connect(database_url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (store.connection.info.backend_pid,))

    with pytest.raises(UnreachableError, match="nothing of it is stored"):
        store.replace_window(window([(0, 10, 2.0)], 2))
    store.replace_window(window([(0, 10, 2.0)], 2))

    assert stored(database_url) == [(FLOW, 10, 2.0)]
