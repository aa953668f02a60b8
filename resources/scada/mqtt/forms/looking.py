"""Short looks at a broker: the present values of some tags, and what could become a tag."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.connector import FoundItem
from resources.scada.mqtt.config import MqttConfig, MqttTag
from resources.scada.mqtt.forms.codec import MessageDecoder
from resources.scada.mqtt.link.packets import Subscription
from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.payloads import Decoded, Outgoing

MOST_ITEMS = 10_000
"""Items that a discovery lists."""

_TYPES: dict[type, str] = {float: "number", int: "number", bool: "boolean", str: "text"}


class TagReader:
    """Looks for one message on each topic of some tags; a retained one is there at once."""

    def __init__(self, source: str, config: MqttConfig, catalog: SensorCatalog, tags: Sequence[MqttTag]) -> None:
        """Look for `tags`."""
        self._source, self._qos = source, config.qos
        self._waited_for = {tag.topic.encode() for tag in tags}
        self._topics = sorted({tag.topic for tag in tags})
        self._decoder = MessageDecoder(
            source, tags, catalog, payload=config.payload, csv_delimiter=config.csv_delimiter
        )
        self._heard: list[Decoded] = []
        self._retained = True

    def subscriptions(self) -> Sequence[Subscription]:
        """Return the topics, each by itself."""
        return [Subscription(topic, self._qos) for topic in self._topics]

    def asks(self) -> Sequence[Outgoing]:
        """Return nothing: nobody is asked."""
        return ()

    def heard(self, messages: Sequence[Message], received_us: int) -> bool:
        """Keep the first message of each topic."""
        first = []
        for message in messages:
            if message.topic in self._waited_for:
                self._waited_for.discard(message.topic)
                self._retained = self._retained and message.retain
                first.append(message)
        if first:
            self._heard.append(self._decoder.decode(first, received_us))
        return not self._waited_for

    def found(self) -> ReadingBatch | None:
        """Return what was heard, as one batch; None if nothing was."""
        if not self._heard:
            return None
        return ReadingBatch(
            self._source,
            readings=_joined([each.readings for each in self._heard]),
            texts=_joined([each.texts for each in self._heard]),
            rejects=_joined([each.rejects for each in self._heard]),
            only_if_newer=self._retained,
        )


def _joined(parts: Sequence[pa.RecordBatch | None]) -> pa.RecordBatch | None:
    there = [part for part in parts if part is not None]
    return pa.concat_batches(there) if there else None


class TagExplorer:
    """Lists each value of each topic that some filters bring."""

    def __init__(self, config: MqttConfig, subscriptions: Sequence[Subscription]) -> None:
        """Look at what `subscriptions` bring."""
        self._subscriptions = subscriptions
        self._writable = {tag.topic for tag in config.tags if tag.command_topic}
        self._items: dict[tuple[bytes, str], FoundItem] = {}

    def subscriptions(self) -> Sequence[Subscription]:
        """Return the filters of the source; a shared one would take messages away from its group."""
        return [wanted for wanted in self._subscriptions if not wanted.topic_filter.startswith("$share/")]

    def asks(self) -> Sequence[Outgoing]:
        """Return nothing: who publishes is not asked."""
        return ()

    def heard(self, messages: Sequence[Message], received_us: int) -> bool:
        """List the values of each message; full at MOST_ITEMS."""
        for message in messages:
            topic = message.topic.decode("utf-8", "replace")
            for path, kind in _leaves(message.payload):
                if len(self._items) < MOST_ITEMS:
                    self._items[message.topic, path] = self._item(topic, path, kind)
        return len(self._items) >= MOST_ITEMS

    def _item(self, topic: str, path: str, kind: str) -> FoundItem:
        return FoundItem(
            address={"topic": topic, "value_path": path},
            path="/".join(part for part in (topic, path.replace(".", "/")) if part),
            data_type=kind,
            is_text=kind == "text",
            writable=topic in self._writable,
        )

    def found(self) -> Sequence[FoundItem]:
        """Return the items, by path."""
        return sorted(self._items.values(), key=lambda item: item.path)


def _leaves(payload: bytes) -> Iterator[tuple[str, str]]:
    """Yield (path, type) of every value in a payload; the whole payload where it is no JSON."""
    try:
        waiting: list[tuple[str, Any]] = [("", orjson.loads(payload))]
    except orjson.JSONDecodeError:
        yield "", "text"
        return
    while waiting:
        path, found = waiting.pop()
        parts = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
        # a name with a dot in it cannot be a step of a path
        waiting += [(f"{path}.{name}" if path else str(name), part) for name, part in parts if "." not in str(name)]
        if type(found) in _TYPES:
            yield path, _TYPES[type(found)]
