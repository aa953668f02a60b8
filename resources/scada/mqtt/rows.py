"""Rows that messages become one by one, on their way into one batch each."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from resources.core.readings import Reject, readings_batch, rejects_batch, texts_batch
from resources.scada.mqtt.payloads import Decoded


@dataclass(slots=True)
class Rows:
    """Readings, texts and rejects; the lists of numbers are aligned."""

    times: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    """Positions of rows that have no value."""
    texts: list[tuple[int, int, str | None, int]] = field(default_factory=list)
    """(time, key, text, status)."""
    rejects: list[Reject] = field(default_factory=list)
    blocks: list[pa.RecordBatch] = field(default_factory=list)
    """Readings that were decoded by column; they come before the others."""

    def decoded(self, received_us: int, *, only_if_newer: bool) -> Decoded:
        """Return the batches; those that would have no row are absent."""
        blocks = list(self.blocks)
        if self.times:
            missing = None
            if self.missing:
                missing = np.zeros(len(self.times), dtype=np.bool_)
                missing[self.missing] = True
            blocks.append(
                readings_batch(self.times, self.keys, self.values, self.statuses, received_us, missing=missing)
            )
        texts = None
        if self.texts:
            times, keys, values, statuses = zip(*self.texts, strict=True)
            texts = texts_batch(times, keys, values, statuses, received_us)
        return Decoded(
            readings=_joined(blocks),
            rejects=rejects_batch(self.rejects) if self.rejects else None,
            texts=texts,
            only_if_newer=only_if_newer,
        )


def _joined(blocks: list[pa.RecordBatch]) -> pa.RecordBatch | None:
    if len(blocks) < 2:
        return blocks[0] if blocks else None
    return pa.concat_batches(blocks)
