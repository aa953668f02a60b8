"""The Sparkplug host application as a `PayloadDecoder`: subscriptions, our own state, what is kept, what is due.

What single messages mean is in `lifecycle`; here is what surrounds them: the life of the connection, the clock, the
disk. Edge nodes are asked for births when the connection is new and they have not been heard, and when `lifecycle`
needs one, spaced by `Rebirths`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import structlog

from resources.core.clock import Clock
from resources.core.readings import ReadingBatch, Status
from resources.core.tags import SensorCatalog
from resources.scada.connector import FoundItem, StatusSink
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.link.packets import Subscription
from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.payloads import Decoded, Look, Opening, Outbox, Outgoing
from resources.scada.mqtt.sparkplug.commands import Commands, rebirth_request
from resources.scada.mqtt.sparkplug.host_state import HostState, says_offline
from resources.scada.mqtt.sparkplug.items import Items
from resources.scada.mqtt.sparkplug.lifecycle import Lifecycle
from resources.scada.mqtt.sparkplug.nodes.births import Birth
from resources.scada.mqtt.sparkplug.nodes.edge_node import EdgeNode, Held
from resources.scada.mqtt.sparkplug.nodes.rebirths import Rebirths
from resources.scada.mqtt.sparkplug.nodes.store import SparkplugStore
from resources.scada.mqtt.sparkplug.output import Output
from resources.scada.mqtt.sparkplug.readers import MetricReader
from resources.scada.mqtt.sparkplug.roster import Roster
from resources.scada.mqtt.sparkplug.topics import filters_of

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.1
"""How often the clock is looked at while anything is due."""
_LOOK_AT_REST_S = 1.0
"""How often it is looked at otherwise: nothing that waits is urgent to the second."""
_SAFE_AFTER_S = 60.0
"""A message that was held back is forgotten this long after it was read: its readings are durable by then."""


class SparkplugDecoder:
    """Gives Sparkplug B messages their meaning; see `resources.scada.mqtt.payloads.PayloadDecoder`."""

    def __init__(self, source: str, config: MqttConfig, catalog: SensorCatalog, clock: Clock) -> None:
        """Prepare to read the tags of `config`."""
        assert config.sparkplug is not None
        self._source, self._config, self._clock, self._catalog = source, config, clock, catalog
        self._options = options = config.sparkplug
        self._host = HostState(options.host_id, clock)
        self._roster = Roster(config.tags, catalog)
        self._items = Items()
        self._rebirths: Rebirths[EdgeNode] = Rebirths(options.rebirth_interval.total_seconds())
        codes = {code: int(Status[word.upper()]) for code, word in options.quality_codes.items()}
        self._lifecycle = Lifecycle(
            source,
            MetricReader(source, codes),
            self._items,
            self._rebirths,
            options.birth_timeout.total_seconds(),
        )
        self._outbox: Outbox | None = None
        self._store: SparkplugStore | None = None
        self._left_over: list[tuple[int, bytes, bytes, int]] = []
        self._safe_at: list[tuple[float, int]] = []
        self._looked_at = float("-inf")
        self._is_busy = True
        self._commands = Commands(source, config.tags, clock)

    # -- the connection ----------------------------------------------------------------------------------------------

    def keep_state_in(self, folder: Path) -> None:
        """Take over what an earlier process has kept in `folder`, and keep it there from now on.

        Raises:
            ConfigError: The folder cannot be written.
        """
        self._store = SparkplugStore(folder)
        for (group_id, node_id), device_id, metrics in self._store.births():
            node = self._roster.find(group_id, node_id)
            if node is not None and device_id in node.devices:
                node.devices[device_id].bind(Birth.from_text(metrics))
        for key, (bd_seq, expected) in self._store.edge_nodes().items():
            node = self._roster.find(*key)
            if node is not None:
                node.bd_seq, node.sequence.expected = bd_seq, expected
        # where we are in the numbers was true when it was written; from now on it is not
        self._store.keep_expected((key, None) for key in self._store.edge_nodes())
        self._left_over = self._store.held()

    def opening(self) -> Opening:
        """Return the subscriptions of our own state and of every edge node, and the will that says we are gone."""
        # nothing is published with QoS 2, and 1 keeps whatever is published with more than 0
        qos = min(self._config.qos, 1)
        wanted = [Subscription(self._host.topic, 1)]
        for node in self._roster.nodes:
            wanted += [Subscription(each, qos) for each in filters_of(node.group_id, node.edge_node_id)]
        now = self._clock.monotonic()
        overdue_s = (self._options.birth_timeout + self._config.connect_timeout).total_seconds()
        for node in self._roster.nodes:
            node.is_heard = False
            node.ask_at = now + self._options.reorder_timeout.total_seconds()
            node.due_at = now + overdue_s
        return Opening(wanted, clean=self._options.clean_session, will=self._host.will())

    def connected(self, outbox: Outbox, status: StatusSink) -> None:
        """Say that we are there."""
        self._outbox = outbox
        self._items.report_to(status)
        outbox.publish(self._host.online())
        self._ask(self._clock.monotonic())

    def closing(self) -> Sequence[Outgoing]:
        """Return that we leave."""
        return (self._host.offline(),)

    def lost(self) -> None:
        """Keep where each edge node is in its numbers: if it goes on there, nothing was missed."""
        self._outbox = None
        self._items.report_to(None)
        for node in self._roster.nodes:
            node.sequence.forget_repeats()
        if self._store is not None:
            self._store.keep_expected((node.key, node.sequence.expected) for node in self._roster.nodes)
            self._store.close()

    # -- messages ----------------------------------------------------------------------------------------------------

    def decode(self, messages: Sequence[Message], received_us: int) -> Sequence[Decoded]:
        """Return what `messages` say, and what has come due."""
        now = self._clock.monotonic()
        out = Output(received_us, now)
        if self._left_over:
            self._take_left_over(out)
        take = self._lifecycle.take
        for message in messages:
            route = self._roster.route(message.topic)
            if route is not None:
                take(route.node, route.message_type, route.device_id, message, out)
            elif message.topic == self._host.topic.encode():
                self._hear_of_ourselves(message)
        if now - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = now
            self._look_at_clocks(now, out)
        self._ask(now)
        self._keep(now)
        return out.parts()

    def due_in_s(self) -> float | None:
        """Return when the clock is to be looked at again."""
        return _LOOK_EVERY_S if self._is_busy else _LOOK_AT_REST_S

    def _hear_of_ourselves(self, message: Message) -> None:
        """Contradict whoever says that we are gone: an old will, or another host by the same name."""
        # what the broker has kept is from before we came, and our state has taken its place by now
        if self._outbox is not None and not message.retain and says_offline(message.payload):
            log.info("sparkplug_state_repeated", source=self._source, topic=self._host.topic)
            self._outbox.publish(self._host.online())

    def _look_at_clocks(self, now: float, out: Output) -> None:
        reorder_s = self._options.reorder_timeout.total_seconds()
        birth_s = self._options.birth_timeout.total_seconds()
        self._is_busy = self._rebirths.is_wanted
        for node in self._roster.nodes:
            if not node.is_restless:
                continue
            self._is_busy = True
            if node.reorder_at is not None and now - node.reorder_at >= reorder_s:
                self._lifecycle.give_up_waiting(node, out)
            if node.held and now - node.held[0].since >= birth_s:
                self._lifecycle.waiting.read_doubtfully(node, out)
            if node.ask_at is not None and now >= node.ask_at:
                node.ask_at = None
                self._rebirths.want(node)
            self._report_overdue(node, now)

    def _report_overdue(self, node: EdgeNode, now: float) -> None:
        if node.due_at is not None and now >= node.due_at:
            node.due_at = None
            reason = (
                f"no birth certificate has come from {node.name}, although it was asked for one: see that the edge "
                "node runs, is connected to this broker and may be sent commands (NCMD), and that we may subscribe its "
                "topics"
            )
            for tag in node.all_tags():
                self._items.failed(tag, reason)
        for device in node.devices.values():
            if device.due_at is not None and now >= device.due_at:
                device.due_at = None
                reason = (
                    f"no birth certificate of the device {device.device_id} has come since that of {node.name}: see "
                    "that the device is there"
                )
                for tag in device.all_tags():
                    self._items.failed(tag, reason)

    def _ask(self, now: float) -> None:
        if self._outbox is None or not self._rebirths.is_wanted:
            return
        for node in self._rebirths.due(now):
            log.info("sparkplug_rebirth_requested", source=self._source, edge_node=node.name)
            self._outbox.publish(rebirth_request(node.group_id, node.edge_node_id, self._clock))

    # -- what must outlive the process -------------------------------------------------------------------------------

    def _take_left_over(self, out: Output) -> None:
        left_over, self._left_over = self._left_over, []
        for ticket, topic, payload, _ in left_over:
            route = self._roster.route(topic)
            held: Held | None = None
            if route is not None:
                message = Message(topic, payload, 0, 0, retain=False)
                held = self._lifecycle.opened(route.node, route.message_type, route.device_id, message, out)
            if route is None or held is None:
                self._lifecycle.waiting.released.append(ticket)
                continue
            held.ticket = ticket
            if self._lifecycle.waiting.hold_again(route.node, held, out):
                self._rebirths.want(route.node)

    def _keep(self, now: float) -> None:
        """Write births and what was held back before anything of this turn is acknowledged or read further."""
        life, waiting, store = self._lifecycle, self._lifecycle.waiting, self._store
        changed, life.changed = life.changed, {}
        held, waiting.kept = [one for one in waiting.kept if one.message is not None], []
        self._safe_at += [(now + _SAFE_AFTER_S, ticket) for ticket in waiting.released]
        waiting.released = []
        if store is None:
            return
        if changed:
            store.keep_births(
                (node.key, node.bd_seq, device_id, node.device(device_id).birth.to_text())
                for node, device_id in changed
            )
        if held:
            messages = [(one.message.topic, one.message.payload, one.frame.received_us) for one in held if one.message]
            for one, ticket in zip(held, store.hold(messages), strict=True):
                one.ticket = ticket
        if self._safe_at and self._safe_at[0][0] <= now:
            store.release(ticket for at, ticket in self._safe_at if at <= now)
            self._safe_at = [(at, ticket) for at, ticket in self._safe_at if at > now]

    # -- beside the connection ---------------------------------------------------------------------------------------

    def command(self, sensor_id: str, value: float | str) -> Outgoing:
        """Return the NCMD or DCMD that sets a tag's metric; see `PayloadDecoder.command`."""
        return self._commands.command(sensor_id, value)

    def reader(self, sensor_ids: Iterable[str]) -> Look[ReadingBatch]:
        """Return a look that asks the edge nodes of some sensors for their births, and reads them."""
        from resources.scada.mqtt.sparkplug.looks import MetricLook

        return MetricLook(self._source, self._config, self._catalog, self._clock, sensor_ids, self._commands)

    def explorer(self) -> Look[Sequence[FoundItem]]:
        """Return a look that lists the metrics of all edge nodes that answer."""
        from resources.scada.mqtt.sparkplug.looks import Survey

        return Survey(self._config, self._clock)
