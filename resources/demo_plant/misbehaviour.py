"""What the plant can be told to do wrong, and what of it each protocol can do at all."""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, get_args

from resources.core.errors import ConfigError
from resources.demo_plant.plant import MODBUS, MODBUS_TLS, MQTT, OPC_UA

Kind = Literal["drop_connection", "restart", "nan", "garbage", "late", "future", "high"]
"""What goes wrong.

- `drop_connection`: every client's connection is cut; for MQTT the plant's own.
- `restart`: the server closes its port for some seconds; for MQTT the plant disconnects for as long.
- `nan`: a reading is NaN with status good. It takes the place of a good one.
- `garbage`: OPC UA: an array where a number is due; MQTT: bytes that are no JSON; both in place of a good reading.
  Modbus: a request is answered with exception 4.
- `late`: one more reading, 90.5 s older than the others of its second.
- `future`: a reading 10 minutes ahead. It takes the place of a good one.
- `high`: a good reading at the upper limit of its sensor. The first of each second is of the source's first sensor: at
  the meters that is the gas flow, on which the demo has an alarm.
"""

LATE_US: Final = 90_500_000
"""How old a late reading is; the half second keeps it from meeting a reading that was already sent."""

FUTURE_US: Final = 600_000_000
"""How far ahead a future reading is."""

_READINGS: Final = ("nan", "garbage", "late", "future", "high")
_POSSIBLE: Final[dict[str, tuple[str, ...]]] = {
    OPC_UA: get_args(Kind),
    MQTT: get_args(Kind),
    MODBUS: ("drop_connection", "restart", "nan", "garbage"),
    MODBUS_TLS: ("drop_connection", "restart", "nan", "garbage"),
}


def refuse_impossible(source: str, kind: str) -> None:
    """Refuse a misbehaviour that the source cannot do.

    Raises:
        ConfigError: Unknown source or kind, or the protocol has no such thing: a Modbus value carries no time.
    """
    if source not in _POSSIBLE:
        raise ConfigError(f"demo plant: no source {source!r}; there are {', '.join(_POSSIBLE)}")
    if kind not in _POSSIBLE[source]:
        raise ConfigError(f"demo plant: {source} cannot do {kind!r}; it can do {', '.join(_POSSIBLE[source])}")


class Plans:
    """The spoilt readings still to be sent, in the order they were asked for: one a sensor and second."""

    def __init__(self) -> None:
        """Plan nothing."""
        self._planned: dict[str, deque[str]] = {source: deque() for source in _POSSIBLE}

    def add(self, source: str, kind: str, count: int) -> None:
        """Plan `count` spoilt readings."""
        self._planned[source].extend([kind] * count)

    def take(self, source: str) -> str | None:
        """Return what the next reading shall be, None if it shall be good."""
        planned = self._planned[source]
        return planned.popleft() if planned else None

    def waiting(self) -> int:
        """Return how many spoilt readings are still to come."""
        return sum(len(planned) for planned in self._planned.values())


def is_reading(kind: str) -> bool:
    """Return whether the misbehaviour is a spoilt reading, not a broken connection."""
    return kind in _READINGS
