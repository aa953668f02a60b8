"""The seam between a broker's session and what its payloads mean.

`MqttClient` owns the connection: handshake, subscriptions, back-pressure, acknowledgement after durability. A
`PayloadDecoder` owns the meaning: which topics it needs, what a message says, what it publishes in answer. It is kept
between connections, and every call comes from the one event loop. In the life of a connection:

1. `opening()` before each CONNECT: session, last will and subscriptions of this connection;
2. `connected(outbox, status)` once the broker has granted the subscriptions (at once in a session that was resumed, in
   which they are in force): what is published at birth goes out here;
3. `decode(messages, received_us)` for what has arrived, in order; with no messages when `due_in_s` has run out;
4. `closing()` when we leave by ourselves: what is published before DISCONNECT. `lost()` ends every connection.

A message is acknowledged once every batch that its `decode` returned is durable, so a decoder that keeps messages
back (reordering) answers for them itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import pyarrow as pa

from resources.core.errors import ProtocolError
from resources.core.readings import ReadingBatch
from resources.scada.connector import FoundItem, StatusSink
from resources.scada.mqtt.link.packets import Subscription, Will
from resources.scada.mqtt.link.wire import Message

Found_co = TypeVar("Found_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of some messages: batches of readings, texts and rejects; any of them may be absent."""

    readings: pa.RecordBatch | None = None
    rejects: pa.RecordBatch | None = None
    texts: pa.RecordBatch | None = None
    only_if_newer: bool = False
    """First values, births, retained messages (see `ReadingBatch`)."""

    @property
    def rows(self) -> int:
        """How many rows there are, rejects included."""
        return sum(part.num_rows for part in (self.readings, self.texts, self.rejects) if part is not None)


@dataclass(frozen=True, slots=True)
class Opening:
    """How the next connection is opened."""

    subscriptions: Sequence[Subscription]
    clean: bool = False
    """True asks for a session of this connection alone (clean start, no expiry)."""
    will: Will | None = None
    """What the broker publishes for us if we vanish."""


class UnreadError(ProtocolError):
    """A command cannot be made before the present value of its tag has been read (`PayloadDecoder.reader`)."""


class Outbox(Protocol):
    """Where a decoder publishes; good for one connection, afterwards it drops what it is given."""

    def publish(self, message: Outgoing) -> None:
        """Send a message; returns at once. QoS 1 and 2 are brought to an end by the session."""
        ...


class Look(Protocol[Found_co]):
    """A short look at the broker, over a clean session of its own beside the one that reads; made for one use."""

    def subscriptions(self) -> Sequence[Subscription]:
        """Return what must be heard."""
        ...

    def asks(self) -> Sequence[Outgoing]:
        """Return what is published once the subscriptions are granted (rebirth requests)."""
        ...

    def heard(self, messages: Sequence[Message], received_us: int) -> bool:
        """Take messages; return True once everything that was looked for is there."""
        ...

    def found(self) -> Found_co | None:
        """Return what was found when the time was over or all was there; None: nothing at all."""
        ...


class PayloadDecoder(Protocol):
    """Gives the messages of one source their meaning."""

    def keep_state_in(self, folder: Path) -> None:
        """Take a folder of this source's own, which need not exist yet, for what must outlive the process."""
        ...

    def opening(self) -> Opening:
        """Return how to open the next connection."""
        ...

    def connected(self, outbox: Outbox, status: StatusSink) -> None:
        """Note that the subscriptions are granted; publish what is due at the start of a connection."""
        ...

    def decode(self, messages: Sequence[Message], received_us: int) -> Sequence[Decoded]:
        """Return what `messages` say, in order; empty `messages`: look what is due by now.

        Nothing is raised for what a peer sends: it becomes a reject.
        """
        ...

    def due_in_s(self) -> float | None:
        """Return the seconds until `decode` must be called even without messages; None: never."""
        ...

    def closing(self) -> Sequence[Outgoing]:
        """Return what is published before we disconnect by ourselves."""
        ...

    def lost(self) -> None:
        """Note that the connection is gone, whoever ended it."""
        ...

    def command(self, sensor_id: str, value: float | str) -> Outgoing:
        """Return the message that sets a tag to an engineering value.

        Raises:
            UnreadError: The tag's present value must be read first.
            ProtocolError: The tag cannot be set this way; the message says why.
        """
        ...

    def reader(self, sensor_ids: Iterable[str]) -> Look[ReadingBatch]:
        """Return a look for the present values of some sensors; KeyError if one is not of this source."""
        ...

    def explorer(self) -> Look[Sequence[FoundItem]]:
        """Return a look for everything that could become a tag; it is over when its time is."""
        ...
