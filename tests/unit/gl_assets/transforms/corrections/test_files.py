from datetime import UTC, datetime
from typing import Any

import pytest

from gl_assets.transforms.corrections.files import ID, READING_COLUMNS, lay_over, read_rows, write_csv
from gl_assets.transforms.corrections.originals import original_readings
from resources.core.errors import DataError
from tests.unit.gl_assets.transforms.corrections.builders import reading


def laid(**cells: Any) -> dict[str, Any]:
    rows = original_readings([reading(400.0), reading(401.0)])
    found = lay_over(rows, ["a", "b"], [{ID: "b", **cells}], name="f.csv").to_pylist()
    assert found[0] == rows.to_pylist()[0]
    changed: dict[str, Any] = found[1]
    return changed


@pytest.mark.parametrize(
    ("cells", "changed"),
    [
        ({"value": "40.5"}, {"value": 40.5, "text_value": "40.5"}),
        ({"value": 40.5}, {"value": 40.5, "text_value": None}),
        ({"value": True}, {"value": 1.0}),
        ({"value": "null", "status": "bad"}, {"value": None, "status": "bad"}),
        ({"value": None}, {"value": None, "text_value": None}),
        ({"value": "RUN"}, {"value": None, "text_value": "RUN"}),
        ({"time": "2026-11-22T11:15:00+01:00"}, {"time": datetime(2026, 11, 22, 10, 15, tzinfo=UTC)}),
        ({"unit": "Pa", "sensor_id": "B2/P"}, {"unit": "Pa", "sensor_id": "B2/P", "value": 401.0}),
        ({"unit": "psig"}, {"unit": "[psi]{gauge}", "value": 401.0}),
        ({"source": "x", "reasons": "y"}, {"source": "opc_ua_1"}),
    ],
)
def test_cells_when_laid_over_then_they_take_the_place_of_what_they_say(
    cells: dict[str, Any], changed: dict[str, Any]
) -> None:
    found = laid(**cells)
    assert {name: found[name] for name in changed} == changed


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ({"valve": 1}, "column 'valve' is none of sensor_id, time, value, unit, status"),
        ({"value": "inf"}, "a value is finite"),
        ({"value": [1]}, "write a number, a text, or null"),
        ({"time": "noon"}, "write a time as"),
        ({"time": "2026-11-22T10:15:00"}, "a time needs its zone"),
        ({"unit": "a\0"}, "no database holds"),
        ({"unit": "cups of tea"}, "unknown unit 'cups of tea'"),
        ({"status": "fine"}, "write one of good, uncertain, bad"),
    ],
)
def test_cells_when_they_cannot_be_read_then_file_row_and_column_are_named(cells: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message) as found:
        laid(**cells)
    assert str(found.value).startswith("f.csv")


def test_rows_when_one_is_named_twice_then_it_is_refused() -> None:
    rows = original_readings([reading(400.0)])
    with pytest.raises(DataError, match="a stands twice"):
        lay_over(rows, ["a"], [{ID: "a"}, {ID: "a"}], name="f")


def test_csv_when_written_and_read_then_texts_are_the_same_and_no_formula_runs() -> None:
    texts = {"sensor_id": "=1+1", "unit": "-", "time": datetime(2026, 11, 22, tzinfo=UTC), "value": -4.5}
    text = write_csv([{ID: "a", **texts, "reasons": ["x", "y"], "more": 1}], (ID, *READING_COLUMNS, "reasons"))
    assert "\na,'=1+1,2026-11-22T00:00:00Z,-4.5,'-,,x; y\n" in text
    (row,) = read_rows(text.encode(), name="f")
    assert row == {
        ID: "a", "sensor_id": "=1+1", "time": "2026-11-22T00:00:00Z", "value": "-4.5", "unit": "-", "reasons": "x; y",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "not UTF-8"),
        (b"value\n1\n", "no column rejected_id"),
        (b"rejected_id,value\n,1\n", "row 1 has no rejected_id"),
        (b"rejected_id,value\na,1,2\n", "more cells than the header"),
        (b'rejected_id,value\na,"1\n', "not CSV"),
        (b"[{", "not JSON"),
        (b"[1]", "a list of objects"),
        (b'[{"value": 1}]', "row 1 has no rejected_id"),
    ],
)
def test_file_when_it_is_none_then_it_says_what_is_wrong(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_rows(content, name="f")


def test_file_when_it_is_json_then_nulls_stay() -> None:
    assert read_rows(b'\xef\xbb\xbf [{"rejected_id": "a", "value": null}]', name="f") == [{ID: "a", "value": None}]
