"""The tags of one device: what is read for each, and how answers become batches. No I/O but through the device."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from bacpypes3.primitivedata import ObjectIdentifier

from resources.core.clock import Clock, to_micros
from resources.core.readings import Status
from resources.core.receive_times import ReceiveTimes
from resources.core.tags import SensorCatalog
from resources.scada.bacnet.codec import BatchBuilder, TagFacts, facts_of, status_of
from resources.scada.bacnet.config import BacnetTag
from resources.scada.bacnet.device import BacnetDevice, Item, items_of


class TagTable:
    """Positions of tags, their objects, and the times of their readings."""

    def __init__(self, source: str, tags: Sequence[BacnetTag], catalog: SensorCatalog, clock: Clock) -> None:
        """Number the tags by their position, their sensors by `catalog`."""
        self.tags = tags
        self.objects = [ObjectIdentifier(tag.object) for tag in tags]
        self.positions = {tag.sensor_id: position for position, tag in enumerate(tags)}
        self._source, self._catalog, self._clock = source, catalog, clock
        self._receive_times = ReceiveTimes()

    def items(self, positions: Iterable[int]) -> list[Item]:
        """Return what is read for some tags: value, flags, reliability; of each object once."""
        wanted: OrderedDict[Item, None] = OrderedDict()
        for position in sorted(positions, key=lambda p: self.objects[p]):
            tag, object_id = self.tags[position], self.objects[position]
            wanted[object_id, tag.property, tag.array_index] = None
            wanted |= dict.fromkeys(items_of([object_id], "status-flags", "reliability"))
        return list(wanted)

    def value_of(self, position: int, found: dict[Item, Any]) -> tuple[Any, Status]:
        """Return a tag's value, or `Refused`, and how good it is."""
        tag, object_id = self.tags[position], self.objects[position]
        flags, reliability = found.get((object_id, "status-flags", None)), found.get((object_id, "reliability", None))
        return found[object_id, tag.property, tag.array_index], status_of(flags, reliability)

    async def learn(self, device: BacnetDevice, positions: Iterable[int]) -> dict[int, TagFacts]:
        """Return what the device says of tags' units and scales."""
        chosen = [p for p in positions if self.tags[p].property == "present-value"]
        items = items_of(sorted({self.objects[p] for p in chosen}), "units")
        counters = {self.objects[p] for p in chosen if str(self.objects[p][0]) == "accumulator"}
        found = await device.read(items + items_of(sorted(counters), "scale"))
        return {
            p: facts_of(
                self.tags[p],
                found[self.objects[p], "units", None],
                found.get((self.objects[p], "scale", None)),
            )
            for p in chosen
        }

    def builder(self, facts: dict[int, TagFacts]) -> BatchBuilder:
        """Return an empty batch."""
        return BatchBuilder(self._source, self.tags, self._catalog, facts)

    def positions_of(self, object_id: ObjectIdentifier) -> list[int]:
        """Return the tags that notifications of an object carry."""
        return [p for p, o in enumerate(self.objects) if o == object_id and self.tags[p].is_reported()]

    def receive_time(self) -> int:
        """Return the present time, later than any before, unless the wall clock was set back."""
        return self._receive_times.take(to_micros(self._clock.now()))
