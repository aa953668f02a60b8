"""Cutting a site's ledger to another window length: every count is taken anew from what is stored. psycopg only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

RUN_ID = "gl window migrate"
"""run_id of the entries that come out of it."""

_STATEMENTS = """
-- no window is stored meanwhile, by whatever process
LOCK TABLE scada.window_ledger IN SHARE ROW EXCLUSIVE MODE;

CREATE TEMP TABLE old_ledger ON COMMIT DROP AS SELECT * FROM scada.window_ledger WHERE site = %(site)s;
CREATE TEMP TABLE old_sources ON COMMIT DROP AS SELECT * FROM scada.window_sources WHERE site = %(site)s;
CREATE TEMP TABLE old_hours ON COMMIT DROP AS
SELECT date_trunc('hour', window_start, 'UTC') AS hour, sum(stored_revision + recalibrated)::bigint AS revision
FROM old_ledger GROUP BY 1;

-- A rejected row goes with its time; where that is unknown or outside its window, with the window's start.
-- two windows that become one may hold the same sequence: the second gets one below zero, which no collector gives
CREATE TEMP TABLE moved_rejects ON COMMIT DROP AS
SELECT placed.*, CASE WHEN place = 1 THEN sequence ELSE -nextval('scada.replaced_readings_sequence') END AS new_sequence
FROM (SELECT r.*, row_number() OVER (
    PARTITION BY collector, new_start, sequence ORDER BY new_start <> window_start, window_start) AS place
FROM (
    SELECT r.*, date_bin(%(new)s, CASE WHEN time >= window_start AND time < window_start + %(old)s
                                       THEN time ELSE window_start END, 'epoch') AS new_start
    FROM scada.rejected_readings r WHERE site = %(site)s
) r) placed;
DELETE FROM scada.rejected_readings r USING moved_rejects m
WHERE r.site = m.site AND r.collector = m.collector AND r.window_start = m.window_start AND r.sequence = m.sequence
  AND m.new_start <> m.window_start;
INSERT INTO scada.rejected_readings
    (collector, sequence, time, sensor_id, source, raw, reasons, window_start, run_id, rejected_at, site)
SELECT collector, new_sequence, time, sensor_id, source, raw, reasons, new_start, run_id, rejected_at, site
FROM moved_rejects WHERE new_start <> window_start;
-- what was corrected of it goes along
UPDATE quality.corrected_readings c SET window_start = m.new_start, sequence = m.new_sequence FROM moved_rejects m
WHERE c.site = m.site AND c.collector = m.collector AND c.window_start = m.window_start AND c.sequence = m.sequence
  AND m.new_start <> m.window_start;

UPDATE scada.anomalies SET window_start = date_bin(%(new)s, time, 'epoch')
WHERE site = %(site)s AND window_start <> date_bin(%(new)s, time, 'epoch');
-- what was scored were other windows: the new ones are scored anew
DELETE FROM scada.anomaly_ledger WHERE site = %(site)s;

CREATE TEMP TABLE new_sources ON COMMIT DROP AS
SELECT collector, window_start, source, sum(rows)::bigint AS rows, sum(rejected)::bigint AS rejected,
       sum(deduplicated)::bigint AS deduplicated
FROM (
    SELECT o.collector, r.window_start, o.source, r.rows, 0 AS rejected, 0 AS deduplicated
    FROM (SELECT origin_key, date_bin(%(new)s, time, 'epoch') AS window_start, count(*) AS rows
          FROM scada.readings GROUP BY 1, 2) r
    JOIN scada.origins o USING (origin_key) WHERE o.site = %(site)s
    UNION ALL
    SELECT collector, date_bin(%(new)s, time, 'epoch'), source, count(*), 0, 0
    FROM scada.text_readings WHERE site = %(site)s GROUP BY 1, 2, 3
    UNION ALL
    SELECT collector, window_start, source, 0, count(*), 0
    FROM scada.rejected_readings WHERE site = %(site)s GROUP BY 1, 2, 3
    UNION ALL
    -- what was left out is nowhere stored: it is counted where its window begins
    SELECT collector, date_bin(%(new)s, window_start, 'epoch'), source, 0, 0, deduplicated FROM old_sources
) counted GROUP BY 1, 2, 3;

CREATE TEMP TABLE new_ledger ON COMMIT DROP AS
SELECT collector, window_start, bool_or(partial) AS partial,
       -- what the rows of all old windows in it were made with; '' where nobody stored a window
       coalesce((SELECT array_agg(DISTINCT name) FROM unnest(string_to_array(string_agg(sets, ','), ',')) name),
                '{""}') AS calibrations
FROM (
    SELECT collector, partial, array_to_string(calibrations, ',') AS sets,
           generate_series(date_bin(%(new)s, window_start, 'epoch'),
                           window_start + %(old)s - interval '1 us', %(new)s) AS window_start
    FROM old_ledger
    UNION ALL
    SELECT collector, false, NULL, window_start FROM new_sources
) windows GROUP BY 1, 2;

DELETE FROM scada.window_ledger WHERE site = %(site)s;
INSERT INTO scada.window_ledger (site, collector, window_start, stored_revision, rows, rejected, deduplicated, complete,
                                 partial, stored_at, run_id, calibrations)
SELECT %(site)s, collector, window_start, 1, coalesce(sum(rows), 0), coalesce(sum(rejected), 0),
       coalesce(sum(deduplicated), 0), false, partial, clock_timestamp(), %(run_id)s, calibrations
FROM new_ledger LEFT JOIN new_sources USING (collector, window_start)
GROUP BY collector, window_start, partial, calibrations;
INSERT INTO scada.window_sources (site, collector, window_start, source, rows, rejected, deduplicated,
                                  deduplicated_before)
SELECT %(site)s, collector, window_start, source, rows, rejected, deduplicated, deduplicated FROM new_sources;

-- An hour that was made from all of its windows still is; one that was due stays due.
UPDATE quality.hour_ledger h SET revision = CASE WHEN h.revision = o.revision THEN n.revision ELSE 0 END
FROM (SELECT date_trunc('hour', window_start, 'UTC') AS hour, sum(stored_revision)::bigint AS revision
      FROM scada.window_ledger WHERE site = %(site)s GROUP BY 1) n
LEFT JOIN old_hours o USING (hour) WHERE h.hour = n.hour;

-- A red gate that nobody has released goes on holding its hour, under the name of the window it now lies in.
INSERT INTO quality.gate_results (asset, partition, revision, "check", passed, blocking, metadata, run_id)
SELECT DISTINCT ON (asset, new_partition, "check") asset, new_partition, 1, "check", false, true,
       metadata || jsonb_build_object('found_in_window', partition), %(run_id)s
FROM (
    SELECT g.*, to_char(date_bin(%(new)s, (partition || ':00Z')::timestamptz, 'epoch') AT TIME ZONE 'UTC',
                        'YYYY-MM-DD"T"HH24:MI') AS new_partition
    FROM (SELECT DISTINCT ON (asset, partition, "check") * FROM quality.gate_results
          WHERE asset = 'scada/sensor_readings'
          ORDER BY asset, partition, "check", gate_id DESC) g
    WHERE blocking AND NOT passed AND released_at IS NULL
      AND EXISTS (SELECT FROM old_ledger WHERE window_start = (partition || ':00Z')::timestamptz)
) red WHERE new_partition <> partition ORDER BY asset, new_partition, "check", gate_id DESC;

INSERT INTO platform.settings AS s (name, value) VALUES (%(setting)s, to_jsonb(%(seconds)s))
ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_at = now();
INSERT INTO platform.settings AS s (name, value) VALUES (%(unreported)s, to_jsonb(%(old_seconds)s))
ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_at = now();
"""


@dataclass(frozen=True, slots=True)
class LedgerChange:
    """What became of a site's ledger."""

    windows_before: int
    windows_after: int
    rows: int
    """Rows of numbers and texts, counted in the tables."""
    rejected: int
    rejected_moved: int
    """Rejected rows that belong to a window of another name now."""


@dataclass(frozen=True, slots=True)
class StoredWindow:
    """What the ledger says of one window, all collectors together."""

    window_start: datetime
    rows: int
    rejected: int
    revision: int
    partial: bool
    collectors: tuple[str, ...]


def collectors_of(connection: psycopg.Connection, *, site: str) -> list[str]:
    """Return the collectors of which anything stands in a site's ledger."""
    rows = connection.execute("SELECT DISTINCT collector FROM scada.window_ledger WHERE site = %s ORDER BY 1", (site,))
    return [row[0] for row in rows]


def regrid(connection: psycopg.Connection, *, site: str, old: timedelta, new: timedelta) -> LedgerChange:
    """Cut a site's ledger, rejected rows and red gates to windows of length `new`; the caller commits.

    Every window with rows, rejected rows or a part of an old entry gets an entry of revision 1 that is not complete:
    later readings are merged into what is stored, never put in its place. Readings themselves are not touched.
    """
    values = {
        "site": site,
        "old": old,
        "new": new,
        "run_id": RUN_ID,
        "setting": f"window:{site}",
        "unreported": _unreported(site),
        "seconds": int(new.total_seconds()),
        "old_seconds": int(old.total_seconds()),
    }
    # bound by the client: the server takes no parameters in CREATE TABLE AS, nor several statements at once
    with psycopg.ClientCursor(connection) as cursor:
        cursor.execute(_STATEMENTS, values)
        cursor.execute(
            "SELECT (SELECT count(*) FROM old_ledger), count(*), coalesce(sum(rows), 0)::bigint,"
            " coalesce(sum(rejected), 0)::bigint,"
            " (SELECT count(*) FROM moved_rejects WHERE new_start <> window_start)"
            " FROM scada.window_ledger WHERE site = %(site)s",
            values,
        )
        found = cursor.fetchone()
    assert found is not None  # an aggregate always returns a row
    return LedgerChange(*found)


def _unreported(site: str) -> str:
    return f"window_unreported:{site}"


def is_unreported(connection: psycopg.Connection, *, site: str) -> bool:
    """Return whether Dagster has still to be told of a change of the window length."""
    return bool(connection.execute("SELECT 1 FROM platform.settings WHERE name = %s", (_unreported(site),)).fetchone())


def note_reported(connection: psycopg.Connection, *, site: str) -> None:
    """Note that Dagster knows the windows of the present length; the caller commits."""
    connection.execute("DELETE FROM platform.settings WHERE name = %s", (_unreported(site),))


def stored_windows(connection: psycopg.Connection, *, site: str) -> list[StoredWindow]:
    """Return every window of a site's ledger, oldest first."""
    found = connection.execute(
        "SELECT window_start, sum(rows)::bigint, sum(rejected)::bigint, max(stored_revision), bool_or(partial),"
        " array_agg(collector ORDER BY collector) FROM scada.window_ledger WHERE site = %s GROUP BY 1 ORDER BY 1",
        (site,),
    )
    return [
        StoredWindow(start, rows, rejected, revision, partial, tuple(collectors))
        for start, rows, rejected, revision, partial, collectors in found
    ]
