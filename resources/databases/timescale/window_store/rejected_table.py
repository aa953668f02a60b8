"""Writing scada.rejected_readings of one window, inside the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable

import orjson
import psycopg
import pyarrow as pa

from resources.databases.timescale.window_store.readings_table import Window
from resources.databases.timescale.window_store.window import REJECTED_ROWS_SCHEMA

_SEPARATOR = "\x1f"


def as_json(raw: str) -> str:
    """Return JSON text that jsonb takes: `raw` itself where it is JSON, else `raw` as a JSON string.

    jsonb cannot hold the character U+0000; it becomes U+FFFD. A lone surrogate is not JSON to orjson either.
    """
    raw = raw.replace("\\u0000", "\\ufffd")
    try:
        orjson.loads(raw)
    except orjson.JSONDecodeError:
        return json.dumps(_clean(raw))
    return raw


def _clean(text: str) -> str:
    return text.replace("\x00", "\ufffd")


def clean_all(texts: Iterable[str | None]) -> list[str | None]:
    """Return texts as the database can hold them: without U+0000."""
    return [None if text is None else _clean(text) for text in texts]


def replace_rejected(connection: psycopg.Connection, window: Window, rejects: pa.Table, *, complete: bool) -> None:
    """Write rejected rows; where the window is complete, instead of those of the same (collector, window).

    Args:
        connection: In the window's transaction.
        window: The window.
        rejects: REJECTED_ROWS_SCHEMA.
        complete: False merges: a sequence that is there already stays as it is.
    """
    if complete:
        connection.execute(
            "DELETE FROM scada.rejected_readings WHERE site = %s AND collector = %s AND window_start = %s",
            (window.site, window.collector, window.start),
        )
    if not rejects.num_rows:
        return
    columns = rejects.select(REJECTED_ROWS_SCHEMA.names).to_pydict()
    connection.execute(
        """
        INSERT INTO scada.rejected_readings
            (site, collector, window_start, run_id, rejected_at, sequence, time, sensor_id, source, raw, reasons)
        SELECT %(site)s, %(collector)s, %(start)s, %(run_id)s, clock_timestamp(),
               sequence, time, sensor_id, source, raw::jsonb, string_to_array(reasons, %(separator)s)
        FROM unnest(%(sequence)s::int8[], %(time)s::timestamptz[], %(sensor_id)s::text[], %(source)s::text[],
                    %(raw)s::text[], %(reasons)s::text[]) AS r(sequence, time, sensor_id, source, raw, reasons)
        ON CONFLICT DO NOTHING
        """,
        {
            "site": window.site,
            "collector": window.collector,
            "start": window.start,
            "run_id": window.run_id,
            "separator": _SEPARATOR,
            "sequence": columns["sequence"],
            "time": columns["time"],
            "sensor_id": clean_all(columns["sensor_id"]),
            "source": columns["source"],
            "raw": [as_json(raw) for raw in columns["raw"]],
            "reasons": clean_all(_SEPARATOR.join(reasons) for reasons in columns["reasons"]),
        },
    )
