from typing import Any

import pytest

from gl_assets.transforms.corrections.records import from_file, parse_settings, with_values
from resources.core.errors import ConfigError, DataError

RECORD = {"Unit": "FURLONG", "Header": {"Day": "2026-11-18"}, "Lines": [{"Amount": 1}]}


def test_settings_when_read_then_json_is_taken_as_such() -> None:
    found = parse_settings(["Unit=MWH", "Amount=12.5", "Flag=null", "Text=a=b", "Empty="])
    assert found == {"Unit": "MWH", "Amount": 12.5, "Flag": None, "Text": "a=b", "Empty": ""}


@pytest.mark.parametrize("setting", ["Unit", "=1"])
def test_setting_when_it_is_none_then_it_is_refused(setting: str) -> None:
    with pytest.raises(ConfigError, match="write PATH=VALUE"):
        parse_settings([setting])


def test_values_when_set_then_the_rest_and_the_original_stay() -> None:
    found = with_values(RECORD, {"Unit": "MWH", "Header.Day": "2026-11-19", "Lines.0.Amount": 2, "New.Deep": 1})
    assert found == {
        "Unit": "MWH", "Header": {"Day": "2026-11-19"}, "Lines": [{"Amount": 2}], "New": {"Deep": 1},
    }  # fmt: skip
    assert RECORD["Unit"] == "FURLONG"
    assert with_values({"a": [1, 2]}, {"a.1": 3}) == {"a": [1, 3]}


@pytest.mark.parametrize("path", ["Unit.x", "Unit.x.y", "Lines.4.Amount", "Lines.first", "Header.Day.x"])
def test_value_when_its_path_leads_nowhere_then_it_is_refused(path: str) -> None:
    with pytest.raises(DataError, match=path.split(".", maxsplit=1)[0]):
        with_values(RECORD, {path: 1})


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"rejected_id": 1, "Unit": "MWH", "system": "sap"}, {**RECORD, "Unit": "MWH"}),
        ({"rejected_id": 1, "raw": {"a": 1}}, {"a": 1}),
        ({"rejected_id": 1, "raw": '{"a": 1}', "reasons": "x"}, {"a": 1}),
    ],
)
def test_record_when_a_file_gives_it_then_by_columns_or_whole(row: dict[str, Any], found: dict[str, Any]) -> None:
    assert from_file(row, RECORD, name="f") == found


@pytest.mark.parametrize("row", [{"raw": "text"}, {"raw": [1]}, {"raw": {}, "Unit": "x"}])
def test_record_when_a_file_gives_it_wrongly_then_it_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="is the whole record"):
        from_file({"rejected_id": 1, **row}, RECORD, name="f")
