"""The life of edge nodes and devices, message by message: births, data, deaths; what they say becomes rows.

The rule that everything here serves: what an alias stands for is certain only as long as no birth can have been missed,
that is, while sequence numbers follow each other. What comes while it is not certain, and has no name, waits for the
birth that is asked for. When that came, it is read if the old birth and the new one agree on its aliases. When it does
not come, it is read by the last birth known, with status uncertain. Values sent by name are read at once in any case.
Source: Sparkplug 3.0.0, chapter 5 (operational behaviour).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import structlog

from resources.core.readings import Reject, Status
from resources.core.receive_times import ReceiveTimes
from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.rows import Rows
from resources.scada.mqtt.sparkplug.items import Items
from resources.scada.mqtt.sparkplug.metrics import Metrics
from resources.scada.mqtt.sparkplug.nodes.births import Birth, bd_seq_of
from resources.scada.mqtt.sparkplug.nodes.edge_node import Device, EdgeNode, Held
from resources.scada.mqtt.sparkplug.nodes.rebirths import Rebirths
from resources.scada.mqtt.sparkplug.nodes.sequence import Order
from resources.scada.mqtt.sparkplug.output import Output
from resources.scada.mqtt.sparkplug.payload.datatypes import RefusedError
from resources.scada.mqtt.sparkplug.payload.envelope import read_payload
from resources.scada.mqtt.sparkplug.readers import Binding, Frame, MetricReader, has_marks
from resources.scada.mqtt.sparkplug.waiting import WaitingRoom
from resources.scada.rejects import raw_payload

log = structlog.get_logger(__name__)

_BAD = int(Status.BAD)
_NOTHING: Mapping[int, Binding] = {}
_CLOCK_AHEAD_US = 60_000_000
"""A message that is further ahead of us than this says nothing about when its edge node died."""


class Lifecycle:
    """Reads messages of edge nodes; what is held back, and what must be kept, is in its attributes afterwards."""

    def __init__(
        self, source: str, reader: MetricReader, items: Items, rebirths: Rebirths[EdgeNode], birth_timeout_s: float
    ) -> None:
        """Read for `source`; births that are needed are put down in `rebirths`."""
        self._source, self._reader, self._items, self._rebirths = source, reader, items, rebirths
        self._metrics = Metrics(reader)
        self.waiting = WaitingRoom(source, self._metrics)
        """What cannot be read yet."""
        self._birth_timeout_s = birth_timeout_s
        self.changed: dict[tuple[EdgeNode, str], None] = {}
        """Births that must be kept, as (edge node, device id)."""
        self._receive_times = ReceiveTimes()
        self._steps: Mapping[str, Callable[[EdgeNode, Held, Output], None]] = {
            "DBIRTH": self._dbirth, "DDEATH": self._ddeath, "NDATA": self._data, "DDATA": self._data,
        }  # fmt: skip

    # -- messages as they come ---------------------------------------------------------------------------------------

    def take(self, node: EdgeNode, kind: str, device_id: str, message: Message, out: Output) -> None:
        """Read one message, or let it wait."""
        held = self.opened(node, kind, device_id, message, out)
        if held is None:
            return
        if message.retain:
            self._retained(node, held, out)
        elif kind == "NDEATH":
            self._ndeath(node, held, out)
        elif kind == "NBIRTH":
            self._nbirth(node, held, hash(message.payload), out)
        else:
            self._in_sequence(node, held, hash(message.payload), out)

    def opened(self, node: EdgeNode, kind: str, device_id: str, message: Message, out: Output) -> Held | None:
        """Return a message with its payload parsed; None if it is none, which is then rejected."""
        try:
            payload = read_payload(message.payload)
        except RefusedError as refused:
            raw = raw_payload(message.payload)
            out.rows().rejects.append(Reject(self._source, raw, (str(refused),), out.received_us))
            return None
        device = node.device(device_id)
        stamp = payload.timestamp
        frame = Frame(
            message.topic,
            # messages taken in one turn share a receive time; a sensor's readings must not
            stamp * 1000 if stamp else self._receive_times.take(out.received_us),
            out.received_us,
            has_properties=has_marks(message.payload),
        )
        owed = message if message.qos else None
        return Held(kind, device, payload, frame, payload.metrics, device.birth, out.now, message=owed)

    def _in_sequence(self, node: EdgeNode, held: Held, digest: int, out: Output) -> None:
        if not held.payload.HasField("seq"):
            # against the standard: what gets lost then is lost unseen
            step = self._untrusted if node.sequence.expected is None else self._steps[held.message_type]
            step(node, held, out)
            return
        seq = held.payload.seq & 0xFF
        order = node.sequence.judge(seq, digest)
        if order is Order.IN_ORDER:
            self.heard(node)
            self._steps[held.message_type](node, held, out)
            self._those_behind(node, out)
        elif order is Order.EARLY:
            if not held.is_data or self._metrics.by_name(held, out):
                self.waiting.keep(held)
            node.sequence.keep(seq, held)
            node.reorder_at = node.reorder_at or out.now
            if node.sequence.is_full:
                self.give_up_waiting(node, out)
        elif order is Order.UNKNOWN:
            self._untrusted(node, held, out)
        else:
            log.debug(
                "sparkplug_message_repeated",
                source=self._source,
                edge_node=node.name,
                device=held.device.device_id,
                seq=seq,
            )

    def _those_behind(self, node: EdgeNode, out: Output) -> None:
        while (waiting := node.sequence.next_in_order()) is not None:
            self._steps[waiting.message_type](node, waiting, out)
            self.waiting.release(waiting)
        # what is still missing is another message: it has the whole time again
        node.reorder_at = out.now if node.sequence.is_waiting else None

    def _untrusted(self, node: EdgeNode, held: Held, out: Output) -> None:
        """Take a message although births may have been missed before it."""
        if not held.is_data:
            self._steps[held.message_type](node, held, out)
        else:
            rest = self._metrics.by_name(held, out)
            if node.is_unanswered:
                self._metrics.doubtfully(held, out)
            else:
                self.waiting.hold(node, held, rest, out)
        if node.sequence.expected is None:
            self._rebirths.want(node)

    def give_up_waiting(self, node: EdgeNode, out: Output) -> None:
        """Stop waiting for a missing number: from now on nothing is certain before the next birth."""
        log.warning(
            "sparkplug_sequence_gap", source=self._source, edge_node=node.name, missing_seq=node.sequence.expected
        )
        node.reorder_at = None
        for waiting in node.sequence.give_up():
            if waiting.is_data:
                self.waiting.hold(node, waiting, waiting.metrics, out)
            else:
                self._steps[waiting.message_type](node, waiting, out)
                self.waiting.release(waiting)
        self._rebirths.want(node)

    def heard(self, node: EdgeNode) -> None:
        """Note that an edge node is there and that its aliases are certain."""
        if not node.is_heard:
            node.is_heard, node.ask_at, node.due_at = True, None, None
            for device in node.devices.values():
                if not device.awaits_birth:
                    self._report(device)

    # -- births ------------------------------------------------------------------------------------------------------

    def _nbirth(self, node: EdgeNode, held: Held, digest: int, out: Output) -> None:
        if node.birth_digest == digest and node.sequence.expected is not None:
            log.debug("sparkplug_message_repeated", source=self._source, edge_node=node.name, device="")
            return
        birth = Birth.read(held.payload)
        # what still waits for a number came before this birth, and its numbers end here
        self.waiting.shelve(node)
        node.sequence.born(held.payload.seq & 0xFF, digest)
        node.birth_digest, node.bd_seq = digest, bd_seq_of(held.payload)
        node.reorder_at, node.is_unanswered = None, False
        node.is_heard, node.ask_at, node.due_at = True, None, None
        self._rebirths.born(node)
        for device in node.devices.values():
            if device.device_id:
                device.awaits_birth = True
                device.due_at = out.now + self._birth_timeout_s if device.tags else None
        self._born(node, held, birth, out)

    def _dbirth(self, node: EdgeNode, held: Held, out: Output) -> None:
        self._born(node, held, Birth.read(held.payload), out)

    def _born(self, node: EdgeNode, held: Held, birth: Birth, out: Output) -> None:
        device = held.device
        device.bind(birth)
        device.is_alive, device.awaits_birth, device.due_at = True, False, None
        self._seen(device, held.frame)
        if device.device_id in node.devices:
            self.changed[node, device.device_id] = None
        log.debug(
            "sparkplug_birth",
            source=self._source,
            edge_node=node.name,
            device=held.device.device_id,
            metrics=len(birth.definitions),
            bd_seq=node.bd_seq,
        )
        self._report(device)
        self._read_values(device, held, out)
        self.waiting.read_certainly(node, device, out)

    def _read_values(self, device: Device, held: Held, out: Output) -> None:
        if device.tags:
            rows = out.rows(first=True)
            for metric in held.payload.metrics:
                binding = device.by_name.get(metric.name)
                if binding is not None and binding.tags:
                    self._reader.read(rows, binding, metric, held.frame)

    def _report(self, device: Device) -> None:
        for name, tags in device.tags.items():
            for tag in tags:
                if name not in device.birth.definitions:
                    self._items.failed(
                        tag,
                        f"the birth certificate of {tag.address.where()} has no metric {name}: it was renamed or "
                        "removed; change the tag's metric (gl tags discover lists them)",
                    )
                elif tag.refused is not None:
                    self._items.failed(tag, tag.refused)
                else:
                    self._items.recovered(tag)

    def _retained(self, node: EdgeNode, held: Held, out: Output) -> None:
        """Take a birth that a broker has kept as what it is: old; nothing else is ever kept."""
        if not held.message_type.endswith("BIRTH"):
            log.debug("sparkplug_retained_ignored", source=self._source, edge_node=node.name)
            return
        if node.sequence.expected is None and not held.device.birth.definitions:
            held.device.bind(Birth.read(held.payload))
            self._read_values(held.device, held, out)

    # -- deaths ------------------------------------------------------------------------------------------------------

    def _ndeath(self, node: EdgeNode, held: Held, out: Output) -> None:
        number = bd_seq_of(held.payload)
        if node.bd_seq is not None and number is not None and number != node.bd_seq:
            log.info(
                "sparkplug_stale_death_ignored",
                source=self._source, edge_node=node.name, bd_seq=number, present_bd_seq=node.bd_seq,
            )  # fmt: skip
            return
        self.waiting.shelve(node)
        node.birth_digest, node.reorder_at = None, None
        node.is_heard, node.ask_at, node.due_at = True, None, None
        self._rebirths.born(node)
        reason = f"the edge node {node.name} is offline (NDEATH): see the edge node and its network"
        for device in node.devices.values():
            # a will is written when its connection begins: the broker sends it when the node is gone, that is, now
            self._died(device, out.received_us, reason, out)

    def _ddeath(self, node: EdgeNode, held: Held, out: Output) -> None:
        reason = f"the device {held.device.device_id} of {node.name} is offline (DDEATH): see the device"
        self._died(held.device, held.frame.time_us, reason, out)

    def _died(self, device: Device, at_us: int, reason: str, out: Output) -> None:
        was_dead, device.is_alive = device.is_alive is False, False
        device.awaits_birth, device.due_at = True, None
        rows = out.rows() if device.tags else Rows()
        if device.latest_us <= out.received_us + _CLOCK_AHEAD_US:
            # else our clock was set back since: what it says now counts
            at_us = max(at_us, device.latest_us + 1)
        for tag in device.all_tags():
            self._items.failed(tag, reason)
            if was_dead:
                continue
            if tag.is_text:
                rows.texts.append((at_us, tag.key, None, _BAD))
            else:
                rows.missing.append(len(rows.times))
                rows.times.append(at_us)
                rows.keys.append(tag.key)
                rows.values.append(0.0)
                rows.statuses.append(_BAD)

    # -- data --------------------------------------------------------------------------------------------------------

    def _data(self, node: EdgeNode, held: Held, out: Output) -> None:
        device = held.device
        self._seen(device, held.frame)
        if not device.tags:
            return
        aliases = _NOTHING if device.awaits_birth else device.by_alias
        unknown = self._metrics.read(out.rows(), device, held, aliases)
        if unknown:
            self.waiting.hold(node, held, unknown, out)
            self._rebirths.want(node)

    @staticmethod
    def _seen(device: Device, frame: Frame) -> None:
        if device.latest_us < frame.time_us <= frame.received_us + _CLOCK_AHEAD_US:
            device.latest_us = frame.time_us
