"""Writing scada.text_readings of one window, inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc

from resources.core.contradictions import REPLACED_TEXT
from resources.databases.timescale.window_store.readings_table import Window
from resources.databases.timescale.window_store.rejected_table import clean_all
from resources.databases.timescale.window_store.window import REJECTED_ROWS_SCHEMA, TEXT_ROWS_SCHEMA


@dataclass(frozen=True, slots=True)
class TextOutcome:
    """What became of the text readings of a window."""

    standing: list[str]
    """Source of each row that stands in the table."""
    repeated: list[str]
    """Source of each row left out because the same text stood there."""
    lost: pa.Table
    """Incoming rows that a later arrival contradicts, as REJECTED_ROWS_SCHEMA."""


def replace_texts(connection: psycopg.Connection, window: Window, texts: pa.Table, *, complete: bool) -> TextOutcome:
    """Write text readings by the same rules as numbers; texts are few, so they go by name.

    Args:
        connection: In the window's transaction.
        window: The window.
        texts: TEXT_ROWS_SCHEMA.
        complete: True first removes what the collector has in the window.
    """
    if complete:
        connection.execute(
            "DELETE FROM scada.text_readings WHERE time >= %s AND time < %s AND site = %s AND collector = %s",
            (window.start, window.end, window.site, window.collector),
        )
    stored = _stored_texts(connection, window, texts)
    if not stored:
        _insert(connection, window, texts)
        return TextOutcome(texts.column("source").to_pylist(), [], REJECTED_ROWS_SCHEMA.empty_table())
    write, repeated, lost, displaced = [], [], [], []
    for row in texts.to_pylist():
        key = (row["sensor_id"], row["time"])
        met = stored.get(key)
        if met is not None and met.value == row["value"]:
            if met.ingested_at != row["received_at"]:
                repeated.append(row["source"])
        elif met is not None and met.ingested_at > row["received_at"]:
            lost.append(rejected_text(row))
        else:
            if met is not None:
                displaced.append(met)
            write.append(row)
    _displace(connection, window, displaced)
    _insert(connection, window, pa.Table.from_pylist(write, schema=TEXT_ROWS_SCHEMA))
    return TextOutcome(
        [row["source"] for row in write], repeated, pa.Table.from_pylist(lost, schema=REJECTED_ROWS_SCHEMA)
    )


@dataclass(frozen=True, slots=True)
class _StoredText:
    sensor_id: str
    time: datetime
    value: str | None
    status: str
    source: str
    collector: str
    site: str
    ingested_at: datetime


def _stored_texts(connection: psycopg.Connection, window: Window, texts: pa.Table) -> dict[Any, _StoredText]:
    if not texts.num_rows:
        return {}
    found = connection.execute(
        "SELECT sensor_id, time, value, status, source, collector, site, ingested_at FROM scada.text_readings"
        " WHERE time >= %s AND time < %s AND sensor_id = ANY(%s)",
        (window.start, window.end, pc.unique(texts.column("sensor_id")).to_pylist()),
    )
    return {(row[0], row[1]): _StoredText(*row) for row in found}


def rejected_text(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of TEXT_ROWS_SCHEMA as one of REJECTED_ROWS_SCHEMA: a later arrival contradicts it."""
    raw = {
        "sensor_id": row["sensor_id"],
        "time": row["time"].isoformat(),
        "value": row["value"],
        "status": row["status"],
    }
    return {
        "sequence": row["sequence"],
        "time": row["time"],
        "sensor_id": row["sensor_id"],
        "source": row["source"],
        "raw": json.dumps(raw),
        "reasons": [REPLACED_TEXT],
    }


def _displace(connection: psycopg.Connection, window: Window, rows: Sequence[_StoredText]) -> None:
    for row in rows:
        connection.execute(
            "DELETE FROM scada.text_readings WHERE sensor_id = %s AND time = %s", (row.sensor_id, row.time)
        )
        raw = {"sensor_id": row.sensor_id, "time": row.time.isoformat(), "value": row.value, "status": row.status}
        connection.execute(
            "INSERT INTO scada.rejected_readings (site, collector, sequence, time, sensor_id, source, raw, reasons,"
            " window_start, run_id, rejected_at) VALUES (%s, %s, -nextval('scada.replaced_readings_sequence'),"
            " %s, %s, %s, %s, %s, %s, %s, clock_timestamp())",
            (
                row.site,
                row.collector,
                row.time,
                row.sensor_id,
                row.source,
                json.dumps(raw),
                [REPLACED_TEXT],
                window.start,
                window.run_id,
            ),
        )
        for table, extra in (("window_ledger", ""), ("window_sources", " AND source = %(source)s")):
            connection.execute(
                f"UPDATE scada.{table} SET rows = rows - 1, rejected = rejected + 1"
                f" WHERE site = %(site)s AND collector = %(collector)s AND window_start = %(start)s{extra}",
                {"site": row.site, "collector": row.collector, "start": window.start, "source": row.source},
            )


def _insert(connection: psycopg.Connection, window: Window, texts: pa.Table) -> None:
    if not texts.num_rows:
        return
    columns = texts.to_pydict()
    connection.execute(
        """
        INSERT INTO scada.text_readings (site, collector, time, sensor_id, value, status, source, ingested_at)
        SELECT %(site)s, %(collector)s, r.*
        FROM unnest(%(time)s::timestamptz[], %(sensor_id)s::text[], %(value)s::text[], %(status)s::text[],
                    %(source)s::text[], %(received_at)s::timestamptz[]) AS r
        """,
        {
            **{name: columns[name] for name in ("time", "sensor_id", "status", "source", "received_at")},
            "site": window.site,
            "collector": window.collector,
            "value": clean_all(columns["value"]),
        },
    )
