"""Writing `scada.events`: what the platform notes, and what sources tell. psycopg only."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import psycopg
import structlog
from psycopg.types.json import Jsonb

from resources.core.clock import from_micros
from resources.core.events import SourceEvent

log = structlog.get_logger(__name__)


def record_event(  # noqa: PLR0913 - one argument a column, by name
    connection: psycopg.Connection,
    site: str,
    *,
    event_type: str,
    source: str,
    message: str,
    details: Mapping[str, object],
    time: datetime,
    run_id: str | None = None,
    severity: str = "error",
) -> None:
    """Add an event of the platform's own (severity info, warning, error), once per site, type, source and time.

    The caller commits.
    """
    connection.execute(
        "INSERT INTO scada.events (time, event_type, severity, source, message, details, site, run_id) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (time, event_type, severity, source, message, Jsonb(dict(details)), site, run_id),
    )


_INSERT = """
INSERT INTO scada.events (time, event_type, severity, source, sensor_id, message, details, collector, site, received_at,
    source_event_id, source_node, source_name, severity_number, condition_id, condition_name, branch_id, active, acked,
    confirmed, retain, state_hash)
VALUES (%(time)s, %(event_type)s, %(severity)s, %(source)s, %(sensor_id)s, %(message)s, %(details)s, %(collector)s,
    %(site)s, %(received_at)s, %(source_event_id)s, %(source_node)s, %(source_name)s, %(severity_number)s,
    %(condition_id)s, %(condition_name)s, %(branch_id)s, %(active)s, %(acked)s, %(confirmed)s, %(retain)s,
    %(state_hash)s)
ON CONFLICT DO NOTHING
"""


def write_source_events(
    connection: psycopg.Connection, events: Sequence[SourceEvent], *, site: str, collector: str
) -> int:
    """Add events that sources told, each once, and return how many were new; the caller commits.

    One that the database refuses whatever happens is left out, with an error in the log: it must not hold up the rest.
    """
    rows = [_row(event, site, collector) for event in events]
    try:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.executemany(_INSERT, rows)
            return max(cursor.rowcount, 0)
    except psycopg.DataError:
        return sum(_write_alone(connection, row) for row in rows)


def _write_alone(connection: psycopg.Connection, row: dict[str, Any]) -> int:
    try:
        with connection.transaction():
            return connection.execute(_INSERT, row).rowcount
    except psycopg.DataError as error:
        log.error(
            "event_refused_by_database", source=row["source"], event_type=row["event_type"], error=str(error).strip()
        )
        return 0


_TEXTS = (
    *("event_type", "source", "sensor_id", "message", "source_node", "source_name"),
    *("condition_id", "condition_name", "branch_id"),
)


def _row(event: SourceEvent, site: str, collector: str) -> dict[str, Any]:
    clean = {name: _clean(getattr(event, name)) for name in _TEXTS}
    return {
        **clean,
        "time": from_micros(event.time_us),
        "received_at": from_micros(event.received_us),
        "severity": event.severity_word,
        "severity_number": event.severity,
        "source_event_id": _clean(event.event_id),
        "details": json.dumps(event.details).replace("\\u0000", "\\ufffd"),
        "collector": collector,
        "site": site,
        "active": event.active,
        "acked": event.acked,
        "confirmed": event.confirmed,
        "retain": event.retain,
        "state_hash": event.state_hash,
    }


def _clean(text: str | None) -> str | None:
    """Return text as the database can hold it: without U+0000."""
    return None if text is None else text.replace("\x00", "\ufffd")
