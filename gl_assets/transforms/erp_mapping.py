"""Landed records as rows of a standard table, by declared field rules. Arrow in, frame out; no row is looped over."""

from __future__ import annotations

import pandera.pandas as pa_schema
import pyarrow as pa

from gl_assets.transforms.erp_facts import Standardised, SystemFacts
from resources.erp.declared import DatasetConfig


def standardise(
    columns: pa.Table, dataset: DatasetConfig, schema: pa_schema.DataFrameSchema, facts: SystemFacts
) -> Standardised:
    """Return landed records as rows of a standard table, in the order given.

    Args:
        columns: What `landed_columns` gives: source_key, changed_at, ingested_at, and one column of text per path of
            `paths_read(dataset, facts.kind)`.
        dataset: Rules (`fields`), further fields (`extra`), which records no longer count.
        schema: The table: its columns' types and kinds decide how a value is read.
        facts: System, zone, units, meters, day.

    Returns:
        Rows, what is wrong with some of them (`gl_assets.transforms.erp_validation.judge` rejects those), and which
        are withdrawn. A bad value is null in its row.
    """
    raise NotImplementedError


def paths_read(dataset: DatasetConfig, kind: str) -> tuple[str, ...]:
    """Return every path that standardising a dataset reads, for `landed_columns`."""
    raise NotImplementedError
