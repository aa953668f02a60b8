"""The payloads of ordinary topics: each tag has a topic, and a path or a column in what comes on it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path

from resources.core.clock import Clock
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.connector import FoundItem, StatusSink
from resources.scada.mqtt.config import MqttConfig, StatusTopic, TopicFilter
from resources.scada.mqtt.forms.codec import MessageDecoder
from resources.scada.mqtt.forms.commands import command
from resources.scada.mqtt.forms.looking import TagExplorer, TagReader
from resources.scada.mqtt.link.packets import Subscription, Will
from resources.scada.mqtt.link.wire import Message
from resources.scada.mqtt.payloads import Decoded, Look, Opening, Outbox, Outgoing

_RETAIN_HANDLING = {"always": 0, "when_new": 1, "never": 2}


class TagDecoder:
    """A `PayloadDecoder` for JSON, CSV and plain payloads."""

    def __init__(self, source: str, config: MqttConfig, catalog: SensorCatalog, clock: Clock) -> None:
        """Prepare to decode the tags of `config`."""
        self._source, self._config, self._clock = source, config, clock
        self._catalog = catalog
        self._messages = MessageDecoder(
            source, config.tags, catalog, payload=config.payload, csv_delimiter=config.csv_delimiter
        )
        self._tags = {tag.sensor_id: tag for tag in config.tags}

    def keep_state_in(self, folder: Path) -> None:
        """Keep nothing: these payloads mean the same whenever they come."""

    def opening(self) -> Opening:
        """Return the configured filters in a persistent session, and the status topic's last will."""
        wanted = [_subscription(each, self._config.qos) for each in self._config.topic_filters]
        status = self._config.status_topic
        will = Will(status.topic, status.offline.encode(), status.qos) if status else None
        return Opening(wanted, will=will)

    def connected(self, outbox: Outbox, status: StatusSink) -> None:
        """Say that the collector is there."""
        if self._config.status_topic:
            outbox.publish(_said(self._config.status_topic, self._config.status_topic.online))

    def closing(self) -> Sequence[Outgoing]:
        """Return that the collector leaves."""
        status = self._config.status_topic
        return (_said(status, status.offline),) if status else ()

    def lost(self) -> None:
        """Do nothing: no state belongs to a connection."""

    def due_in_s(self) -> float | None:
        """Return None: nothing is ever due without a message."""
        return None

    def decode(self, messages: Sequence[Message], received_us: int) -> Sequence[Decoded]:
        """Return one part for each run of retained or live messages; nearly always one."""
        return [
            self._messages.decode(tuple(run), received_us, only_if_newer=retained)
            for retained, run in itertools.groupby(messages, key=attrgetter("retain"))
        ]

    def command(self, sensor_id: str, value: float | str) -> Outgoing:
        """Return what is published on a tag's command topic; see `PayloadDecoder.command`."""
        return command(self._source, self._tags[sensor_id], value, self._clock.now())

    def reader(self, sensor_ids: Iterable[str]) -> Look[ReadingBatch]:
        """Return a look at the topics of some sensors."""
        return TagReader(self._source, self._config, self._catalog, [self._tags[name] for name in sensor_ids])

    def explorer(self) -> Look[Sequence[FoundItem]]:
        """Return a look at whatever the topic filters bring."""
        return TagExplorer(self._config, self.opening().subscriptions)


def _subscription(wanted: TopicFilter, qos: int) -> Subscription:
    return Subscription(
        wanted.filter,
        qos if wanted.qos is None else wanted.qos,
        retain_as_published=wanted.retain_as_published,
        retain_handling=_RETAIN_HANDLING[wanted.retained],
    )


def _said(status: StatusTopic, payload: str) -> Outgoing:
    return Outgoing(status.topic, payload.encode(), status.qos, retain=True)
