"""Rejected ERP records corrected and replayed: in force while the system gives the same record, kept with who and why."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from gl_assets.cli.main import cli
from resources.demo_plant.erp.sap.login import SapLogin
from resources.integrations import load_integrations
from resources.transport.trust.certificates import CertificateAuthority
from tests.integration.erp_platform import Platform
from tests.unit.resources.erp.support import SECRET_VARIABLE, SapServer, sap_server

DAY = date(2026, 11, 18)
UNIT = "MeasurementReadingEntryUoM"


@pytest.fixture
def sap(authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch) -> Iterator[SapServer]:
    monkeypatch.setenv(SECRET_VARIABLE, SapLogin().client_secret)
    with sap_server(authority) as server:
        yield server


class Rejected:
    """A day of which some documents are rejected, and the file that configures it."""

    def __init__(self, sap: SapServer, url: str, folder: Path) -> None:
        self.sap, self.file = sap, folder / "integrations.yaml"
        self.configure()
        self.platform = Platform(load_integrations(self.file), url, folder)

    def configure(self, **more: Any) -> None:
        settings = self.sap.settings(http={"attempts": 1}, datasets=["energy_consumption", "cost_centers"], **more)
        whole = {"site": "demo", "start": "2026-10-01T00:00:00Z", "erp": {"systems": {"sap": settings}}}
        self.file.write_text(yaml.safe_dump(json.loads(json.dumps(whole, default=str))))

    def enter(self, **documents: dict[str, Any]) -> None:
        template = self.sap.book.day(DAY)[0]
        for number, fields in documents.items():
            self.sap.book.enter({**template, "MeasurementDocument": number, "MsmtRdngTime": "00:01:00", **fields})
        assert self.platform.pull(DAY).success

    def gl(self, *arguments: str, code: int = 0) -> Any:
        result = CliRunner().invoke(cli, ["rejected", *arguments, "--json"])
        assert result.exit_code == code, result.output + str(result.exception)
        return json.loads(result.stdout.splitlines()[-1])

    def standing(self, key: str) -> list[Any]:
        return self.platform.rows(
            "SELECT consumption_value::float8, consumption_unit FROM erp.energy_consumption WHERE source_key = %s", key
        )

    def marks(self) -> list[Any]:
        return self.platform.rows(
            "SELECT source_key, corrected_by IS NOT NULL FROM erp.rejected_records ORDER BY rejected_id"
        )


@pytest.fixture
def rejected(sap: SapServer, database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rejected:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    found = Rejected(sap, database_url, tmp_path)
    monkeypatch.setenv("GL_CONFIG", str(found.file))
    return found


def test_records_when_corrected_stand_until_the_system_changes_them(rejected: Rejected) -> None:
    rejected.enter(X2={UNIT: "FURLONG"}, X3={"MeasurementReadingInEntryUoM": None})
    unkept = CliRunner().invoke(cli, ["rejected", "replay", "records", "--set", 'Text="\\u0000"'])
    assert "a corrected record cannot be kept" in str(unkept.exception)
    before = rejected.marks()
    how = ("replay", "records", "--reason", "furlong", "--set", f"{UNIT}=MWH")
    told = rejected.gl(*how)
    assert (told["confirmed"], told["rows"], told["stored"]) == (False, 1, 1)
    assert rejected.marks() == before
    assert rejected.standing("X2") == []
    assert rejected.platform.one("SELECT count(*) FROM quality.corrections") == 0

    told = rejected.gl(*how, "--confirm", "--because", "the meter is in MWh")
    assert (told["stored"], len(told["runs"])) == (1, 1)
    ((_, unit),) = rejected.standing("X2")
    assert unit == "MW.h"
    assert rejected.marks() == [("X2", True), ("X3", False)]
    account = "SELECT rejected FROM erp.standardised WHERE partition_date = %s"
    assert rejected.platform.one(account, DAY) == 1

    # pulled again, as every night: the system still gives the same record
    result = rejected.platform.pull(DAY)
    assert result.asset_materializations_for_node("erp__energy_consumption")[-1].metadata["corrected"].value == 1
    assert [unit for _, unit in rejected.standing("X2")] == ["MW.h"]
    assert rejected.marks() == [("X2", True), ("X3", False)]
    assert rejected.gl("replay", "batch", str(told["correction_id"]))["runs"] == []

    rejected.sap.book.change("X2", {UNIT: "CUBIT"}, day=DAY)
    assert rejected.platform.pull(DAY).success
    assert rejected.standing("X2") == []
    assert rejected.platform.rows("SELECT outcome FROM quality.corrected_records") == [("superseded",)]
    assert ("X2", False) in rejected.marks()


def test_records_when_a_file_corrects_them_or_the_configuration_was_mended_are_told_apart(
    rejected: Rejected, tmp_path: Path
) -> None:
    rejected.enter(
        X2={UNIT: "FURLONG"},
        X3={"MeasurementReadingInEntryUoM": None},
        X4={UNIT: "FURLONG", "MeasurementDocument": ""},
        X5={UNIT: "FURLONG"},
    )
    rejected.platform.rows("UPDATE erp.landed_records SET deleted_at = now() WHERE source_key = 'X5' RETURNING 1")
    ids = {row["source_key"]: row["rejected_id"] for row in rejected.gl("records")}
    file = tmp_path / "mended.csv"
    file.write_text(f"rejected_id,{UNIT},MeasurementReadingInEntryUoM\n{ids['X2']},CUBIT,\n{ids['X3']},,12.50\n")
    told = rejected.gl("replay", "records", "--file", str(file), "--confirm", "--because", "read off the meters")
    assert (told["stored"], told["rejected"]) == (1, 1)
    assert told["reasons"] == {"unit 'CUBIT' is not known: add it to unit_codes of the system": 1}
    assert len(rejected.standing("X3")) == 1
    shown = CliRunner().invoke(cli, ["rejected", "show", str(ids["X3"])]).output
    assert "read off the meters" in shown
    assert "12.50" in shown
    (batch,) = rejected.gl("corrections")
    assert (batch["how"]["file"], batch["outcomes"]) == ("mended.csv", {"stored": 1, "rejected": 1})

    for arguments, message in (
        (("--file", str(file)), "are not rejected (any longer)"),
        (("--file", str(file), "--set", "a=1"), "leave the other options out"),
        (("--system", "none"), "no rejected record is meant"),
        (("--set", "unit"), "write PATH=VALUE"),
        (("--confirm",), "--confirm needs --because"),
    ):
        result = CliRunner().invoke(cli, ["rejected", "replay", "records", *arguments])
        assert message in str(result.exception), arguments

    told = rejected.gl("replay", "records", "--reason", "CUBIT", "--set", f"{UNIT}=MWH", "--again", code=0)
    assert (told["confirmed"], told["stored"]) == (False, 1)
    keyless = CliRunner().invoke(cli, ["rejected", "replay", "records", "--reason", "FURLONG", "--set", f"{UNIT}=MWH"])
    assert "it has no key" in str(keyless.exception)

    rejected.configure(unit_codes={"CUBIT": "kW.h"})
    told = rejected.gl("replay", "batch", str(batch["correction_id"]))
    assert told["stored"] == 2
    # stored, and judged: two documents of one meter at one time
    assert "erp/energy_consumption: each_meter_is_booked_once_per_time" in told["red"]
    assert [unit for _, unit in rejected.standing("X2")] == ["kW.h"]
    assert ("X2", True) in rejected.marks()


def test_master_data_when_corrected_is_brought_in_again(rejected: Rejected) -> None:
    # landed and rejected without a pull: a cost center that ends before it begins
    raw = '{"ControllingArea": "1", "CostCenter": "4711", "ValidityStartDate": "2026-12-01", "ValidityEndDate": "2026-01-01"}'
    for statement in (
        "INSERT INTO erp.landed_records (system, dataset, source_key, raw, hash, ingested_at, run_id)"
        " VALUES ('sap', 'cost_centers', '1/4711', %s, 'h', now(), 'r') RETURNING 1",
        "INSERT INTO erp.rejected_records (system, dataset, source_key, raw, reasons, run_id, rejected_at)"
        " VALUES ('sap', 'cost_centers', '1/4711', %s, '{early}', 'r', now()) RETURNING 1",
    ):
        rejected.platform.rows(statement, raw)
    how = ("replay", "records", "--dataset", "cost_centers", "--set", "ValidityEndDate=2027-01-01")
    assert rejected.gl(*how)["stored"] == 1
    assert rejected.gl(*how, "--confirm", "--because", "a slip of the pen")["stored"] == 1
    assert rejected.platform.rows("SELECT cost_center, valid_to FROM erp.cost_centers") == [("4711", date(2027, 1, 1))]
    assert rejected.marks() == [("1/4711", True)]
