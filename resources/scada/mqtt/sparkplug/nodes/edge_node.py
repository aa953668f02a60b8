"""One edge node and the devices behind it, as its messages describe them: births, aliases, what waits. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.sparkplug.nodes.births import Birth, Definition
from resources.scada.mqtt.sparkplug.nodes.sequence import Sequence as SequenceNumbers
from resources.scada.mqtt.sparkplug.payload.schema import MetricMessage, PayloadMessage
from resources.scada.mqtt.sparkplug.readers import Binding, Frame, Tag


class Device:
    """A device, or (with an empty id) the edge node's own metrics."""

    def __init__(self, device_id: str) -> None:
        """Know nothing of it yet."""
        self.device_id = device_id
        self.tags: dict[str, list[Tag]] = {}
        """Metric name -> its tags."""
        self.birth = Birth()
        """The last one known, of whatever session."""
        self.is_alive: bool | None = None
        """True: born in the present session; False: its death was told; None: nobody knows."""
        self.awaits_birth = False
        """True: what its aliases stand for is told by a birth that is still to come."""
        self.due_at: float | None = None
        """When its birth is overdue, monotonic."""
        self.latest_us = 0
        """Newest time of its messages."""
        self.by_alias: Mapping[int, Binding] = {}
        self.by_name: Mapping[str, Binding] = {}

    def bind(self, birth: Birth) -> None:
        """Take over a birth; an empty one waits for the first.

        Tags whose metric it does not have are bound by name, in case the metric is sent after all.
        """
        self.birth = birth
        self.awaits_birth = not birth.definitions
        names = {name: Binding(d, self.tags.get(name, ())) for name, d in birth.definitions.items()}
        self.by_alias = {alias: names[name] for alias, name in birth.names.items()}
        missing = {
            name: Binding(Definition(name, None, 0), tags) for name, tags in self.tags.items() if name not in names
        }
        self.by_name = {**names, **missing}

    def all_tags(self) -> list[Tag]:
        """Return the tags of all metrics."""
        return [tag for tags in self.tags.values() for tag in tags]


@dataclass(slots=True)
class Held:
    """A message, or a part of it, that cannot be read yet."""

    message_type: str
    device: Device
    payload: PayloadMessage
    frame: Frame
    metrics: Sequence[MetricMessage]
    """Those that are still to be read."""
    birth: Birth
    """The birth that was known when it came."""
    since: float
    """Monotonic."""
    message: Message | None = None
    """The message itself, where its sender takes it for delivered (QoS 1 and 2)."""
    ticket: int | None = None
    """Its number in the store, where it is kept in case we are killed."""

    @property
    def is_data(self) -> bool:
        """True for NDATA and DDATA."""
        return self.message_type.endswith("DATA")


@dataclass(slots=True, eq=False)
class EdgeNode:
    """An edge node."""

    group_id: str
    edge_node_id: str
    devices: dict[str, Device] = field(default_factory=dict)
    bd_seq: int | None = None
    """Birth/death number of the last NBIRTH."""
    birth_digest: int | None = None
    """Hash of the last NBIRTH: the very same bytes again are a duplicate."""
    sequence: SequenceNumbers[Held] = field(default_factory=SequenceNumbers)
    reorder_at: float | None = None
    """When waiting for a missing number ends, monotonic."""
    held: list[Held] = field(default_factory=list)
    """What waits for a birth, in order of arrival."""
    is_unanswered: bool = False
    """True once a birth was waited for in vain: data are then read by what is known, as uncertain."""
    is_heard: bool = False
    """True once a birth, or a message that follows the last one, has come over the present connection."""
    ask_at: float | None = None
    """When it is asked for its birth unless it is heard before, monotonic."""
    due_at: float | None = None
    """When its silence is reported, monotonic."""
    _others: Device = field(default_factory=lambda: Device("(not read)"))

    def __post_init__(self) -> None:
        """Read at least the edge node itself: its birth is what all else hangs by."""
        self.add_device("")

    @property
    def key(self) -> tuple[str, str]:
        """Group and edge node."""
        return self.group_id, self.edge_node_id

    @property
    def name(self) -> str:
        """Group and edge node, for people."""
        return f"{self.group_id}/{self.edge_node_id}"

    def add_device(self, device_id: str) -> Device:
        """Return a device that is read; one that is new is made."""
        return self.devices.setdefault(device_id, Device(device_id))

    def device(self, device_id: str) -> Device:
        """Return a device; all those that are not read are one: they count in the sequence, and that is all."""
        return self.devices.get(device_id, self._others)

    def all_tags(self) -> list[Tag]:
        """Return the tags of the edge node and of all its devices."""
        return [tag for device in self.devices.values() for tag in device.all_tags()]

    @property
    def is_restless(self) -> bool:
        """True while something is to happen here by the clock."""
        waiting = self.held or self.sequence.is_waiting or self.ask_at is not None or self.due_at is not None
        return bool(waiting) or any(device.due_at is not None for device in self.devices.values())
