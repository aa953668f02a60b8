"""`gl erp describe`: what the metadata of a system has of what a dataset asks for."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from gl_assets.cli.erp import Missing, missing_of, report, save
from gl_assets.cli.main import cli
from resources.core.errors import ConfigError
from resources.erp.connector import FoundProperty, SystemDescription
from resources.erp.declared import DatasetConfig


def found(*paths: str) -> tuple[FoundProperty, ...]:
    return tuple(FoundProperty(path, "Edm.String") for path in paths)


@pytest.mark.parametrize(
    ("asked", "there", "missing"),
    [
        (("A", "B"), ("A", "B", "C"), ()),
        (("A", "X"), ("A",), ("X",)),
        (("lines.Amount",), ("lines.Amount", "lines.Currency"), ()),
        (("lines.Amout",), ("lines.Amount",), ("lines.Amout",)),
        (("lines",), ("lines.Amount",), ()),
        # the metadata names it and does not say what is in it
        (("address.Street",), ("address",), ()),
        ((r"a\.b",), (r"a\.b",), ()),
    ],
)
def test_paths_when_held_against_metadata_are_missing_if_it_cannot_have_them(
    asked: tuple[str, ...], there: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    assert tuple(one.path for one in missing_of(asked, found(*there))) == missing


def test_a_missing_path_when_told_names_the_nearest() -> None:
    asked, there = ("MeasurmentDocument", "Zzz"), found("MeasurementDocument", "Plant")
    assert missing_of(asked, there) == (Missing("MeasurmentDocument", "MeasurementDocument"), Missing("Zzz", None))


def test_a_dataset_when_the_metadata_does_not_tell_of_it_misses_nothing() -> None:
    declared = DatasetConfig(resource="Report", key=("Id",), select=("Name",), fields={"name": "Name"})  # type: ignore[arg-type]
    described = report(declared, SystemDescription(properties={"x": found("Id")}), "x")
    assert (described.described, described.configured, [one.path for one in described.missing]) == (True, 2, ["Name"])
    silent = report(declared, SystemDescription(), "x")
    assert (silent.described, silent.missing) == (False, ())


def test_a_dataset_when_made_of_children_selects_from_the_record_around_them() -> None:
    declared = DatasetConfig(resource="Orders", key=("Line",), select=("Date", "Line", "Gone"), explode="Lines")  # type: ignore[arg-type]
    described = report(declared, SystemDescription(properties={"x": found("Line", "parent.Date")}), "x")
    assert [one.path for one in described.missing] == ["parent.Gone"]


def test_metadata_when_saved_replaces_that_of_before_and_stays_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "erp" / "sap"
    save(SystemDescription(files={"old.xml": b"1"}), folder)
    save(SystemDescription(files={"../../$metadata.xml": b"2", "": b"3"}), folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"$metadata.xml": b"2", "metadata": b"3"}


def test_describe_when_there_is_no_such_system_names_those_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "integrations.yaml"
    path.write_text("site: plant\nstart: 2026-11-01T00:00:00Z\n")
    monkeypatch.setenv("GL_CONFIG", str(path))
    with pytest.raises(ConfigError, match="no such ERP system in the configuration; there are: none"):
        CliRunner().invoke(cli, ["erp", "describe", "sap"], catch_exceptions=False)
