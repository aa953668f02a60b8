"""What is remembered of every source's connection, slot by slot; kept in GL_HOME, so that a restart forgets nothing."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import structlog

from resources.core.process.durable_file import replace_file

log = structlog.get_logger(__name__)

Floats = npt.NDArray[np.floating[Any]]
Bools = npt.NDArray[np.bool_]

HISTORY_FILE = "connection_health.npz"
"""The history's file in GL_HOME."""

_DIGITS = 10
"""Bits of an answer time's mantissa that are kept: three decimal digits, which compress well."""


@dataclass(frozen=True, slots=True)
class Slots:
    """Consecutive slots of all sources; one row a slot, one column a source, oldest first."""

    times: Floats
    """End of each slot, seconds since 1970."""
    latency_s: Floats
    """How long an answer took; NaN where none was asked for, the limit where none came in time."""
    retried: Bools
    """Something had to be tried again: a request, or the connection."""
    unread_s: Floats
    """Seconds of the slot of which nothing is read: not connected, or a stretch was missed."""
    down_s: Floats
    """Seconds of the slot in which the source was not connected."""

    def __len__(self) -> int:
        """Return how many slots there are."""
        return len(self.times)

    def part(self, chosen: Bools | slice) -> Slots:
        """Return some of the slots."""
        return Slots(
            self.times[chosen],
            self.latency_s[chosen],
            self.retried[chosen],
            self.unread_s[chosen],
            self.down_s[chosen],
        )

    @classmethod
    def none(cls, sources: int) -> Slots:
        """Return no slots of so many sources."""
        empty = np.empty((0, sources))
        return cls(np.empty(0), empty, empty.astype(np.bool_), empty, empty)

    @classmethod
    def joined(cls, parts: Sequence[Slots]) -> Slots:
        """Return the slots of all parts, in their order."""
        return cls(
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.latency_s for part in parts]),
            np.concatenate([part.retried for part in parts]),
            np.concatenate([part.unread_s for part in parts]),
            np.concatenate([part.down_s for part in parts]),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A history as it is kept in a file."""

    sources: tuple[str, ...]
    slot_s: float
    limit_s: Floats
    """Per source: an answer that takes longer than this counts as none, and the source as failing."""
    slots: Slots

    def write(self, path: Path) -> None:
        """Put it into a file, in one step.

        Raises:
            OSError: The disk takes nothing.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        packed = io.BytesIO()
        np.savez_compressed(
            packed,
            sources=np.array(self.sources, dtype=np.str_),
            slot_s=np.float64(self.slot_s),
            limit_s=self.limit_s,
            times=self.slots.times,
            latency_s=_rounded(self.slots.latency_s),
            retried=self.slots.retried,
            unread_s=self.slots.unread_s.astype(np.float32),
            down_s=self.slots.down_s.astype(np.float32),
        )
        replace_file(path, packed.getvalue())

    @classmethod
    def read(cls, path: Path) -> Record:
        """Return what `write` has put there.

        Raises:
            OSError, ValueError: There is no such file, or it is none of ours.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                return cls(
                    tuple(str(name) for name in held["sources"]),
                    float(held["slot_s"]),
                    held["limit_s"].astype(np.float64),
                    Slots(
                        held["times"].astype(np.float64),
                        held["latency_s"].astype(np.float64),
                        held["retried"].astype(np.bool_),
                        held["unread_s"].astype(np.float64),
                        held["down_s"].astype(np.float64),
                    ),
                )
        except (KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is not a history of connections ({error})") from error


class History:
    """The newest slots of a fixed list of sources."""

    def __init__(self, sources: Sequence[str], *, slot_s: float, most: int) -> None:
        """Begin with nothing; keep `most` slots of `slot_s` seconds."""
        self.sources = tuple(sources)
        self.slot_s = slot_s
        self.limit_s: Floats = np.full(len(self.sources), np.nan)
        """See `Record`; set with every slot."""
        self._most = most
        self._parts: list[Slots] = [Slots.none(len(self.sources))]

    def add(self, slot: Slots) -> None:
        """Take one slot."""
        self._parts.append(slot)
        # joining at each slot would copy the whole history every time
        if len(self._parts) > 64:
            self._parts = [self.slots()]

    def slots(self) -> Slots:
        """Return all that is remembered."""
        return Slots.joined(self._parts).part(slice(-self._most, None))

    def record(self) -> Record:
        """Return it as it goes into a file."""
        return Record(self.sources, self.slot_s, self.limit_s.copy(), self.slots())

    def recall(self, record: Record, *, since: float) -> None:
        """Take what an earlier run has kept of the sources known here, from `since` (seconds since 1970) on."""
        if record.slot_s != self.slot_s:
            log.info("connection_history_dropped", reason="connection_health.every has changed")
            return
        held = record.slots.part(record.slots.times >= since)
        where = {name: column for column, name in enumerate(record.sources)}
        columns = np.array([where.get(name, -1) for name in self.sources], dtype=np.int64)
        self._parts.append(
            Slots(
                held.times,
                _columns(held.latency_s, columns, np.nan),
                _columns(held.retried, columns, 0).astype(np.bool_),
                _columns(held.unread_s, columns, 0.0),
                _columns(held.down_s, columns, 0.0),
            )
        )


def _columns(held: npt.NDArray[np.generic], columns: npt.NDArray[np.int64], missing: float) -> Floats:
    """Return the chosen columns; `missing` in those that are not there."""
    found = np.full((len(held), len(columns)), missing)
    known = columns >= 0
    found[:, known] = held[:, columns[known]]
    return found


def _rounded(values: Floats) -> npt.NDArray[np.float32]:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * (1 << _DIGITS)) / (1 << _DIGITS), exponent).astype(np.float32)
