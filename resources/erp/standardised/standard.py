"""The standard tables of facts: what is landed read as columns, and the rows of a business day brought in.

Data-driven: a table is its name and its columns. The caller gives the connection and commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from io import BytesIO
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

from resources.erp.declared import split_path
from resources.erp.standardised.corrections import IN_FORCE, has_corrections
from resources.erp.standardised.incoming import LandedPart, StandardTable, finish, stage, upsert

INSTANT = pa.timestamp("us", tz="UTC")
LANDED = {"source_key": pa.string(), "changed_at": INSTANT, "ingested_at": INSTANT}
"""What `landed_columns` gives of every record, before its properties."""


def landed_columns(
    connection: psycopg.Connection[Any], system: str, dataset: str, day: date | None, paths: Sequence[str]
) -> pa.Table:
    """Return what is landed, without what was deleted, by key; a correction in force stands in place of its record.

    Args:
        connection: In the transaction that brings the rows in.
        system: Whose.
        dataset: Of which dataset.
        day: Of which business day; None for master data.
        paths: Properties, as declarations write them; none is called like a column of LANDED.

    Returns:
        The columns of LANDED, then one column of text per path, named by it: numbers with every digit they have,
        objects and lists as JSON, null where there is none.
    """
    columns = [
        sql.SQL("source_key"),
        sql.SQL("(extract(epoch FROM changed_at) * 1000000)::bigint"),
        sql.SQL("(extract(epoch FROM ingested_at) * 1000000)::bigint"),
        *(sql.SQL("raw #>> {}::text[]").format(sql.Literal(list(split_path(path)))) for path in paths),
    ]
    part = sql.SQL("system = {} AND dataset = {} AND {}").format(
        sql.Literal(system), sql.Literal(dataset), _of_day(day)
    )
    corrected = has_corrections(connection, LandedPart(system, dataset, day, ""))
    records = sql.SQL(_CORRECTED if corrected else "erp.landed_records").format(
        in_force=sql.SQL(IN_FORCE).format(part=part), part=part
    )
    statement = sql.SQL(
        "COPY (SELECT {} FROM {} held WHERE {} AND deleted_at IS NULL ORDER BY source_key)"
        " TO STDOUT (FORMAT CSV, FORCE_QUOTE *)"
    ).format(sql.SQL(", ").join(columns), records, part)
    text = BytesIO()
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for block in copy:
            text.write(block)
    return _table(text, paths)


_CORRECTED = """
    (SELECT landed.source_key, changed_at, ingested_at, deleted_at, system, dataset, partition_date,
            coalesce(given.corrected, raw) AS raw
       FROM erp.landed_records landed
       LEFT JOIN {in_force} given ON given.source_key = landed.source_key AND given.landed_hash = landed.hash
      WHERE {part})
"""


def _of_day(day: date | None) -> sql.Composable:
    # not IS NOT DISTINCT FROM, which no index serves
    return sql.SQL("partition_date IS NULL") if day is None else sql.SQL("partition_date = {}").format(sql.Literal(day))


def _table(text: BytesIO, paths: Sequence[str]) -> pa.Table:
    names = [*LANDED, *paths]
    schema = pa.schema([(name, LANDED.get(name, pa.string())) for name in names])
    if not text.tell():
        return schema.empty_table()
    text.seek(0)
    # columns are numbered while they are read: nothing keeps two paths from being the same
    numbers = [str(number) for number in range(len(names))]
    read = {
        str(number): pa.string() if LANDED.get(name) != INSTANT else pa.int64() for number, name in enumerate(names)
    }
    found = pa_csv.read_csv(
        text,
        read_options=pa_csv.ReadOptions(column_names=numbers, use_threads=False),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            # every text is quoted and no null is, which is how the two are told apart
            column_types=read,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    return found.rename_columns(names).cast(schema)


def replace_day(
    connection: psycopg.Connection[Any],
    table: StandardTable,
    part: LandedPart,
    rows: pa.Table,
    rejected: pa.Table,
    withdrawn: Sequence[str] = (),
) -> int:
    """Bring the rows of a business day in; return how many keys left the table.

    A key that stood under another day moves. A key of that day leaves if it is not among `rows`, unless it is landed
    under another day, whose own run will move it, or by another dataset that fills the same table; a day after
    `part.last` is weeks away, perhaps, and keeps none. A rejected or withdrawn one leaves wherever it stands.

    Args:
        connection: In a transaction, which the caller commits, after `lock_part`.
        table: Where.
        part: Whose.
        rows: The columns of `table`; keys are unique.
        rejected: As `resources.erp.standardised.incoming.REJECTED`; replaces the part's rejected records.
        withdrawn: Keys of that day that no longer count, such as reversed documents.
    """
    assert table.business_date is not None, f"{table.name} has no business day"
    stage(connection, table, rows)
    name = sql.Identifier("erp", table.name)
    gone = [*rejected.column("source_key").to_pylist(), *withdrawn]
    left = connection.execute(sql.SQL(_LEAVE_KEYS).format(name), {**part.values, "gone": gone}).rowcount
    of_day = sql.SQL(_LEAVE_DAY).format(name, sql.Identifier(table.business_date))
    left += connection.execute(of_day, part.values).rowcount
    upsert(connection, table)
    finish(connection, part, rows.num_rows, rejected, len(withdrawn))
    return left


_LEAVE_KEYS = "DELETE FROM {0} WHERE system = %(system)s AND source_key = ANY(%(gone)s)"
_LEAVE_DAY = """
    DELETE FROM {0} held WHERE {1} = %(day)s AND system = %(system)s
       AND NOT EXISTS (SELECT FROM incoming WHERE incoming.source_key = held.source_key)
       AND EXISTS (SELECT FROM erp.landed_records landed WHERE landed.source_key = held.source_key
        AND landed.system = %(system)s AND landed.dataset = %(dataset)s)
       AND NOT EXISTS (SELECT FROM erp.landed_records landed WHERE landed.source_key = held.source_key
        AND landed.system = %(system)s AND landed.dataset = %(dataset)s
        AND landed.partition_date <> %(day)s AND landed.deleted_at IS NULL
        AND (%(last)s::date IS NULL OR landed.partition_date <= %(last)s::date))
"""
