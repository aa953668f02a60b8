"""Parts of a node's value that are tags of their own: an element of an array, a field of a structure.

Tags of one node share one monitored item: a value that comes is taken apart once for each of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asyncua.ua.attribute_ids import AttributeIds

from resources.scada.opc_ua.address_space.data_types import DataTypes
from resources.scada.opc_ua.address_space.structures import UndecodableError, decode_structure
from resources.scada.opc_ua.config import OpcUaTag
from resources.scada.opc_ua.limits import read_in_parts
from resources.scada.opc_ua.wire.codec import Columns

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_NODES_PER_READ = 500


@dataclass(frozen=True, slots=True)
class NoPart:
    """Stands for a part that a value does not have."""

    reason: str


class TagParts:
    """Which tags are parts of a value, which of them share a node, and how they are taken out."""

    def __init__(self, tags: Sequence[OpcUaTag]) -> None:
        """Group the tags by node; client handles are positions of tags."""
        self._steps: dict[int, tuple[str | int, ...]] = {
            position: steps for position, tag in enumerate(tags) if (steps := _steps(tag))
        }
        self._leaders: dict[int, int] = {}
        self._members: dict[int, list[int]] = {}
        first: dict[Any, int] = {}
        for position in self._steps:
            tag = tags[position]
            # what is sampled in another way needs an item of its own
            way = (tag.place, tag.sampling_interval, tag.queue_size, tag.server_deadband, tag.server_deadband_percent)
            leader = first.setdefault(way, position)
            self._leaders[position] = leader
            self._members.setdefault(leader, []).append(position)
        self._of_structures = {position for position in self._steps if tags[position].field is not None}
        self._types: DataTypes | None = None

    def __bool__(self) -> bool:
        """Return whether any tag is a part of a value."""
        return bool(self._steps)

    def leaders(self, positions: Iterable[int]) -> list[int]:
        """Return the tags whose nodes are monitored for these."""
        return list(dict.fromkeys(self._leaders.get(position, position) for position in positions))

    def members(self, leader: int) -> Sequence[int]:
        """Return the tags that a monitored one stands for, itself included."""
        return self._members.get(leader, (leader,))

    async def learn(self, services: Any, nodes: Mapping[int, Any]) -> None:
        """Ask the server how the structures are made that parts are taken from.

        Args:
            services: asyncua's services of an active session.
            nodes: Position of a tag -> node id.
        """
        asked = [node for position, node in nodes.items() if position in self._of_structures]
        if not asked:
            return
        # anew for each session: a server that was changed may number its types otherwise
        types = DataTypes(services)
        kinds = await read_in_parts(services, asked, AttributeIds.DataType, _NODES_PER_READ)
        await types.learn(kind.Value.Value for kind in kinds if kind.Value is not None and kind.Value.Value is not None)
        if self._types is not None:
            types.by_encoding = {**self._types.by_encoding, **types.by_encoding}
        self._types = types

    def taken_apart(self, columns: Columns, *, shared: bool = True) -> Columns:
        """Return the columns with a row for each part in place of the value that it is a part of.

        Args:
            columns: As they came; the handles of parts are those of `leaders`, or the tags' own.
            shared: Whether a handle stands for all members of its group.
        """
        if not self._steps or self._steps.keys().isdisjoint(columns.handles):
            return columns
        found, missing = Columns(), set(columns.missing)
        for row, handle in enumerate(columns.handles):
            if handle not in self._steps:
                value = columns.odd.get(row, None if row in missing else columns.values[row])
                _append(found, columns, row, handle, value)
                continue
            whole = None if row in missing else columns.odd.get(row, columns.values[row])
            for position in self.members(handle) if shared else (handle,):
                _append(found, columns, row, position, self._part(position, whole))
        return found

    def _part(self, position: int, whole: Any) -> Any:
        value = whole
        for number, step in enumerate(self._steps[position]):
            if value is None:
                return None
            try:
                value = _inside(value, step, self._types)
            except (UndecodableError, LookupError, AttributeError, TypeError) as error:
                where = "".join(
                    f"[{s}]" if isinstance(s, int) else f".{s}" for s in self._steps[position][: number + 1]
                )
                said = str(error) if isinstance(error, UndecodableError) else _lack(value, step)
                return NoPart(f"no part {where.lstrip('.')}: {said}")
        return value


def _steps(tag: OpcUaTag) -> tuple[str | int, ...]:
    steps: list[str | int] = [] if tag.element is None else [tag.element]
    for name, number in _STEP.findall(tag.field or ""):
        steps.append(int(number) if number else name)
    return tuple(steps)


def _inside(value: Any, step: str | int, types: DataTypes | None) -> Any:
    if isinstance(step, int):
        if not isinstance(value, list):
            raise TypeError(value)
        return value[step]
    whole = decode_structure(value, types) if types is not None else value
    return whole[step] if isinstance(whole, dict) else getattr(whole, step)


def _lack(value: Any, step: str | int) -> str:
    if isinstance(step, str):
        return f"the structure has no field {step}, or the value is none"
    return f"the array has {len(value)} elements" if isinstance(value, list) else "the value is no array"


def _append(found: Columns, columns: Columns, row: int, handle: int, value: Any) -> None:
    """Add a row with the status and the time of another one."""
    place = len(found.handles)
    if value is None:
        found.missing.append(place)
        value = 0.0
    elif isinstance(value, bool | int | float):
        value = float(value) if isinstance(value, bool) else value
    else:
        found.odd[place] = value
        value = 0.0
    found.handles.append(handle)
    found.values.append(value)
    found.statuses.append(columns.statuses[row])
    found.ticks.append(columns.ticks[row])
