"""Rejected rows for the tests of corrections, in few words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from gl_assets.transforms.corrections.originals import original_readings

START = datetime(2026, 11, 22, 10, 15, tzinfo=UTC)


def rejected(raw: Any, **changes: Any) -> dict[str, Any]:
    """Return a rejected row with this original."""
    row = {
        "collector": "c1",
        "window_start": START,
        "sequence": 7,
        "source": "opc_ua_1",
        "sensor_id": "B1/P",
        "time": START + timedelta(seconds=5),
        "raw": raw,
        "reasons": ["400 bar is above the maximum of 50 bar"],
    }
    return row | changes


def reading(value: Any, unit: str | None = "bar", status: str = "good", **changes: Any) -> dict[str, Any]:
    """Return a rejected reading as the platform writes it."""
    return rejected({"value": value, "unit": unit, "status": status}, **changes)


def batch(*rows: dict[str, Any]) -> pa.Table:
    """Return rejected rows as a numbered batch."""
    found = original_readings([row | {"sequence": number} for number, row in enumerate(rows)])
    return found.append_column("number", pa.array(range(found.num_rows), pa.int64()))
