"""The properties that records of a dataset have, and their JSON types: found in what is landed, and remembered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from resources.erp.auditing.audit import Days

MOST_RECORDS = 10_000
"""So many records of a part are looked at, in the order of their hashes, which is as good as at random."""


@dataclass(frozen=True, slots=True)
class Property:
    """A property as records have it."""

    types: frozenset[str]
    """JSON types of its values: string, number, boolean, object, array; null is none."""
    always: bool
    """Every record has it, be it null."""


_FOUND = """
    WITH looked AS (
         SELECT raw FROM erp.landed_records
          WHERE system = %(system)s AND dataset = %(dataset)s AND deleted_at IS NULL AND {part}
          ORDER BY hash LIMIT %(most)s)
    SELECT replace(name, '.', '\\.'), jsonb_typeof(value), count(*) FROM looked, jsonb_each(raw) AS member (name, value)
     GROUP BY 1, 2
     UNION ALL
    SELECT replace(outside.name, '.', '\\.') || '.' || replace(inside.name, '.', '\\.'), jsonb_typeof(inside.value),
           count(*)
      FROM looked, jsonb_each(raw) AS outside (name, value),
           jsonb_each(CASE WHEN jsonb_typeof(outside.value) = 'object' THEN outside.value ELSE '{{}}' END)
           AS inside (name, value)
     GROUP BY 1, 2
     UNION ALL
    SELECT '', 'records', count(*) FROM looked
"""


def found_properties(
    connection: psycopg.Connection[Any], system: str, dataset: str, days: Days
) -> tuple[int, dict[str, Property]]:
    """Return how many landed records were looked at, and their properties: those of the record and of objects in it.

    Annotations of a protocol (`@odata.etag`) are left out.
    """
    part = sql.SQL("partition_date IS NULL" if days is None else "partition_date = ANY(%(days)s)")
    terms = {"system": system, "dataset": dataset, "days": days, "most": MOST_RECORDS}
    records, types, counts = 0, dict[str, set[str]](), dict[str, int]()
    for name, kind, count in connection.execute(sql.SQL(_FOUND).format(part=part), terms):
        if not name:
            records = count
        elif "@" not in name:
            types.setdefault(name, set()).update({kind} - {"null"})
            counts[name] = counts.get(name, 0) + count
    return records, {name: Property(frozenset(held), counts[name] == records) for name, held in types.items()}


def known_properties(connection: psycopg.Connection[Any], system: str, dataset: str) -> dict[str, Property]:
    """Return what is remembered of a dataset's properties; nothing if it was never looked at."""
    rows = connection.execute(
        "SELECT property, types, always FROM erp.observed_properties WHERE system = %s AND dataset = %s",
        (system, dataset),
    )
    return {name: Property(frozenset(types), always) for name, types, always in rows}


def remember_properties(
    connection: psycopg.Connection[Any], system: str, dataset: str, found: Mapping[str, Property], *, now: datetime
) -> None:
    """Add what was found to what is remembered: types add up, and `always` holds while it held each time."""
    terms = [(system, dataset, name, sorted(held.types), held.always, now) for name, held in found.items()]
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE erp.observed_properties SET always = false"
            " WHERE system = %s AND dataset = %s AND NOT property = ANY(%s)",
            (system, dataset, list(found)),
        )
        cursor.executemany(
            "INSERT INTO erp.observed_properties AS known"
            " (system, dataset, property, types, always, first_seen_at, last_seen_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (system, dataset, property) DO UPDATE"
            " SET types = (SELECT coalesce(array_agg(DISTINCT kind ORDER BY kind), '{}')"
            "              FROM unnest(known.types || excluded.types) AS kind),"
            "     always = known.always AND excluded.always, last_seen_at = excluded.last_seen_at",
            [(*term, now) for term in terms],
        )
