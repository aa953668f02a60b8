"""`gl erp describe`: what the metadata of a system has of what a dataset asks for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from gl_assets.cli.main import cli
from gl_assets.cli.site.erp import Missing, missing_of, report, save
from resources.core.errors import ConfigError
from resources.core.process.home import gl_home
from resources.demo_plant.erp.sap.login import SapLogin
from resources.erp.connector import FoundProperty, SystemDescription
from resources.erp.declared import DatasetConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.unit.resources.erp.support import SECRET_VARIABLE, sap_server


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


def test_describe_when_the_system_answers_saves_its_metadata_and_names_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, authority: CertificateAuthority
) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    path = tmp_path / "integrations.yaml"
    monkeypatch.setenv("GL_CONFIG", str(path))
    with sap_server(authority) as server:
        settings = server.settings(
            datasets={"materials": {}, "planned_orders": {"extra": {"firm": "PlannedOrderIsFrim"}}}
        )
        path.write_text(
            yaml.safe_dump({"site": "plant", "start": "2026-11-01T00:00:00Z", "erp": {"systems": {"sap": settings}}})
        )
        told = CliRunner().invoke(cli, ["erp", "describe", "sap", "--json"], catch_exceptions=False)
        shown = CliRunner().invoke(cli, ["erp", "describe", "sap"], catch_exceptions=False)
    assert (told.exit_code, shown.exit_code) == (1, 1)
    said = json.loads(told.stdout)
    assert Path(said["folder"]) == gl_home() / "erp" / "sap"
    assert [b"<edmx:Edmx" in (Path(said["folder"]) / name).read_bytes() for name in said["files"]] == [True, True]
    assert said["datasets"]["materials"]["missing"] == []
    (missing,) = said["datasets"]["planned_orders"]["missing"]
    assert missing == {"path": "PlannedOrderIsFrim", "nearest": "PlannedOrderIsFirm"}
    assert "PlannedOrderIsFrim (there is PlannedOrderIsFirm)" in shown.stdout
