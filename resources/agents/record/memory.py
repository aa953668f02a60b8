"""The message ids the orchestrator had seen when it stopped, which still count."""

from __future__ import annotations

from datetime import datetime

import psycopg


def load_seen(connection: psycopg.Connection, now: datetime) -> dict[str, tuple[bytes, datetime]]:
    """Return message_id -> (content hash, until when it is kept) of the ids that still count."""
    rows = connection.execute(
        "SELECT message_id, content_hash, keep_until FROM agents.seen_ids WHERE keep_until >= %s", (now,)
    )
    return {message_id: (bytes(content_hash), until) for message_id, content_hash, until in rows}


def forget_seen(connection: psycopg.Connection, now: datetime) -> None:
    """Delete the ids that no longer count."""
    connection.execute("DELETE FROM agents.seen_ids WHERE keep_until < %s", (now,))
