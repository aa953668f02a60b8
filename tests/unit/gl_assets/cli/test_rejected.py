"""`gl rejected` over a real database: records of ERP systems listed, counted by reason, and shown whole."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.types.json import Jsonb

from gl_assets.cli.main import cli
from resources.core.errors import DataError

_ROWS = [
    ("sap", "energy_consumption", date(2026, 11, 20), "4711", {"Unit": "FUR[red]LONG"}, ["unit is not known"]),
    ("sap", "energy_consumption", date(2026, 11, 21), "4712", {"Unit": "\x1b[2J"}, ["unit is not known", "no meter"]),
    ("oracle", "assets", None, None, {"AssetId": None}, ["asset_id is missing"]),
]


@pytest.fixture(autouse=True)
def _rejected(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GL_DATABASE_URL", database_url)
    with psycopg.connect(database_url) as connection:
        for number, (*row, raw, reasons) in enumerate(_ROWS):
            connection.execute(
                "INSERT INTO erp.rejected_records (system, dataset, partition_date, source_key, raw, reasons, run_id,"
                " rejected_at) VALUES (%s, %s, %s, %s, %s, %s, 'run-1', %s)",
                (*row, Jsonb(raw), reasons, datetime(2026, 11, 22, 10, number, tzinfo=UTC)),
            )


def run(*arguments: str) -> Result:
    result = CliRunner().invoke(cli, ["rejected", *arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


@pytest.mark.parametrize(
    ("terms", "keys"),
    [
        ((), [None, "4712", "4711"]),
        (("--system", "sap"), ["4712", "4711"]),
        (("--dataset", "assets"), [None]),
        (("--day", "2026-11-20"), ["4711"]),
        (("--limit", "1"), [None]),
    ],
)
def test_records_when_listed_are_those_asked_for_newest_first(terms: tuple[str, ...], keys: list[str | None]) -> None:
    assert [record["source_key"] for record in json.loads(run("records", "--json", *terms).stdout)] == keys


def test_records_when_counted_by_reason_are_most_frequent_first() -> None:
    found = json.loads(run("records", "--reasons", "--json").stdout)
    assert [(r["system"], r["reason"], r["rows"]) for r in found] == [
        ("sap", "unit is not known", 2),
        ("oracle", "asset_id is missing", 1),
        ("sap", "no meter", 1),
    ]


def test_a_record_when_shown_is_whole_and_its_text_moves_no_cursor() -> None:
    listed = {r["source_key"]: r["rejected_id"] for r in json.loads(run("records", "--json").stdout)}
    assert json.loads(run("show", str(listed["4711"]), "--json").stdout)["raw"] == {"Unit": "FUR[red]LONG"}
    shown = run("show", str(listed["4712"])).stdout
    assert "unit is not known" in shown
    assert "no meter" in shown
    table = run("records").stdout
    assert "FUR[red]LONG" in table
    assert "\x1b" not in shown + table


def test_a_record_when_not_there_is_told_in_words() -> None:
    with pytest.raises(DataError, match="no rejected record 999"):
        CliRunner().invoke(cli, ["rejected", "show", "999"], catch_exceptions=False)
