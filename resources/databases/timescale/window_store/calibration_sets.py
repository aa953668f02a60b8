"""What stored values were calibrated with: scada.calibrations and scada.calibration_sets. psycopg only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from resources.core.calibration.book import CalibrationSet


@dataclass(frozen=True, slots=True)
class AppliedCalibration:
    """One calibration that stored values have been made with."""

    fingerprint: str
    sensor_id: str
    certificate: str
    valid_from: datetime
    valid_until: datetime | None
    definition: dict[str, Any]
    applied_at: datetime


def write_set(connection: psycopg.Connection, site: str, found: CalibrationSet) -> None:
    """Keep a set and its calibrations, unless they are kept already; the caller commits."""
    if not found.name:
        return
    connection.execute(
        "INSERT INTO scada.calibration_sets (site, name, members) SELECT %(site)s, %(name)s, %(members)s"
        " WHERE NOT EXISTS (SELECT FROM scada.calibration_sets WHERE site = %(site)s AND name = %(name)s)"
        " ON CONFLICT DO NOTHING",
        {"site": site, "name": found.name, "members": list(found.members)},
    )
    # a corrected number of a certificate changes no value, and no set
    known: dict[str, str] = dict(
        connection.execute(
            "SELECT fingerprint, certificate FROM scada.calibrations WHERE site = %s AND fingerprint = ANY(%s)",
            (site, list(found.members)),
        ).fetchall()
    )
    new = [c for c in found.calibrations if known.get(c.fingerprint) != c.certificate]
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO scada.calibrations (site, fingerprint, sensor_id, certificate, valid_from, valid_until,"
            " definition) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (site, fingerprint)"
            " DO UPDATE SET certificate = excluded.certificate",
            [
                (site, c.fingerprint, c.sensor_id, c.certificate, c.valid_from, c.valid_until, Jsonb(c.definition))
                for c in sorted(new, key=lambda c: c.fingerprint)
            ],
        )


def members_of(connection: psycopg.Connection, site: str) -> dict[str, frozenset[str]]:
    """Return name of each set -> its members; the empty one is there, too."""
    found = connection.execute("SELECT name, members FROM scada.calibration_sets WHERE site = %s", (site,))
    return {"": frozenset(), **{name: frozenset(members) for name, members in found}}


def applied(connection: psycopg.Connection, site: str) -> list[AppliedCalibration]:
    """Return every calibration that was ever applied, by sensor and begin."""
    with connection.cursor(row_factory=class_row(AppliedCalibration)) as cursor:
        return cursor.execute(
            "SELECT fingerprint, sensor_id, certificate, valid_from, valid_until, definition, applied_at"
            " FROM scada.calibrations WHERE site = %s ORDER BY sensor_id, valid_from, applied_at",
            (site,),
        ).fetchall()


def sensors_of(connection: psycopg.Connection, site: str, fingerprints: Iterable[str]) -> dict[str, str]:
    """Return fingerprint -> sensor."""
    found = connection.execute(
        "SELECT fingerprint, sensor_id FROM scada.calibrations WHERE site = %s AND fingerprint = ANY(%s)",
        (site, list(fingerprints)),
    )
    return dict(found.fetchall())
