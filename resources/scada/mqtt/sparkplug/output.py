"""What comes of one turn, in order: rows of first values and rows of data, each run of them a part of its own."""

from __future__ import annotations

from collections.abc import Sequence

from resources.scada.mqtt.payloads import Decoded
from resources.scada.mqtt.rows import Rows


class Output:
    """The rows of one turn."""

    def __init__(self, received_us: int, now: float) -> None:
        """Begin a turn at wall time `received_us` and monotonic time `now`."""
        self.received_us, self.now = received_us, now
        self._runs: list[tuple[bool, Rows]] = []

    def rows(self, *, first: bool = False) -> Rows:
        """Return where the next rows go; `first`: values of a birth, which count only if newer."""
        if not self._runs or self._runs[-1][0] != first:
            self._runs.append((first, Rows()))
        return self._runs[-1][1]

    def parts(self) -> Sequence[Decoded]:
        """Return the batches."""
        made = (rows.decoded(self.received_us, only_if_newer=first) for first, rows in self._runs)
        return [part for part in made if part.rows]
