"""The register map of a source: everything that its tags need read, each thing once. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from resources.scada.modbus.config import ModbusConfig


@dataclass(frozen=True, slots=True)
class Item:
    """Something that one request must hold as a whole: a tag's value with its time, or a scale factor."""

    unit_id: int
    table: str
    first: int
    """Zero-based."""
    end: int
    """The address after the last one."""


class RegisterMap:
    """Items by position: those of the tags first, in the order of the configuration, then the scale factors."""

    def __init__(self, config: ModbusConfig) -> None:
        """List what the tags of `config` need."""
        self.tags = config.tags
        items = [Item(config.unit_of(tag), tag.where, *tag.spans[0]) for tag in config.tags]
        scales: dict[Item, int] = {}
        self.scale_of: dict[int, int] = {}
        """Position of a tag -> that of its scale factor."""
        for position, tag in enumerate(config.tags):
            if len(tag.spans) > 1:
                item = Item(config.unit_of(tag), tag.where, *tag.spans[1])
                self.scale_of[position] = scales.setdefault(item, len(items) + len(scales))
        self.items = (*items, *scales)
        self.tags_of_scale: dict[int, tuple[int, ...]] = {}
        """Position of a scale factor -> those of the tags it is for."""
        for tag_position, scale in self.scale_of.items():
            self.tags_of_scale[scale] = (*self.tags_of_scale.get(scale, ()), tag_position)

    def needed(self, tags: Iterable[int]) -> list[int]:
        """Return the positions of everything that is read for some tags."""
        wanted = list(tags)
        return sorted({*wanted, *(self.scale_of[tag] for tag in wanted if tag in self.scale_of)})

    def is_tag(self, position: int) -> bool:
        """Return whether an item is a tag's own, not a scale factor."""
        return position < len(self.tags)

    def tags_with(self, position: int) -> tuple[int, ...]:
        """Return the tags that cannot be told without an item."""
        return (position,) if self.is_tag(position) else self.tags_of_scale[position]
