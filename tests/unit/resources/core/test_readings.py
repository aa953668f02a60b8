from __future__ import annotations

import json

import numpy as np
import pytest

from resources.core.readings import (
    READINGS_SCHEMA,
    REJECTS_SCHEMA,
    STATUS_NAMES,
    TEXTS_SCHEMA,
    ReadingBatch,
    Reject,
    Status,
    readings_batch,
    rejects_batch,
    texts_batch,
)


def test_readings_batch_when_built_from_lists_then_of_the_schema() -> None:
    batch = readings_batch([1, 2], [0, 1], [1.5, float("nan")], [Status.GOOD, Status.BAD], 10)
    assert batch.schema == READINGS_SCHEMA
    assert batch.column("received_at").cast("int64").to_pylist() == [10, 10]
    assert np.isnan(batch.column("value").to_pylist()[1])
    batch.validate(full=True)


def test_readings_batch_when_values_are_missing_then_null() -> None:
    batch = readings_batch([1, 2], [0, 1], [1.5, 0.0], 0, [3, 4], missing=np.array([False, True]))
    assert batch.column("value").to_pylist() == [1.5, None]
    assert batch.column("status").to_pylist() == [0, 0]


def test_readings_batch_when_empty_then_no_rows() -> None:
    assert readings_batch([], [], [], [], []).num_rows == 0


def test_readings_batch_when_lengths_differ_then_refused() -> None:
    with pytest.raises(ValueError, match=r"length|broadcast|rows"):
        readings_batch([1, 2], [0], [1.0, 2.0], 0, 1)


def test_rejects_batch_when_built_then_keeps_what_is_unknown_as_null() -> None:
    batch = rejects_batch(
        [
            Reject("boilers", json.dumps({"v": "x"}), ("not a number",), 5),
            Reject("boilers", '"y"', ("a", "b"), 6, 4, "s"),
        ]
    )
    assert batch.schema == REJECTS_SCHEMA
    rows = batch.to_pylist()
    assert (rows[0]["time"], rows[0]["sensor_id"], rows[0]["reasons"]) == (None, None, ["not a number"])
    assert (rows[1]["sensor_id"], rows[1]["reasons"]) == ("s", ["a", "b"])


def test_rows_when_parts_are_absent_then_counts_the_others() -> None:
    readings = readings_batch([1], [0], [1.0], 0, 1)
    rejects = rejects_batch([Reject("a", "{}", ("why",), 1)] * 2)
    assert ReadingBatch("a", readings=readings, rejects=rejects).rows == 3
    assert ReadingBatch("a").rows == 0


def test_status_names_when_indexed_by_status_then_the_tables_words() -> None:
    assert [STATUS_NAMES[s] for s in Status] == ["good", "uncertain", "bad"]


def test_texts_schema_when_compared_then_only_the_value_differs() -> None:
    assert [f.name for f in TEXTS_SCHEMA] == [f.name for f in READINGS_SCHEMA]
    assert TEXTS_SCHEMA.field("value").type == "string"


def test_texts_batch_when_built_then_of_the_schema_and_fit_for_the_database() -> None:
    batch = texts_batch([1, 2, 3], [4, 5, 4], ["run\x00ning", None, "\ud83d"], [0, 2, 0], 9)
    assert batch.schema == TEXTS_SCHEMA
    assert batch.column("value").to_pylist() == ["running", None, "?"]
    assert batch.column("sensor_key").to_pylist() == [4, 5, 4]
    assert batch.column("received_at").cast("int64").to_pylist() == [9, 9, 9]
    batch.validate(full=True)
