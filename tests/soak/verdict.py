"""What became of every number that every device has counted: stored once, missing in a gap, or lost."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from resources.core.clock import to_micros
from resources.integrations import Integrations
from resources.window_buffer.buffer import WindowBuffer
from resources.window_buffer.model import Gap
from resources.window_buffer.reader import BufferReader

SLACK_US = 2_000_000
"""A gap begins with the last batch received: what was written then but not sent yet, and what a busy machine delays."""

Rows = dict[str, tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]
"""sensor_id -> source times (microseconds) and values."""


@dataclass(frozen=True)
class Verdict:
    """One device; all figures are rows, that is numbers x tags."""

    name: str
    kind: str
    counted: int
    """What the device has counted."""
    stored: int
    missing_in_gaps: int
    """Not stored, counted while no connection could take it; a gap row says when."""
    lost: int
    """Not stored, and no gap row says why."""
    duplicated: int
    """Rows beyond one per tag and source time, and numbers stored under two times."""
    corrupt: int
    """Rows with a number that the device has not counted."""
    gaps: int
    gap_s: float


def verdict(name: str, kind: str, times: list[int], rows: Rows, gaps: list[Gap]) -> Verdict:
    """Return what became of a device's numbers; `times[n - 1]` is when it counted n."""
    counted_at = np.array(times, dtype=np.int64)
    in_gap = np.zeros(len(times), dtype=bool)
    for gap in gaps:
        ends = to_micros(gap.until) if gap.until is not None else np.iinfo(np.int64).max
        in_gap |= (counted_at >= to_micros(gap.since) - SLACK_US) & (counted_at <= ends + SLACK_US)
    stored = excused = lost = duplicated = corrupt = 0
    for found_times, values in rows.values():
        numbers = values.astype(np.int64)
        duplicated += len(found_times) - len(np.unique(found_times))
        real = (numbers >= 1) & (numbers <= len(times)) & (numbers == values)
        # before the first step an OPC UA node shows 0
        corrupt += int((~real & (values != 0)).sum())
        unique = np.unique(numbers[real])
        duplicated += int(real.sum()) - len(unique)
        stored += len(unique)
        missing = np.ones(len(times), dtype=bool)
        missing[unique - 1] = False
        excused += int((missing & in_gap).sum())
        lost += int((missing & ~in_gap).sum())
    return Verdict(
        name=name,
        kind=kind,
        counted=len(times) * len(rows),
        stored=stored,
        missing_in_gaps=excused,
        lost=lost,
        duplicated=duplicated,
        corrupt=corrupt,
        gaps=len(gaps),
        gap_s=round(sum(((g.until or g.since) - g.since).total_seconds() for g in gaps), 1),
    )


def read_gaps(buffer: Path) -> dict[str, list[Gap]]:
    """Return the gaps of each source; ask before `read_rows`, which opens the buffer and so notes one more."""
    found: dict[str, list[Gap]] = {}
    for gap in BufferReader(buffer).gaps():
        found.setdefault(gap.source, []).append(gap)
    return found


def read_rows(buffer: Path, config: Integrations) -> tuple[Rows, int]:
    """Close every window; return all readings, each window deduplicated, and how many that took away."""
    with WindowBuffer(
        buffer, collector=config.collector.name, grid=config.grid, start=config.start, catalog=config.catalog()
    ) as opened:
        opened.close_all()
    reader = BufferReader(buffer)
    parts: dict[str, list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]] = {
        sensor.sensor_id: [] for sensor in config.catalog().sensors
    }
    deduplicated = 0
    for window in reader.windows():
        held = reader.read(window.window_start)
        deduplicated += sum(held.deduplicated.values())
        keys = held.readings.column("sensor_key").to_numpy()
        times = held.readings.column("time").cast(pa.int64()).to_numpy()
        values = held.readings.column("value").to_numpy()
        order = np.argsort(keys, kind="stable")
        keys, times, values = keys[order], times[order], values[order]
        for key, sensor_id in zip(
            *(held.sensors.column(c).to_pylist() for c in ("sensor_key", "sensor_id")), strict=True
        ):
            first, last = np.searchsorted(keys, [key, key + 1])
            parts[sensor_id].append((times[first:last], values[first:last]))
    empty = (np.empty(0, dtype=np.int64), np.empty(0))
    rows = {
        sensor_id: (np.concatenate([t for t, _ in found]), np.concatenate([v for _, v in found])) if found else empty
        for sensor_id, found in parts.items()
    }
    return rows, deduplicated


def summary(verdicts: list[Verdict]) -> dict[str, dict[str, float]]:
    """Return the sums of each protocol."""
    kinds = sorted({one.kind for one in verdicts})
    names = ("counted", "stored", "missing_in_gaps", "lost", "duplicated", "corrupt", "gaps", "gap_s")
    return {
        kind: {"devices": sum(v.kind == kind for v in verdicts)}
        | {name: round(sum(getattr(v, name) for v in verdicts if v.kind == kind), 1) for name in names}
        for kind in kinds
    }


def slope_per_hour(samples: list[tuple[float, float]]) -> float:
    """Return the slope of (seconds, value) by least squares, per hour; 0 for fewer than two samples."""
    if len(samples) < 2:
        return 0.0
    seconds, values = np.array(samples).T
    return float(np.polyfit(seconds / 3600.0, values, 1)[0])


def write(path: Path, result: dict[str, object], verdicts: list[Verdict], ended_at: datetime) -> None:
    """Keep a result, device by device."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"ended_at": ended_at.isoformat(timespec="seconds"), **result, "devices": [asdict(v) for v in verdicts]}
    path.write_text(json.dumps(content, indent=1) + "\n")
