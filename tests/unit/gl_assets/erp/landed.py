"""Records as `landed_columns` gives them, without a database: the texts of `raw #>> path`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

from gl_assets.erp.tables import TABLES
from gl_assets.transforms.erp.facts import MeterFacts, Standardised, SystemFacts
from gl_assets.transforms.erp.mapping import paths_read, standardise
from resources.erp.declared import DatasetConfig, split_path

SEEN = datetime(2026, 11, 22, tzinfo=UTC)
INSTANT = pa.timestamp("us", tz="UTC")


def landed(records: Sequence[Mapping[str, Any]], paths: Sequence[str], keys: Sequence[str] | None = None) -> pa.Table:
    rows = len(records)
    columns: dict[str, pa.Array] = {
        "source_key": pa.array(keys or [f"k{number}" for number in range(rows)], pa.string()),
        "changed_at": pa.array([SEEN] * rows, INSTANT),
        "ingested_at": pa.array([SEEN] * rows, INSTANT),
    }
    columns |= {path: pa.array([text_at(record, path) for record in records], pa.string()) for path in paths}
    return pa.table(columns)


def text_at(record: Any, path: str) -> str | None:
    for name in split_path(path):
        record = record.get(name) if isinstance(record, Mapping) else None
    if record is None or isinstance(record, str):
        return record
    if isinstance(record, bool):
        return str(record).lower()
    if isinstance(record, int | float | Decimal):
        return format(Decimal(str(record)), "f")
    return json.dumps(record, default=str)


def facts(table: str, **changes: Any) -> SystemFacts:
    meters = {key: MeterFacts(**meter) for key, meter in changes.pop("meters", {}).items()}
    known: dict[str, Any] = {"system": "erp1", "company": "1000", "time_zone": "Europe/Berlin", "meters": meters}
    known["business_date"] = getattr(TABLES[table], "business_date", None)
    return SystemFacts(**{**known, **changes})


def mapped(
    table: str, records: Sequence[Mapping[str, Any]], dataset: Mapping[str, Any], *, known: SystemFacts | None = None
) -> Standardised:
    declared = DatasetConfig.model_validate({"resource": "R", "key": "Key", **dataset})
    known = known or facts(table, day=date(2026, 11, 20) if hasattr(TABLES[table], "business_date") else None)
    return standardise(landed(records, paths_read(declared, known.kind)), declared, TABLES[table].schema, known)
