"""Writing `scada.events`: what the platform notes, and what sources tell. psycopg only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import psycopg
from psycopg.types.json import Jsonb


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
) -> None:
    """Add an event of the platform's own, once per site, type, source and time; the caller commits."""
    connection.execute(
        "INSERT INTO scada.events (time, event_type, severity, source, message, details, site, run_id) "
        "VALUES (%s, %s, 'error', %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
        (time, event_type, source, message, Jsonb(dict(details)), site, run_id),
    )
