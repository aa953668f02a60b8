"""Standard rows on their way into a table: staged, inserted or updated by key, and what became of a part noted.

What is shared by facts (`resources.erp.standardised.standard`) and master data (`resources.erp.standardised.master`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any, LiteralString

import orjson
import psycopg
import pyarrow as pa
import pyarrow.csv as pa_csv
from psycopg import sql

REJECTED = pa.schema([pa.field("source_key", pa.string()), pa.field("reasons", pa.list_(pa.string()))])
"""Which landed records are rejected, and why."""


@dataclass(frozen=True, slots=True)
class StandardTable:
    """A table of standard fields: `erp.<name>`, its columns in order, and the one that holds the business day."""

    name: str
    columns: tuple[str, ...]
    business_date: str | None
    """None for master data."""


@dataclass(frozen=True, slots=True)
class LandedPart:
    """Which landed records are brought in, by which run: one business day of a dataset, or its whole."""

    system: str
    dataset: str
    day: date | None
    """None for master data."""
    run_id: str
    last: date | None = None
    """Last business day that may be stored now; None where that does not matter."""

    def __str__(self) -> str:
        """Name it for a message."""
        return f"{self.system}: {self.dataset}" + (f" of {self.day}" if self.day is not None else "")

    @property
    def values(self) -> dict[str, Any]:
        """The part as parameters of a statement."""
        return {
            "system": self.system,
            "dataset": self.dataset,
            "day": self.day,
            "run_id": self.run_id,
            "last": self.last,
        }

    def written_in(self, statement: LiteralString) -> sql.Composed:
        """Return a statement with the condition that picks the part in place of `{part}`."""
        # not IS NOT DISTINCT FROM, which no index serves
        day = sql.SQL("partition_date IS NULL" if self.day is None else "partition_date = %(day)s")
        of_dataset = sql.SQL("system = %(system)s AND dataset = %(dataset)s AND ")
        return sql.SQL(statement).format(part=sql.Composed([of_dataset, day]))


def lock_part(connection: psycopg.Connection[Any], part: LandedPart) -> None:
    """Wait for another run that works on the same part; held until the transaction ends.

    From here on the part counts as read: what changes in it later marks it as touched again.
    """
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))",
        (f"erp.standard/{part.system}/{part.dataset}/{part.day}",),
    )
    connection.execute(part.written_in("DELETE FROM erp.touched_days WHERE {part}"), part.values)


def stage(connection: psycopg.Connection[Any], table: StandardTable, rows: pa.Table) -> None:
    """Put rows into the temporary table `incoming`, which has the columns of `table`."""
    columns, name = _columns(table), sql.Identifier("erp", table.name)
    connection.execute(
        sql.SQL("CREATE TEMP TABLE incoming ON COMMIT DROP AS SELECT {} FROM {} WITH NO DATA").format(columns, name)
    )
    text = BytesIO()
    # "needed" quotes every text and no null, which is how COPY tells the two apart
    options = pa_csv.WriteOptions(include_header=False, quoting_style="needed")
    pa_csv.write_csv(rows.select(table.columns), text, options)
    statement = sql.SQL("COPY incoming ({}) FROM STDIN (FORMAT CSV)").format(columns)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(text.getvalue())


def upsert(connection: psycopg.Connection[Any], table: StandardTable) -> None:
    """Bring the staged rows into `table`; one of a key that is there takes its place."""
    columns, name = _columns(table), sql.Identifier("erp", table.name)
    changes = sql.SQL(", ").join(
        sql.SQL("{0} = excluded.{0}").format(sql.Identifier(column))
        for column in table.columns
        if column not in ("system", "source_key")
    )
    connection.execute(
        sql.SQL(
            "INSERT INTO {0} ({1}) SELECT {1} FROM incoming ON CONFLICT (system, source_key) DO UPDATE SET {2}"
        ).format(name, columns, changes)
    )


def finish(connection: psycopg.Connection[Any], part: LandedPart, rows: int, rejected: pa.Table, gone: int) -> None:
    """Replace the part's rejected records, note what became of all its records, and drop what was staged."""
    # what a person has corrected keeps standing, and says by which batch
    forget = part.written_in("DELETE FROM erp.rejected_records WHERE {part} AND corrected_by IS NULL")
    connection.execute(forget, part.values)
    if rejected.num_rows:
        reasons = orjson.dumps(rejected.select(REJECTED.names).to_pylist()).decode()
        connection.execute(part.written_in(_REJECT), {**part.values, "rejected": reasons})
    counts = {"rows": rows, "rejected": rejected.num_rows, "withdrawn": gone}
    connection.execute(_NOTE, {**part.values, **counts})
    connection.execute("DROP TABLE incoming")


def _columns(table: StandardTable) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, table.columns))


_REJECT = """
    INSERT INTO erp.rejected_records
           (system, dataset, partition_date, source_key, raw, reasons, run_id, rejected_at)
    SELECT system, dataset, partition_date, source_key, raw, reasons, %(run_id)s, now()
      FROM jsonb_to_recordset(%(rejected)s::jsonb) AS refused (source_key text, reasons text[])
      JOIN erp.landed_records USING (source_key)
     WHERE {part}
"""
_NOTE = """
    INSERT INTO erp.standardised
           (system, dataset, partition_date, rows, rejected, withdrawn, standardised_at, run_id)
    VALUES (%(system)s, %(dataset)s, %(day)s, %(rows)s, %(rejected)s, %(withdrawn)s, now(), %(run_id)s)
    ON CONFLICT (system, dataset, partition_date) DO UPDATE
       SET rows = excluded.rows, rejected = excluded.rejected, withdrawn = excluded.withdrawn,
           standardised_at = excluded.standardised_at, run_id = excluded.run_id
"""
