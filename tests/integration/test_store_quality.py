"""Scores, defects and what is known of sensors: what stands in the database once windows have been stored."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from gl_assets.scada.persist import WindowOutcome, persist_window
from gl_assets.scada.quality_metadata import quality_metadata, quality_plot, recent_scores
from resources.core.clock import to_micros
from resources.core.errors import UnreachableError
from resources.core.readings import ReadingBatch, readings_batch
from resources.core.rules import RULES
from resources.core.windows import partition_key
from resources.databases.timescale.quality.partition_scores import WHOLE, scores_of
from resources.databases.timescale.window_store.readings import ReadingsStore
from resources.embedded.postgres import EmbeddedPostgres
from resources.integrations import Integrations
from resources.window_buffer.contents import WindowContents
from resources.window_buffer.reading.in_memory import assemble_batches
from tests.conftest import fresh_database
from tests.integration.store_builders import query

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
NAN = float("nan")

CONFIG = Integrations.model_validate(
    {
        "site": "north",
        "start": START,
        "window": "1m",
        "quality": {"max_rejected_share": 0.9},
        "sources": {
            "plc": {
                "kind": "modbus",
                "host": "localhost",
                "poll_interval": "20s",
                "tags": [
                    {"sensor_id": "t", "unit": "Cel", "maximum": 500, "max_rate": 10, "address": 0, "area": "hall"},
                    {"sensor_id": "f", "unit": "bar", "flat_after": "90s", "address": 2, "equipment": "boiler_1"},
                ],
            },
            "lab": {"kind": "modbus", "host": "localhost", "tags": [{"sensor_id": "x", "unit": "bar", "address": 0}]},
        },
    }
)

Found = dict[str, list[tuple[int, float]]]
"""sensor_id -> (seconds after the window's start, value)."""


def contents(window: int, found: Found, *, revision: int = 1, **changes: object) -> WindowContents:
    """What the buffer holds of the n-th window; NaN is no value, with status bad."""
    catalog = CONFIG.catalog()
    start = START + window * MINUTE
    rows = [(catalog.key(name), second, value) for name, some in found.items() for second, value in some]
    at = to_micros(start) + np.array([row[1] for row in rows], np.int64) * 1_000_000
    value = np.array([row[2] for row in rows], np.float64)
    missing = np.isnan(value)
    batch = readings_batch(at, [r[0] for r in rows], value, np.where(missing, 2, 0), at + 1000, missing=missing)
    tables = assemble_batches([ReadingBatch("plc", readings=batch)], catalog.sensors, start, "edge")
    held = WindowContents(
        collector="edge",
        window_start=start,
        window_end=start + MINUTE,
        revision=revision,
        sensors=tables.sensors,
        readings=tables.readings,
        texts=tables.texts,
        rejects=tables.rejects,
        deduplicated=tables.deduplicated,
        complete=True,
        partial=False,
        expected_sources=("lab", "plc"),
    )
    return replace(held, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    yield from fresh_database(postgres)


@pytest.fixture
def store(url: str) -> Iterator[ReadingsStore]:
    with ReadingsStore(url) as opened:
        opened.connection.execute(
            "TRUNCATE scada.readings, scada.window_ledger, scada.window_sources, scada.rejected_readings,"
            " scada.sensor_metadata, quality.partition_scores"
        )
        yield opened


def persist(store: ReadingsStore, window: WindowContents) -> WindowOutcome:
    return persist_window(window, store, CONFIG, run_id="run")


def defects(url: str, sensor: str) -> list[tuple[float, list[str]]]:
    return query(url, f"SELECT value, defects FROM scada.sensor_readings WHERE sensor_id = '{sensor}' ORDER BY time")


def scores(store: ReadingsStore, window: int = 0) -> dict[str, tuple[float, ...]]:
    found = scores_of(store.connection, "scada/sensor_readings", site="north", source=None)
    key = partition_key(START + window * MINUTE)
    return {
        s.source: (s.rows, s.validity, s.completeness, s.consistency, s.uniqueness, s.score)
        for s in found
        if s.partition == key
    }


def test_defects_when_stored_then_the_view_names_the_rules(store: ReadingsStore, url: str):
    persist(store, contents(0, {"t": [(0, 20.0), (1, 90.0), (40, 21.0)]}))

    assert defects(url, "t") == [(20.0, []), (90.0, ["rate_of_change"]), (21.0, [])]


def test_defects_when_all_bits_are_set_then_the_database_knows_the_names_of_all_rules(url: str):
    assert query(url, f"SELECT scada.defect_names(({(1 << len(RULES)) - 1})::int2)") == [(list(RULES),)]


def test_rules_of_neighbours_when_a_window_follows_another_then_they_look_across_the_boundary(
    store: ReadingsStore, url: str
):
    persist(store, contents(0, {"t": [(0, 20.0), (59, 21.0)], "f": [(0, 5.0), (30, 7.0), (59, 7.0)]}))

    persist(store, contents(1, {"t": [(0, 90.0), (30, 30.0)], "f": [(0, 7.0), (55, 7.0), (59, 7.0)]}))

    assert defects(url, "t")[2:] == [(90.0, ["rate_of_change"]), (30.0, [])]
    # the same since second 30 of the window before
    assert [found for _, found in defects(url, "f")[3:]] == [[], [], []]

    persist(store, contents(2, {"f": [(1, 7.0), (30, 7.0)]}))

    assert [found for _, found in defects(url, "f")[6:]] == [["flat_line"], ["flat_line"]]


def test_window_when_stored_again_then_defects_and_scores_are_the_same(store: ReadingsStore, url: str):
    persist(store, contents(0, {"t": [(59, 20.0)], "f": [(10, 7.0)]}))
    persist(store, contents(1, {"t": [(0, 90.0)], "f": [(45, 7.0)]}))
    before = query(url, "SELECT * FROM scada.sensor_readings ORDER BY sensor_id, time"), scores(store, 1)

    outcome = persist(store, contents(1, {"t": [(0, 90.0)], "f": [(45, 7.0)]}, revision=2))

    assert outcome.stored
    assert (query(url, "SELECT * FROM scada.sensor_readings ORDER BY sensor_id, time"), scores(store, 1)) == before


def test_scores_when_a_polled_source_lacks_polls_and_another_is_silent_then_both_show(store: ReadingsStore):
    # a poll every 20 s: two can be expected of each tag
    outcome = persist(store, contents(0, {"t": [(0, 20.0), (20, 21.0), (40, 22.0)]}))

    found = scores(store)
    assert found["plc"] == pytest.approx((3, 100, 75, 100, 100, 92.5))
    assert found["lab"] == (0, 0, 0, 0, 0, 0)
    assert found[WHOLE] == pytest.approx((3, 100, 100 * 3 / 63, 100, 100, 70 + 30 * 3 / 63), rel=1e-5)
    assert outcome.scores[WHOLE].score == pytest.approx(found[WHOLE][-1], rel=1e-5)


def test_scores_when_the_window_is_partial_then_no_polls_are_expected(store: ReadingsStore):
    persist(store, contents(0, {"t": [(0, 20.0)]}, partial=True))

    assert scores(store) == {WHOLE: (1, 100, 100, 100, 100, 100), "plc": (1, 100, 100, 100, 100, 100)}


def test_scores_when_rows_are_rejected_or_bad_then_they_count(store: ReadingsStore):
    found = {"t": [(0, 20.0), (20, 900.0), (40, NAN)], "f": [(0, 1.0)]}

    outcome = persist(store, contents(0, found, partial=True))

    assert scores(store)["plc"] == pytest.approx((3, 50, 50, 75, 100, 60))
    assert outcome.reasons == {"900 Cel is above the maximum of 500 Cel": 1, "900 Cel is further from the last value than 10 Cel/s allow": 1}  # fmt: skip


def test_scores_when_history_is_merged_then_all_that_stands_counts(store: ReadingsStore):
    persist(store, contents(0, {"t": [(0, 20.0), (1, 300.0)]}, partial=True))
    history = contents(0, {"t": [(30, 23.0), (40, 24.0)]}, partial=True, collector="edge-history", complete=False)

    persist(store, history)

    assert scores(store)["plc"] == pytest.approx((4, 100, 100, 87.5, 100, 97.5))


def test_scores_when_the_revision_stands_already_then_what_stands_is_scored(store: ReadingsStore):
    persist(store, contents(0, {"t": [(0, 20.0)]}, partial=True))

    outcome = persist(store, contents(0, {"t": [(0, 20.0), (1, 300.0)]}, partial=True))

    assert not outcome.stored
    assert outcome.scores[WHOLE].rows == scores(store)[WHOLE][0] == 1


def test_sensor_metadata_when_stored_then_the_view_joins_it_and_only_changes_are_written(
    store: ReadingsStore, url: str
):
    persist(store, contents(0, {"t": [(0, 20.0)], "f": [(0, 1.0)]}))
    first = query(url, "SELECT sensor_id, area, equipment, maximum, source, xmin FROM scada.sensor_metadata ORDER BY 1")

    persist(store, contents(1, {"t": [(0, 20.0)]}))

    assert [row[:-1] for row in first] == [
        ("f", None, "boiler_1", None, "plc"),
        ("t", "hall", None, 500.0, "plc"),
        ("x", None, None, None, "lab"),
    ]
    again = query(url, "SELECT sensor_id, area, equipment, maximum, source, xmin FROM scada.sensor_metadata ORDER BY 1")
    assert again == first
    assert query(url, "SELECT area FROM scada.enriched_readings WHERE sensor_id = 't'") == [("hall",)] * 2

    moved = CONFIG.model_copy(update={"site": "south"})
    persist_window(contents(2, {"t": [(0, 20.0)]}), store, moved, run_id="run")
    assert query(url, "SELECT DISTINCT site FROM scada.sensor_metadata") == [("south",)]


def test_metadata_when_a_window_is_reported_then_it_has_scores_shares_and_reasons(store: ReadingsStore):
    persist(store, contents(0, {"t": [(0, 20.0)]}, partial=True))
    outcome = persist(store, contents(1, {"t": [(0, 20.0), (1, 900.0), (2, 60.0)]}, partial=True))

    shown = quality_metadata(outcome)

    assert shown["quality_score"] == pytest.approx(66.667, abs=0.001)
    assert (shown["quality_level"], shown["validity"]) == ("FAIR", pytest.approx(66.667, abs=0.001))
    assert shown["lowered"] == {"rate_of_change": 1}
    assert "900 Cel is above the maximum of 500 Cel" in shown["reasons"]
    assert sum(v for name, v in shown.items() if name.startswith("step_")) == pytest.approx(100, abs=0.1)
    assert "| plc | 2 |" in shown["scores_by_source"].md_str


def test_plot_when_windows_are_scored_then_it_draws_those_up_to_the_window(store: ReadingsStore):
    for window in range(3):
        persist(store, contents(window, {"t": [(0, 20.0)]}))

    drawn = recent_scores(store.connection, "north", partition_key(START + MINUTE))

    assert [s.partition for s in drawn if s.source == WHOLE] == [partition_key(START + n * MINUTE) for n in range(2)]
    assert quality_plot(drawn).md_str.startswith("![quality score of the last windows](data:image/png;base64,")
    assert recent_scores(store.connection, "elsewhere", partition_key(START)) == []


def test_calibration_when_configured_then_it_comes_before_the_conversion(store: ReadingsStore, url: str):
    certificate = {"sensor_id": "f", "certificate": "C-1", "valid_from": START, "linear": {"factor": 2.0, "offset": 1}}
    data = CONFIG.model_dump(mode="json")
    data["sources"]["plc"]["tags"][1]["canonical_unit"] = "kPa"
    config = Integrations.model_validate({**data, "calibrations": [certificate]})

    persist_window(contents(0, {"f": [(0, 1.0)]}), store, config, run_id="run")

    assert query(url, "SELECT value, calibrated_value, calibrated_unit FROM scada.sensor_readings") == [
        (1.0, pytest.approx(300.0), "kPa")
    ]


def test_rejects_of_the_collector_when_a_row_overtook_another_then_its_score_is_lower(store: ReadingsStore, url: str):
    persist(store, contents(0, {"f": [(0, 1.0), (0, 2.0), (5, 3.0)]}, partial=True))

    assert defects(url, "f") == [(2.0, ["duplicate"]), (3.0, [])]
    assert scores(store)["plc"][4] == pytest.approx(100 * 2 / 3)


def test_readings_when_a_window_has_none_then_it_is_scored_by_what_was_expected(store: ReadingsStore):
    empty = contents(0, {"t": [(0, 1.0)]})
    empty = replace(empty, readings=empty.readings.slice(0, 0), sensors=empty.sensors.slice(0, 0))
    assert isinstance(empty.readings, pa.Table)

    persist(store, empty)

    assert scores(store)[WHOLE] == (0, 0, 0, 0, 0, 0)


def test_transaction_when_the_database_goes_away_then_it_is_told_and_the_next_one_connects_again(store: ReadingsStore):
    with pytest.raises(UnreachableError, match="lost within a transaction"), store.transaction() as connection:
        connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    assert persist(store, contents(0, {"t": [(0, 20.0)]})).stored
