"""What is reported of single tags: each reason once, and the recovery once."""

from __future__ import annotations

from typing import Protocol

from resources.scada.mqtt.sparkplug.readers import Tag


class ItemSink(Protocol):
    """Who is told; every `StatusSink` will do."""

    def item_failed(self, sensor_id: str, reason: str) -> None:
        """Note that an item cannot be read."""
        ...

    def item_recovered(self, sensor_id: str) -> None:
        """Note that it is read again."""
        ...


class Items:
    """Passes reports on; those made while there is no connection are passed on with the next one."""

    def __init__(self) -> None:
        """Begin with nothing reported."""
        self._sink: ItemSink | None = None
        self._failed: dict[str, str] = {}
        self._waiting: dict[str, str | None] = {}

    def report_to(self, sink: ItemSink | None) -> None:
        """Take who listens from now on; None: nobody, keep the reports."""
        self._sink = sink
        if sink is not None:
            waiting, self._waiting = self._waiting, {}
            for sensor_id, reason in waiting.items():
                self._tell(sensor_id, reason)

    def failed(self, tag: Tag, reason: str) -> None:
        """Report that a tag cannot be read, unless that was the last report."""
        if self._failed.get(tag.sensor_id) != reason:
            self._failed[tag.sensor_id] = reason
            self._tell(tag.sensor_id, reason)

    def recovered(self, tag: Tag) -> None:
        """Report that a tag is read again, if it had failed."""
        if self._failed.pop(tag.sensor_id, None) is not None:
            self._tell(tag.sensor_id, None)

    def _tell(self, sensor_id: str, reason: str | None) -> None:
        if self._sink is None:
            self._waiting[sensor_id] = reason
        elif reason is None:
            self._sink.item_recovered(sensor_id)
        else:
            self._sink.item_failed(sensor_id, reason)
