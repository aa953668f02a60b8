"""What the broker is owed for its messages: PUBACK and PUBREC after durability, in order, and QoS 2 without doubles.

This is the receiving half of the Session State [MQTT5 4.1]: kept by the client from one connection to the next, its
QoS 2 part by a journal from one process to the next, and dropped when the broker no longer holds the session. A message
that comes again because its acknowledgement had not been written, or at QoS 2 because PUBREC or PUBREL were lost, is
answered and not handed on a second time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from resources.scada.mqtt.link import packets, wire
from resources.scada.mqtt.link.journal import Journal, content_of
from resources.scada.mqtt.link.wire import Message

_NOT_FOUND = 0x92


class Run:
    """Messages that were taken together; acknowledged when they are durable and so are all runs before them."""

    __slots__ = ("_receipts", "followers", "fresh", "messages", "second", "taken", "waits_for")

    def __init__(self, messages: Sequence[Message], receipts: Receipts | None) -> None:
        """Take `messages`; `receipts` is None where nothing is owed for them."""
        self.messages = messages
        self.fresh = messages
        """Those that have not been handed on before."""
        self._receipts = receipts
        self.waits_for = 1
        """Runs, this one or earlier ones, that are not durable yet."""
        self.followers: list[Run] = []
        self.second: Sequence[Message] = ()
        """The fresh ones of QoS 2."""
        self.taken = False
        """Whether everything that came of them is in the driver's hands."""

    @property
    def owes(self) -> bool:
        """Whether the broker waits for an acknowledgement."""
        return self._receipts is not None

    def durable(self) -> None:
        """Acknowledge: what came of the messages is durable."""
        if self._receipts is not None:
            self._receipts.became_durable(self)

    def abandon_unless_taken(self) -> None:
        """Forget the messages if nothing, or not all, came of them: they must count as new when they come again."""
        if self._receipts is not None and not self.taken:
            self._receipts.forget(self)


class Receipts:
    """Acknowledgements owed over the connection that `begin` names."""

    def __init__(self, journal: Journal | None = None) -> None:
        """Begin with what `journal` lists as received."""
        self._journal = journal
        self._owed: deque[Run] = deque()
        self._left: dict[int, tuple[Message, Run]] = {}
        """Packet id -> QoS 1 message of an earlier connection whose PUBACK was never written."""
        self._second: dict[int, tuple[int, Run]] = {}
        """Packet id -> (content, run) of QoS 2 messages between PUBLISH and PUBREL."""
        self._recalled = journal.received() if journal is not None else {}
        """Packet id -> content of those that an earlier process has made durable."""
        self._write: Callable[[bytes], None] = _nowhere

    def begin(self, write: Callable[[bytes], None], *, resumed: bool) -> None:
        """Write to a new connection from now on; `resumed`: the broker still holds the session."""
        self.end()
        if not resumed:
            self._left.clear()
            self._second.clear()
            self._recalled.clear()
            if self._journal is not None:
                self._journal.clear()
        self._write = write

    def end(self) -> None:
        """Note that the connection is gone: what it did not acknowledge will come again."""
        self._write = _nowhere
        while self._owed:
            run = self._owed.popleft()
            self._left.update((m.packet_id, (m, run)) for m in run.messages if m.qos == 1)

    def accept(self, messages: Sequence[Message]) -> Run:
        """Return the run of `messages`, in order of arrival; it says which of them are fresh."""
        top = max((m.qos for m in messages), default=0)
        if not top:
            return Run(messages, None)
        run = Run(messages, self)
        if self._left or top == 2:
            run.fresh = self._sifted(messages, run)
            run.second = [m for m in run.fresh if m.qos == 2]
        self._owed.append(run)
        return run

    def _sifted(self, messages: Sequence[Message], run: Run) -> list[Message]:
        fresh = []
        for message in messages:
            earlier = self._handed_on(message, run) if message.qos else None
            if earlier is None:
                fresh.append(message)
            elif earlier.waits_for and earlier is not run:
                earlier.followers.append(run)
                run.waits_for += 1
        return fresh

    def _handed_on(self, message: Message, run: Run) -> Run | None:
        """Return the run in which this very message was handed on; None if it is new."""
        # the content is compared too: a broker that came back with an old state numbers anew
        if message.qos == 1:
            kept = self._left.pop(message.packet_id, None)
            if kept is not None and message.dup and kept[0][:2] == message[:2]:
                return kept[1]
            return None
        content = content_of(message)
        # what is recalled may have been released when the power failed: only a copy is taken for it
        if self._recalled.pop(message.packet_id, None) == content and message.dup:
            done = Run((), None)
            done.waits_for = 0
            self._second[message.packet_id] = (content, done)
            return done
        known = self._second.get(message.packet_id)
        if known is not None and known[0] == content:
            return known[1]
        self._second[message.packet_id] = (content, run)
        return None

    def became_durable(self, run: Run) -> None:
        """Write what is owed for `run` and for those behind it that waited for it alone."""
        run.waits_for -= 1
        if run.waits_for:
            return
        for follower in run.followers:
            self.became_durable(follower)
        # PUBACKs and PUBRECs go out in the order of the messages [MQTT-4.6.0-2, 4.6.0-3], whatever is durable first
        ready = []
        while self._owed and not self._owed[0].waits_for:
            ready.append(_answers(self._owed.popleft().messages))
        if ready:
            self._write(b"".join(ready))

    def note(self, messages: Sequence[Message], first: int) -> None:
        """Write ahead that the QoS 2 messages `messages` are numbered from `first` on; waits for the disk."""
        if self._journal is not None:
            self._journal.note(messages, first)

    def forget(self, run: Run) -> None:
        """Let the messages of `run` count as new; it stays unacknowledged, and so does all behind it."""
        for packet_id in [key for key, (_, known) in self._second.items() if known is run]:
            del self._second[packet_id]
        for packet_id in [key for key, (_, known) in self._left.items() if known is run]:
            del self._left[packet_id]
        if self._journal is not None:
            self._journal.release(*(m.packet_id for m in run.second))
        run.messages = [m for m in run.messages if m.qos == 0]

    def released(self, packet_id: int, version: int) -> bytes:
        """Return the PUBCOMP that answers a PUBREL; from now on the id stands for a new message [MQTT-4.3.3-12]."""
        known: object = self._second.pop(packet_id, None)
        if known is None:
            known = self._recalled.pop(packet_id, None)
        if self._journal is not None:
            self._journal.release(packet_id)
        if known is None and version == 5:
            return packets.packet(wire.PUBCOMP << 4, packet_id.to_bytes(2, "big") + bytes((_NOT_FOUND,)))
        return packets.acknowledgements(wire.PUBCOMP, (packet_id,))


def _answers(messages: Sequence[Message]) -> bytes:
    answers = packets.acknowledgements(wire.PUBACK, [m.packet_id for m in messages if m.qos == 1])
    if second := [m.packet_id for m in messages if m.qos == 2]:
        answers += packets.acknowledgements(wire.PUBREC, second)
    return answers


def _nowhere(_: bytes) -> None:
    """Drop what a connection that is gone was owed."""
