"""`scada.anomaly_models`: trained detectors, one version after the other for each equipment. psycopg only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True, slots=True)
class StoredModel:
    """One version of an equipment's detectors."""

    equipment: str
    fingerprint: str
    """Of what the configuration said when it was trained: another one asks for training again."""
    model: str
    """JSON text: `gl_assets.transforms.anomaly.trained.Trained`."""
    sensors: Sequence[str]
    trained_from: datetime
    trained_to: datetime
    rows: int
    left_out: Mapping[str, str] = field(default_factory=dict)
    """sensor of the equipment that is not judged -> why."""
    version: int = 0
    """From 1 on; 0: not stored yet."""
    trained_at: datetime | None = None
    run_id: str = ""


_COLUMNS = (
    "equipment, fingerprint, model::text AS model, sensors, trained_from, trained_to, rows, left_out, version, "
    "trained_at, run_id"
)
_NEWEST = f"""
SELECT DISTINCT ON (equipment) {_COLUMNS} FROM scada.anomaly_models
WHERE site = %(site)s AND (%(equipment)s::text[] IS NULL OR equipment = ANY(%(equipment)s))
ORDER BY equipment, version DESC
"""


def newest_models(
    connection: psycopg.Connection, *, site: str, equipment: Sequence[str] | None = None
) -> dict[str, StoredModel]:
    """Return equipment -> its newest version.

    Args:
        connection: To the platform's database.
        site: The site.
        equipment: Only of these; of all if left out.
    """
    terms = {"site": site, "equipment": None if equipment is None else list(equipment)}
    with connection.cursor(row_factory=class_row(StoredModel)) as cursor:
        return {found.equipment: found for found in cursor.execute(_NEWEST, terms)}


def first_trained(connection: psycopg.Connection, *, site: str, equipment: Sequence[str]) -> datetime | None:
    """Return the end of the first span that any of this equipment was trained on; None: none was."""
    row = connection.execute(
        "SELECT min(trained_to) FROM scada.anomaly_models WHERE site = %s AND equipment = ANY(%s)",
        (site, list(equipment)),
    ).fetchone()
    found: datetime | None = row[0] if row else None
    return found


def store_model(connection: psycopg.Connection, model: StoredModel, *, site: str) -> int:
    """Add a version of an equipment's detectors and return its number; the caller commits."""
    # two runs may train the same equipment at once: each gets a version of its own
    connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"anomaly_models/{site}/{model.equipment}",)
    )
    row = connection.execute(
        "INSERT INTO scada.anomaly_models (site, equipment, version, fingerprint, model, sensors, left_out, "
        "trained_from, trained_to, rows, run_id) SELECT %(site)s, %(equipment)s, coalesce(max(version), 0) + 1, "
        "%(fingerprint)s, %(model)s::jsonb, %(sensors)s, %(left_out)s, %(trained_from)s, %(trained_to)s, %(rows)s, "
        "%(run_id)s FROM scada.anomaly_models WHERE site = %(site)s AND equipment = %(equipment)s RETURNING version",
        {
            "site": site,
            "equipment": model.equipment,
            "fingerprint": model.fingerprint,
            "model": model.model,
            "sensors": list(model.sensors),
            "left_out": Jsonb(dict(model.left_out)),
            "trained_from": model.trained_from,
            "trained_to": model.trained_to,
            "rows": model.rows,
            "run_id": model.run_id,
        },
    ).fetchone()
    assert row is not None  # an aggregate always gives a row
    return int(row[0])
