"""What the shipped declarations make of Workday's records: standard rows without a complaint, by every protocol."""

from __future__ import annotations

import json
from collections import defaultdict
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from gl_assets.erp.tables import TABLES
from gl_assets.transforms.erp.facts import Standardised, SystemFacts
from gl_assets.transforms.erp.mapping import paths_read, standardise
from gl_assets.transforms.erp.scoring import completeness
from gl_assets.transforms.erp.validation import judge
from resources.erp.connector import Day, Whole
from resources.erp.declared import split_path
from resources.erp.workday.config import WorkdayConfig
from tests.unit.resources.erp.workday.pulling import pull
from tests.unit.resources.erp.workday.support import DAY, NOW, WorkdayServer


def at(record: Any, path: str) -> str | None:
    for name in split_path(path):
        record = record.get(name) if isinstance(record, dict) else None
    return record if isinstance(record, str) or record is None else json.dumps(record)


def standard(config: WorkdayConfig, dataset: str) -> Standardised:
    """Return the standard rows of a dataset, as the database would extract them."""
    declared, table = config.datasets[dataset], TABLES[config.table_of(dataset)]
    records = pull(config, dataset, Whole() if declared.is_master else Day(DAY))
    stamps = pa.array([NOW] * len(records), pa.timestamp("us", tz="UTC"))
    columns = {
        "source_key": pa.array(["/".join(str(at(r, path)) for path in declared.key) for r in records], pa.string()),
        "changed_at": stamps,
        "ingested_at": stamps,
        **{path: pa.array([at(r, path) for r in records], pa.string()) for path in paths_read(declared, "workday")},
    }
    facts = SystemFacts(
        system="wd",
        company=config.company,
        time_zone="UTC",
        kind="workday",
        day=None if declared.is_master else DAY,
        business_date=None if declared.is_master else "posting_date",
    )
    return standardise(pa.table(columns), declared, table.schema, facts)


@pytest.mark.parametrize("dataset", sorted(WorkdayConfig.shipped_datasets()))
def test_a_shipped_dataset_when_mapped_makes_rows_without_a_complaint(workday: WorkdayServer, dataset: str) -> None:
    config = workday.config(datasets=[dataset])
    found = standard(config, dataset)
    assert found.problems.empty, list(found.problems)
    assert len(found.rows) == len(workday.keys(dataset, DAY))
    schema = TABLES[config.table_of(dataset)].schema
    schema.validate(found.rows)
    assert completeness(found.rows, schema).min() > 0.5


def _rows(workday: WorkdayServer, table: str, variant: str) -> pd.DataFrame:
    dataset = f"{table}{variant}"
    return standard(workday.config(datasets=[dataset]), dataset).rows


def test_journals_when_mapped_balance_and_keep_every_decimal(workday: WorkdayServer) -> None:
    expected: dict[str, Decimal] = defaultdict(Decimal)
    for journal in workday.book.journals(DAY, DAY):
        for line in journal["lines"]:
            expected[f"{journal['number']}/{line['order']}"] = Decimal(line["debit"]) - Decimal(line["credit"])
    for variant in ("", "_wql", "_raas"):
        rows = _rows(workday, "financial_transactions", variant)
        amounts = {
            f"{row.transaction_id}/{row.line}": row.amount
            for row in rows[["transaction_id", "line", "amount"]].itertuples()
        }
        assert amounts == expected
        assert rows.groupby("transaction_id")["amount"].sum().eq(0).all()
        assert set(rows["debit_credit"]) == {"debit", "credit"}


@pytest.mark.parametrize("table", ["cost_centers", "workforce"])
def test_master_data_when_mapped_is_the_same_by_every_protocol(workday: WorkdayServer, table: str) -> None:
    fields = [name for name in TABLES[table].schema.columns if name not in ("source_key", "extra", "changed_at")]
    by_soap, by_wql, by_raas = (
        _rows(workday, table, variant)[fields].sort_values(fields[2], ignore_index=True)
        for variant in ("_soap", "", "_raas")
    )
    pd.testing.assert_frame_equal(by_soap, by_wql)
    pd.testing.assert_frame_equal(by_raas, by_wql)


@pytest.mark.parametrize(
    ("fault", "words"),
    [("odd_currency", "QQQ"), ("odd_date", "20/11/2026"), ("no_key", "is missing")],
)
def test_an_oddity_when_mapped_rejects_its_journal_alone(workday: WorkdayServer, fault: str, words: str) -> None:
    workday.control.misbehave(fault)
    config = workday.config(datasets=["financial_transactions"], http={"page_size": 500})
    found = standard(config, "financial_transactions")
    first = workday.book.journals(DAY, DAY)[0]
    judged = judge(found.rows, TABLES["financial_transactions"].schema, found.problems)
    assert len(judged.reasons) == len(first["lines"])
    assert all(words in " ".join(reasons) for reasons in judged.reasons)
    assert len(judged.good) == len(workday.keys("financial_transactions", DAY)) - len(first["lines"])
