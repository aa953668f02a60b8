"""Table schemas as the Dagster UI shows them."""

import dagster as dg
import pandera.pandas as pa

LANDED_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("system", "text", description="System, as the configuration names it"),
        dg.TableColumn("dataset", "text", description="Dataset"),
        dg.TableColumn("partition_date", "date", description="Business day in the system's own zone"),
        dg.TableColumn("source_key", "text", description="Key in the system; ? and a hash for a record without one"),
        dg.TableColumn("raw", "jsonb", description="The record as the system gave it"),
        dg.TableColumn("hash", "text", description="SHA-256 of the record's properties"),
        dg.TableColumn("changed_at", "timestamptz", description="When this version was first seen"),
        dg.TableColumn("ingested_at", "timestamptz", description="When this version was pulled"),
        dg.TableColumn("run_id", "text", description="Run that wrote the row last"),
        dg.TableColumn("deleted_at", "timestamptz", description="When the system no longer had it under that day"),
    ]
)
"""Columns of `erp.landed_records`."""


def column_schema(schema: pa.DataFrameSchema) -> dg.TableSchema:
    """Return a pandera schema as Dagster shows it: types, descriptions, what may be missing."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name,
                str(column.dtype).removesuffix("[pyarrow]"),
                description=column.description,
                constraints=dg.TableColumnConstraints(nullable=column.nullable, unique=column.unique),
            )
            for name, column in schema.columns.items()
        ]
    )
