"""Writing `scada.alarms`: one row for each alarm that was raised, told again as often as one likes. psycopg only."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import psycopg

from resources.core.alarms import AlarmChange
from resources.core.clock import from_micros
from resources.databases.timescale.notes.events import write_source_events

# a change may come twice, and the first of a database that was made anew may be the end of an alarm
_UPSERT = """
INSERT INTO scada.alarms AS a (site, collector, rule, sensor_id, source, unit, direction, priority, message, threshold,
    began_at, raised_at, noticed_at, cleared_at, value, cleared_value, message_id, answers)
VALUES (%(site)s, %(collector)s, %(rule)s, %(sensor_id)s, %(source)s, %(unit)s, %(direction)s, %(priority)s, %(text)s,
    %(threshold)s, %(began_at)s, %(raised_at)s, %(noticed_at)s, %(cleared_at)s, %(value)s, %(cleared_value)s,
    %(message_id)s, %(answers)s)
ON CONFLICT (site, rule, sensor_id, raised_at) DO UPDATE SET
    noticed_at = coalesce(a.noticed_at, excluded.noticed_at),
    cleared_at = coalesce(a.cleared_at, excluded.cleared_at),
    value = coalesce(a.value, excluded.value),
    cleared_value = coalesce(a.cleared_value, excluded.cleared_value),
    message_id = coalesce(a.message_id, excluded.message_id),
    answers = a.answers || excluded.answers
"""


def record_alarm_changes(
    connection: psycopg.Connection, changes: Sequence[AlarmChange], *, site: str, collector: str
) -> None:
    """Bring changes of alarms into `scada.alarms` and `scada.events`, each once; the caller commits."""
    with connection.cursor() as cursor:
        cursor.executemany(_UPSERT, [_row(change, site, collector) for change in changes])
    write_source_events(connection, [change.as_event() for change in changes], site=site, collector=collector)


def _row(change: AlarmChange, site: str, collector: str) -> dict[str, Any]:
    raised, cleared = change.state == "raised", change.state == "cleared"
    answers = {change.answerer: {"state": change.state, **change.details}} if change.answerer is not None else {}
    return {
        **{name: getattr(change, name) for name in ("rule", "sensor_id", "source", "unit", "direction", "priority")},
        "text": change.text,
        "threshold": change.threshold,
        "site": site,
        "collector": collector,
        "began_at": from_micros(change.began_us),
        "raised_at": from_micros(change.raised_us),
        "noticed_at": from_micros(change.noticed_us) if raised else None,
        "cleared_at": from_micros(change.at_us) if cleared else None,
        "value": change.value if raised else None,
        "cleared_value": change.value if cleared else None,
        "message_id": change.message_id if raised else None,
        "answers": json.dumps(answers).replace("\\u0000", "\\ufffd"),
    }
