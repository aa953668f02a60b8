from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from resources.core.configuration.settings import TagConfig
from resources.scada.connector import FoundItem
from resources.scada.discovery import Comparison, KnownTag, compare, known_tags
from resources.scada.discovery_config import Discover
from resources.scada.mqtt.config import MqttTag
from resources.scada.opc_ua.config import OpcUaTag
from resources.scada.tag_lists import EMPTY, TagList, as_tag, read_tag_list, with_discovered, write_tag_list

TODAY = date(2026, 11, 22)


def item(node: str, path: str, unit: str | None = "bar", **keys: object) -> FoundItem:
    return FoundItem({"node_id": node}, path, "Double", unit, **keys)  # type: ignore[arg-type]


def known(sensor_id: str, node: str, path: str | None = None, **keys: bool) -> KnownTag:
    return KnownTag(sensor_id, {"node_id": node}, path, **keys)


def seen(found: list[FoundItem], tags: list[KnownTag], rules: Discover | None = None) -> Comparison:
    return compare("plc", rules or Discover(), found, tags, taken=["other.tag"])


@pytest.mark.parametrize(
    ("include", "exclude", "path", "wanted"),
    [
        (["**"], [], "a/b/c", True),
        (["a/*"], [], "a/b", True),
        (["a/*"], [], "a/b/c", False),
        (["a/**"], [], "a/b/c", True),
        (["**/c"], [], "a/b/c", True),
        (["**/c"], [], "c", True),
        (["a/**/c"], [], "a/c", True),
        (["Boiler?/Drum*"], [], "Boiler1/DrumLevel", True),
        (["Boiler?/Drum*"], [], "Boiler12/DrumLevel", False),
        (["a.b/*"], [], "axb/c", False),
        (["**"], ["**/Diagnostics/**"], "a/Diagnostics/b", False),
        (["**"], ["**/*Alarm"], "a/HighAlarm", False),
        (["x/**", "a/**"], ["a/b"], "a/c", True),
    ],
)
def test_pattern_when_matched_then_stars_keep_to_their_levels(
    include: list[str], exclude: list[str], path: str, wanted: bool
) -> None:
    assert Discover.model_validate({"include": include, "exclude": exclude}).wants(path) is wanted


@pytest.mark.parametrize(
    ("template", "path", "sensor_id"),
    [
        ("{path}", "Boiler 1/Drum/Level", "Boiler_1.Drum.Level"),
        ("{source}:{parent}.{name}", "Boiler 1/Drum/Level", "plc:Drum.Level"),
        ("{parent}{name}", "Level", "Level"),
        ("{name}", "a/°C!", "t_C_"),
        ("{path}", "x/" * 100, ("x." * 100)[:128]),
    ],
)
def test_sensor_id_when_made_of_a_path_then_it_is_a_valid_one(template: str, path: str, sensor_id: str) -> None:
    made = Discover(sensor_id=template).sensor_id_of("plc", path)
    assert made == sensor_id
    TagConfig(sensor_id=made, unit="1")


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{source}", "every tag would be called the same"),
        ("{level}", "{level} is unknown"),
        ("{path", "not a template"),
    ],
)
def test_template_when_wrong_then_refused(template: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Discover(sensor_id=template)


def test_items_when_no_tag_is_of_them_then_new_under_the_name_of_the_template() -> None:
    found = seen(
        [item("n1", "a/b"), item("n2", "a/c"), item("n3", "z")], [known("x", "n1")], Discover(include=("a/*",))
    )
    assert [(sensor_id, one.path) for sensor_id, one in found.new] == [("a.c", "a/c")]
    assert (found.offered, found.wanted, found.missing, dict(found.paths)) == (3, 2, (), {"x": "a/b"})


def test_item_when_its_path_changed_then_renamed_and_not_new() -> None:
    found = seen([item("n1", "a/new")], [known("x", "n1", "a/old")])
    assert [(one.sensor_id, one.before, one.item.path) for one in found.renamed] == [("x", "a/old", "a/new")]
    assert (found.new, found.missing, found.moved) == ((), (), ())


def test_item_when_its_address_changed_then_moved_and_not_new() -> None:
    found = seen([item("n2", "a/b")], [known("x", "n1", "a/b")])
    assert [(one.sensor_id, one.before, one.item.address["node_id"]) for one in found.moved] == [
        ("x", "node_id=n1", "n2")
    ]
    assert (found.new, found.missing, found.renamed) == ((), (), ())


def test_item_when_its_path_is_not_its_own_then_nothing_is_guessed() -> None:
    found = seen([item("n2", "a/b"), item("n3", "a/b")], [known("x", "n1", "a/b")])
    assert found.missing == ("x",)
    assert [one.sensor_id for one in found.conflicts] == ["a.b"]


def test_items_when_they_swapped_their_paths_then_both_are_renamed() -> None:
    found = seen([item("n1", "b"), item("n2", "a")], [known("x", "n1", "a"), known("y", "n2", "b")])
    assert [one.sensor_id for one in found.renamed] == ["x", "y"]
    assert not found.moved


def test_tag_when_it_is_not_offered_then_missing_until_it_is_back() -> None:
    assert seen([], [known("x", "n1", "a")]).missing == ("x",)
    assert not seen([], [known("x", "n1", "a")]).is_quiet
    found = seen([item("n1", "a")], [known("x", "n1", "a", is_missing=True)])
    assert (found.back, found.missing, found.is_quiet) == (("x",), (), True)


def test_sensor_id_when_taken_then_the_item_is_left_out_and_named() -> None:
    found = seen(
        [item("n1", "other/tag"), item("n2", "a b"), item("n3", "a_b"), item("n4", "x")], [known("x", "n9", "q")]
    )
    assert [(one.sensor_id, one.path, one.taken_by) for one in found.conflicts] == [
        ("other.tag", "other/tag", "another source"),
        ("a_b", "a_b", "a b"),
        ("x", "x", "q"),
    ]
    assert [sensor_id for sensor_id, _ in found.new] == ["a_b"]


def test_known_tags_when_configured_then_their_addresses_are_those_of_the_items() -> None:
    found = [FoundItem({"topic": "t", "value_path": "v"}, "t/v", "number")]
    tag = MqttTag.model_validate({"sensor_id": "x", "unit": "1", "topic": "t"})
    (one,) = known_tags([tag], found, {"x": {"found_path": "t/value", "gone": "2026-11-01"}})
    assert one == KnownTag("x", {"topic": "t", "value_path": "value"}, "t/value", is_missing=True)
    block = MqttTag.model_validate({"sensor_id": "x", "unit": "1", "sparkplug": "G/E//M"})
    (one,) = known_tags([block], [FoundItem({"sparkplug": "G/E//M"}, "G/E/M", "Double")], {})
    assert one.address == {"sparkplug": "G/E//M"}


def test_known_tags_when_named_by_a_path_of_nodes_then_found_there_and_not_new() -> None:
    tag = OpcUaTag.model_validate({"sensor_id": "x", "unit": "1", "node_path": "nsu=urn:a;Boiler1/{urn:b}Drum"})
    found = [item("n1", "Objects/Boiler1/Drum"), item("n2", "Objects/Boiler2/Drum")]
    result = seen(found, known_tags([tag], found, {}))
    assert dict(result.paths) == {"x": "Objects/Boiler1/Drum"}
    assert (result.moved, result.renamed, [one.path for _, one in result.new]) == ((), (), ["Objects/Boiler2/Drum"])


def test_list_when_there_is_none_yet_then_it_has_what_the_tags_need(tmp_path: Path) -> None:
    path = tmp_path / "tags" / "plc.csv"
    items = [
        FoundItem({"topic": "t", "value_path": ""}, "t", "number", None, description="a, b"),
        FoundItem({"topic": "u", "value_path": "s"}, "u/s", "text", is_text=True),
    ]
    write_tag_list(with_discovered(path, None, seen(items, []), Discover(unit="kW"), TODAY))
    written = read_tag_list(path, MqttTag)
    assert written.rows == [
        {"sensor_id": "t", "topic": "t", "value_path": EMPTY, "unit": "kW", "description": "a, b", "found_path": "t"},
        {"sensor_id": "u.s", "topic": "u", "value_path": "s", "data": "text", "found_path": "u/s"},
    ]
    number, text = (MqttTag.model_validate(as_tag(row, MqttTag)) for row in written.rows)
    assert (number.value_path, number.unit, text.is_text) == ("", "kW", True)


def test_list_when_people_have_written_in_it_then_their_cells_stay(tmp_path: Path) -> None:
    path = tmp_path / "plc.csv"
    path.write_text(
        "sensor_id;node_id;unit;area;found_path\nx;n1;mbar;hall;a/old\ny;n2;bar;;b\nz;n3;bar;;c\nw;n4;bar;;d\n"
    )
    before = read_tag_list(path, OpcUaTag)
    tags = [known(row["sensor_id"], row["node_id"], row["found_path"]) for row in before.rows]
    found = [item("n1", "a/new"), item("n22", "b"), item("n4", "d"), item("n5", "e")]
    write_tag_list(with_discovered(path, before, seen(found, tags), Discover(), TODAY))
    assert path.read_text().splitlines() == [
        "sensor_id;node_id;unit;area;found_path;formerly;gone",
        "x;n1;mbar;hall;a/new;a/old;",
        "y;n22;bar;;b;node_id=n2;",
        "z;n3;bar;;c;;2026-11-22",
        "w;n4;bar;;d;;",
        "e;n5;bar;;e;;",
    ]
    after = read_tag_list(path, OpcUaTag)
    tags = [known(r["sensor_id"], r["node_id"], r["found_path"], is_missing="gone" in r) for r in after.rows]
    again = seen([*found, item("n3", "c")], tags)
    assert again.back == ("z",)
    back = with_discovered(path, after, again, Discover(), date(2026, 12, 1))
    assert all("gone" not in row for row in back.rows)
    # what is still missing keeps the day since when it is
    still = with_discovered(path, after, seen(found, tags), Discover(), date(2026, 12, 1))
    assert still.rows[2]["gone"] == "2026-11-22"


def test_list_when_nothing_has_changed_then_it_is_the_same() -> None:
    before = TagList(Path("x.csv"), ("sensor_id", "node_id", "found_path", "formerly", "gone"), [
        {"sensor_id": "x", "node_id": "n1", "found_path": "a"}
    ])  # fmt: skip
    after = with_discovered(before.path, before, seen([item("n1", "a")], [known("x", "n1", "a")]), Discover(), TODAY)
    assert (after.columns, after.rows) == (before.columns, before.rows)
