"""What the connectors ship: every declaration reads into its standard table, whatever the system sends."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gl_assets.erp.tables import TABLES, FactTable
from gl_assets.schemas.erp_columns import AMOUNT, DAY, INSTANT, KIND
from gl_assets.transforms.erp.mapping import SPECIAL, paths_read, standardise
from gl_assets.transforms.erp.validation import judge
from resources.erp.declared import DatasetConfig
from resources.erp.kinds import connector, kinds
from tests.unit.gl_assets.erp.landed import facts, landed

SHIPPED = [
    (kind, name, DatasetConfig.model_validate({**block, "inherit": False}))
    for kind in kinds()
    for name, block in connector(kind).config_class.shipped_datasets().items()
]
IDS = [f"{kind}.{name}" for kind, name, _ in SHIPPED]
FOLLOWS = {"business_date", "company", "debit_credit", "energy_type"}
"""Columns that need no rule."""
OF_EVERY = {"system", "source_key", "changed_at", "ingested_at", "quality_score", "extra"}


@pytest.mark.parametrize(("kind", "name", "dataset"), SHIPPED, ids=IDS)
def test_a_shipped_dataset_has_a_rule_for_every_field_its_table_needs(
    kind: str, name: str, dataset: DatasetConfig
) -> None:
    table = TABLES[dataset.table or name]
    assert isinstance(table, FactTable) != dataset.is_master
    special = SPECIAL.get((kind, dataset.resource))
    given = {*dataset.fields, *FOLLOWS, *OF_EVERY, *(special.columns if special else ())}
    needed = {column for column, declared in table.schema.columns.items() if not declared.nullable}
    assert needed <= given
    assert not OF_EVERY & dataset.fields.keys()
    assert dataset.fields.keys() <= set(table.columns), "what the table does not have stands under extra"


@pytest.mark.parametrize(("kind", "name", "dataset"), SHIPPED, ids=IDS)
def test_a_shipped_rule_fits_the_type_of_its_column(kind: str, name: str, dataset: DatasetConfig) -> None:
    columns = TABLES[dataset.table or name].schema.columns
    for field, rule in dataset.fields.items():
        of_type, of_kind = columns[field].dtype.type, (columns[field].metadata or {}).get(KIND)
        assert not rule.unit or of_kind in ("unit", "physical_unit"), f"{field}: unit is for columns of units"
        assert rule.date is None or of_type in (DAY, INSTANT), f"{field}: date is for dates"
        assert rule.negate_when is None or of_type == AMOUNT, f"{field}: negate_when is for amounts"
        assert rule.debit is None or of_type == AMOUNT or field == "debit_credit"
        assert not (rule.strip_zeros or rule.segment) or of_type not in (AMOUNT, DAY, INSTANT)
    if dataset.totals is not None:
        read = {path for rule in dataset.fields.values() for path in rule.properties}
        assert dataset.totals in read, "what is reconciled is read into a field"


@pytest.mark.parametrize(("kind", "name", "dataset"), SHIPPED, ids=IDS)
def test_a_shipped_dataset_when_records_are_empty_or_odd_rejects_them_with_reasons(
    kind: str, name: str, dataset: DatasetConfig
) -> None:
    table = TABLES[dataset.table or name]
    paths = paths_read(_numbered(dataset), kind)
    records: list[dict[str, Any]] = [
        {},
        *({_first(path): odd for path in paths} for odd in ("", "?", -1, True, [], {})),
    ]
    day = date(2026, 11, 20) if isinstance(table, FactTable) else None
    known = facts(table.name, kind=kind, day=day, settings={"company": "1000"})
    found = standardise(landed(records, paths), _numbered(dataset), table.schema, known)
    judged = judge(found.rows, table.schema, found.problems)
    assert len(judged.good) + len(judged.reasons) == len(records)
    assert all(sentence.strip() for sentences in judged.reasons for sentence in sentences)
    assert 0 in judged.reasons, "a record without anything is no row"


def _first(path: str) -> str:
    return path.split(".", maxsplit=1)[0].replace("\\", "")


def _numbered(dataset: DatasetConfig) -> DatasetConfig:
    """Return the dataset with the names of segments as numbers, which is what a configuration makes of them."""
    fields = {
        name: rule.model_copy(update={"segment": 1}) if isinstance(rule.segment, str) else rule
        for name, rule in dataset.fields.items()
    }
    return dataset.model_copy(update={"fields": fields})
