"""Where messages wait that cannot be read yet: for a birth, or, until that is given up, for a missing number."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from resources.scada.mqtt.sparkplug.metrics import Metrics
from resources.scada.mqtt.sparkplug.nodes.edge_node import Device, EdgeNode, Held
from resources.scada.mqtt.sparkplug.output import Output
from resources.scada.mqtt.sparkplug.payload.schema import MetricMessage

log = structlog.get_logger(__name__)

MOST_HELD = 20_000
"""Messages of one edge node that wait for its birth; beyond that the oldest are read by what is known."""


class WaitingRoom:
    """Lets messages in, reads them when their time has come, and says what of them must be kept on the disk."""

    def __init__(self, source: str, metrics: Metrics) -> None:
        """Read by `metrics` whatever may be read."""
        self._source, self._metrics = source, metrics
        self.kept: list[Held] = []
        """What was let in during this turn and its sender takes for delivered."""
        self.released: list[int] = []
        """Tickets of what need not be kept any longer."""

    def keep(self, held: Held) -> None:
        """Put a message down as one to be kept, if anybody relies on us for it."""
        if held.message is not None and held.ticket is None:
            self.kept.append(held)

    def release(self, held: Held) -> None:
        """Note that a message was read."""
        held.message = None
        if held.ticket is not None:
            self.released.append(held.ticket)

    def hold(self, node: EdgeNode, held: Held, metrics: Sequence[MetricMessage], out: Output) -> None:
        """Let a message wait for a birth, with those of its metrics that are still to be read."""
        if not metrics:
            self.release(held)
            return
        held.metrics = metrics
        node.held.append(held)
        self.keep(held)
        if len(node.held) > MOST_HELD:
            oldest = node.held.pop(0)
            self._metrics.doubtfully(oldest, out)
            self.release(oldest)

    def hold_again(self, node: EdgeNode, held: Held, out: Output) -> bool:
        """Let data wait that an earlier process held back; births and deaths of then are no news any more.

        Returns:
            Whether it waits, so that a birth is needed.
        """
        if held.is_data and self._metrics.by_name(held, out):
            node.held.append(held)
            return True
        self.release(held)
        return False

    def shelve(self, node: EdgeNode) -> None:
        """Let data that wait for a number wait for a birth instead."""
        for waiting in node.sequence.give_up():
            if waiting.is_data and waiting.metrics:
                node.held.append(waiting)
            else:
                self.release(waiting)

    def read_certainly(self, node: EdgeNode, device: Device, out: Output) -> None:
        """Read what has waited for the birth that a device has now."""
        mine = [held for held in node.held if held.device is device]
        if not mine:
            return
        node.held = [held for held in node.held if held.device is not device]
        for held in mine:
            self._metrics.late(held, device, out)
            self.release(held)

    def read_doubtfully(self, node: EdgeNode, out: Output) -> None:
        """Read what has waited for a birth in vain, by the last one known."""
        waiting, node.held = node.held, []
        if node.sequence.expected is None:
            node.is_unanswered = True
        log.warning("sparkplug_birth_missing", source=self._source, edge_node=node.name, messages=len(waiting))
        for held in waiting:
            self._metrics.doubtfully(held, out)
            self.release(held)
