"""The whole way of a window, from a real buffer to the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gl_assets.scada import persist
from gl_assets.scada.persist import persist_window
from gl_assets.transforms.pipeline.run import STEPS
from resources.core.clock import ManualClock, to_micros
from resources.core.errors import DataError
from resources.core.readings import ReadingBatch, Reject, Status, readings_batch, rejects_batch
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.reader import BufferReader
from tests.integration.store_builders import query

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

CONFIG = Integrations.model_validate(
    {
        "site": "north",
        "start": START,
        "window": "5m",
        "quality": {"max_rejected_share": 0.5},
        "sources": {
            "plc": {
                "kind": "modbus",
                "host": "localhost",
                "tags": [
                    {"sensor_id": "t", "unit": "Cel", "canonical_unit": "K", "maximum": 500, "address": 0},
                    {"sensor_id": "p", "unit": "bar", "address": 2},
                ],
            },
            "silent": {
                "kind": "modbus",
                "host": "localhost",
                "tags": [{"sensor_id": "q", "unit": "bar", "address": 0}],
            },
        },
    }
)


@pytest.fixture
def store(database_url: str) -> Iterator[ReadingsStore]:
    with ReadingsStore(database_url) as opened:
        yield opened


@pytest.fixture
def contents(tmp_path: Path) -> WindowContents:
    """Two good readings, one too hot, one bad without value, one reject of the collector, one repetition."""
    clock = ManualClock(START)
    buffer = WindowBuffer(
        tmp_path, collector="edge", grid=CONFIG.grid, start=START, catalog=CONFIG.catalog(), clock=clock
    )
    at = to_micros(START) + np.array([1, 2, 3, 1, 1]) * 1_000_000
    statuses = [Status.GOOD, Status.GOOD, Status.BAD, Status.GOOD, Status.GOOD]
    buffer.append(
        ReadingBatch(
            "plc",
            readings=readings_batch(at, [0, 0, 0, 1, 1], [20.0, 900.0, np.nan, 4.0, 4.0], statuses, at + 1000),
            rejects=rejects_batch([Reject("plc", "garbage", ("not a number",), int(at[0]), int(at[0]), "t")]),
        )
    )
    clock.advance(10)
    buffer.close_all()
    buffer.close()
    return BufferReader(tmp_path).read(START)


def test_persist_when_a_window_has_good_and_bad_readings_then_each_is_where_it_belongs(
    contents: WindowContents, store: ReadingsStore, database_url: str
):
    outcome = persist_window(contents, store, CONFIG, run_id="run")

    assert (outcome.stored, outcome.rows, outcome.rejected, outcome.deduplicated) == (True, 3, 2, 1)
    assert outcome.reasons == {"not a number": 1, "900 Cel is above the maximum of 500 Cel": 1}
    assert outcome.missing_sources == ("silent",)
    assert outcome.good_share == pytest.approx(2 / 3)
    assert (outcome.revision, outcome.complete, outcome.partial) == (1, True, True)
    assert outcome.seconds.keys() == {*STEPS, "enrich", "output", "store"}
    assert query(
        database_url,
        "SELECT sensor_id, value, unit, round(calibrated_value::numeric, 2)::float8, calibrated_unit, status,"
        " quality_level FROM scada.sensor_readings ORDER BY sensor_id, time",
    ) == [
        ("p", 4.0, "bar", 4.0, "bar", "good", "EXCELLENT"),
        ("t", 20.0, "Cel", 293.15, "K", "good", "EXCELLENT"),
        ("t", None, "Cel", None, "K", "bad", "INVALID"),
    ]
    assert query(database_url, "SELECT source, raw -> 'value', reasons FROM scada.rejected_readings ORDER BY raw") == [
        ("plc", None, ["not a number"]),
        ("plc", 900.0, ["900 Cel is above the maximum of 500 Cel"]),
    ]


def test_persist_when_repeated_then_it_says_why_nothing_was_written(contents: WindowContents, store: ReadingsStore):
    persist_window(contents, store, CONFIG, run_id="run")

    outcome = persist_window(contents, store, CONFIG, run_id="again")

    assert not outcome.stored
    assert "was stored at" in str(outcome.why_not)
    assert outcome.rows == 0


def test_persist_when_too_many_are_rejected_then_nothing_is_stored_and_what_stood_stays(
    contents: WindowContents, store: ReadingsStore, database_url: str
):
    persist_window(contents, store, CONFIG, run_id="run")
    strict = CONFIG.model_copy(update={"quality": CONFIG.quality.model_copy(update={"max_rejected_share": 0.1})})

    with pytest.raises(
        DataError, match=r"2 of 5 rows are rejected \(40\.0%, limit 10\.0%\).*above the maximum"
    ) as caught:
        persist_window(replace(contents, revision=2), store, strict, run_id="run")

    assert "2026-11-22T10:00" in str(caught.value)
    assert query(database_url, "SELECT stored_revision, rows FROM scada.window_ledger") == [(1, 3)]


def late(folder: Path, buffer: WindowBuffer, clock: ManualClock, count: int) -> WindowContents:
    """Let rejected messages come for a window that the buffer has dropped, and return what it asks to be merged."""
    moment = to_micros(START) + 60_000_000
    rejects = [Reject("plc", f"late {n}", ("not a number",), to_micros(clock.now()), moment, "t") for n in range(count)]
    buffer.append(ReadingBatch("plc", rejects=rejects_batch(rejects)))
    buffer.commit()
    for _ in range(40):
        clock.advance(1)
        buffer.tick()
    return BufferReader(folder).read(START)


def test_persist_when_a_late_message_is_rejected_then_it_counts_among_what_stands_of_the_window(
    tmp_path: Path, store: ReadingsStore, database_url: str
):
    clock = ManualClock(START)
    with WindowBuffer(
        tmp_path, collector="edge", grid=CONFIG.grid, start=START, catalog=CONFIG.catalog(), clock=clock
    ) as buffer:
        at = to_micros(START) + np.arange(10) * 1_000_000
        batch = readings_batch(at, [1] * 10, [4.0] * 10, [Status.GOOD] * 10, at + 1000)
        buffer.append(ReadingBatch("plc", readings=batch))
        buffer.commit()
        clock.advance(310)
        buffer.tick()
        assert persist_window(BufferReader(tmp_path).read(START), store, CONFIG, run_id="run").stored
        buffer.stored_revisions({START: 1})
        clock.advance(86_400)
        buffer.tick()
        # 4 of 14, then the same and 5 more, 9 of 19, though the buffer holds none of the good ones any more
        for number, count in enumerate((4, 5), start=2):
            contents = late(tmp_path, buffer, clock, count)
            assert (contents.complete, contents.readings.num_rows) == (False, 0)
            assert persist_window(contents, store, CONFIG, run_id=f"late {number}").stored
        refused = late(tmp_path, buffer, clock, 2)
        with pytest.raises(DataError, match=r"11 of 21 rows are rejected \(52\.4%, limit 50\.0%\)"):
            persist_window(refused, store, CONFIG, run_id="late 4")
    assert query(database_url, "SELECT rows, rejected FROM scada.window_ledger") == [(10, 9)]


def test_persist_when_a_row_would_break_the_schema_then_nothing_is_stored(
    contents: WindowContents, store: ReadingsStore, database_url: str, monkeypatch: pytest.MonkeyPatch
):
    def broken(judged: object, sensors: object) -> pd.DataFrame:
        return pd.DataFrame({"value": [1.0]})

    monkeypatch.setattr(persist, "readings_frame", broken)

    with pytest.raises(DataError, match="break the schema"):
        persist_window(contents, store, CONFIG, run_id="run")

    assert query(database_url, "SELECT count(*) FROM scada.readings") == [(0,)]


def test_persist_when_the_window_is_empty_then_it_is_stored_with_all_sources_missing(
    tmp_path: Path, store: ReadingsStore, database_url: str
):
    clock = ManualClock(START)
    buffer = WindowBuffer(
        tmp_path, collector="edge", grid=CONFIG.grid, start=START, catalog=CONFIG.catalog(), clock=clock
    )
    for _ in range(7):
        clock.advance(60)
        buffer.tick()
    buffer.close()

    outcome = persist_window(BufferReader(tmp_path).read(START), store, CONFIG, run_id="run")

    assert (outcome.stored, outcome.rows, outcome.good_share) == (True, 0, 1.0)
    assert set(outcome.missing_sources) == {"plc", "silent"}
    assert START + timedelta(minutes=5) not in {
        row[0] for row in query(database_url, "SELECT window_start FROM scada.window_ledger")
    }
