"""The workers of the fake Workday: positions, and the personal data that a reader of positions must leave there."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

_TITLES = ("Boiler operator", "Furnace operator", "Shift lead", "Process engineer", "Fitter", "Electrician", "Analyst")
_GIVEN = ("Ada", "Bruno", "Chiara", "Deniz", "Emil", "Fatima", "Goran", "Hanna", "Ivo", "Jana")
_FAMILY = ("Acker", "Brandt", "Costa", "Dahl", "Ebner", "Farkas", "Grau", "Holm", "Iversen", "Juric")


def workers_of(seed: int, count: int, cost_centers: Sequence[str]) -> list[dict[str, Any]]:
    """Return `count` workers, by number: position, dates and share of full time; name, birth, address and pay."""
    return [_worker(Random(f"{seed}:worker:{number}"), 1000 + number, cost_centers) for number in range(count)]


def _worker(chance: Random, number: int, cost_centers: Sequence[str]) -> dict[str, Any]:
    start = date(2010, 1, 1) + timedelta(days=chance.randint(0, 5000))
    has_left = chance.random() < 0.1
    given, family = chance.choice(_GIVEN), chance.choice(_FAMILY)
    return {
        "wid": hashlib.blake2b(f"worker:{number}".encode(), digest_size=16).hexdigest(),
        "worker_id": f"E{number}",
        "position_id": f"P-{number:05d}",
        "title": chance.choice(_TITLES),
        "cost_center": chance.choice(cost_centers),
        "location": chance.choice(("P100", "P200")),
        "fte": chance.choice(("100", "100", "100", "80", "50")),
        "start": start.isoformat(),
        "end": (start + timedelta(days=chance.randint(400, 4000))).isoformat() if has_left else None,
        "updated": datetime(start.year, start.month, start.day, 9, tzinfo=UTC),
        # personal data: must never leave the source
        "name": f"{given} {family}",
        "given_name": given,
        "family_name": family,
        "birth_date": (start - timedelta(days=chance.randint(8000, 14_000))).isoformat(),
        "email": f"{given}.{family}{number}@demo-plant.example".lower(),
        "salary": f"{chance.randint(38, 90)}000.00",
        "user": f"{given[0]}{family}{number}".lower(),
    }
