"""What a server offers: every readable variable, element of an array and field of a structure that can become a tag."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua as opc_ua
from asyncua.ua.attribute_ids import AttributeIds

from resources.scada.connector import FoundItem
from resources.scada.opc_ua.address_space.browse import Place, Walk
from resources.scada.opc_ua.address_space.data_types import DataTypes
from resources.scada.opc_ua.address_space.eu_units import ucum
from resources.scada.opc_ua.limits import read_in_parts
from resources.scada.opc_ua.sessions.session import Session
from resources.scada.opc_ua.wire.nodes import node_text

ua: Any = opc_ua

MOST_ELEMENTS = 256
"""Elements of an array that are offered: a longer one is a curve or a buffer, not so many sensors."""

_READABLE, _WRITABLE = 0x01, 0x02
_OPEN_RANKS = (-3, -2, 0)
"""ValueRank of a variable that may be a scalar or an array, or an array of any rank."""
_NODES_PER_READ = 500
_DEEPEST = 4
"""Structures within structures that are looked into."""


@dataclass(slots=True)
class _Facts:
    """What the server says of a variable."""

    place: Place
    access: int = 0
    type_id: Any = None
    rank: int = -1
    lengths: Sequence[int] = field(default_factory=tuple)
    description: str = ""
    unit: str | None = None


async def offers(source: str, session: Session) -> list[FoundItem]:
    """Return what can become a tag, by path.

    Raises:
        UaError, OSError: As asyncua.
    """
    variables: list[Place] = []
    units: dict[Any, Any] = {}
    walk = Walk(source, session.services, nodes_per_call=session.limits.nodes_per_browse)
    async for place in walk.places():
        if place.is_property:
            if place.names[-1].Name == "EngineeringUnits":
                units[place.parent] = place.node
        elif place.is_variable:
            variables.append(place)
    types = DataTypes(session.services)
    found = await _facts(session, variables, units)
    await types.learn([facts.type_id for facts in found])
    items = [item for facts in found for item in _items(facts, types, session.namespaces)]
    return sorted(items, key=lambda item: item.path)


async def _facts(session: Session, places: Sequence[Place], units: Mapping[Any, Any]) -> list[_Facts]:
    """Return what the server says of the variables that can be read."""
    nodes = [place.node for place in places]
    access = await _read(session, nodes, AttributeIds.UserAccessLevel)
    found = [
        _Facts(place, int(level))
        for place, level in zip(places, access, strict=True)
        if level is not None and int(level) & _READABLE
    ]
    nodes = [facts.place.node for facts in found]
    kinds = await _read(session, nodes, AttributeIds.DataType)
    ranks = await _read(session, nodes, AttributeIds.ValueRank)
    texts = await _read(session, nodes, AttributeIds.Description)
    for facts, kind, rank, text in zip(found, kinds, ranks, texts, strict=True):
        facts.type_id, facts.rank = kind, -1 if rank is None else int(rank)
        facts.description = (getattr(text, "Text", None) or "").strip()
    await _settle_ranks(session, [facts for facts in found if facts.rank in _OPEN_RANKS])
    await _add_lengths(session, [facts for facts in found if facts.rank == 1])
    measured = [facts for facts in found if facts.place.node in units]
    told = await _read(session, [units[facts.place.node] for facts in measured], AttributeIds.Value)
    for facts, unit in zip(measured, told, strict=True):
        if isinstance(unit, ua.EUInformation):
            facts.unit = ucum(unit.UnitId, unit.DisplayName.Text if unit.DisplayName else None)
    return [facts for facts in found if facts.type_id is not None]


async def _settle_ranks(session: Session, undecided: Sequence[_Facts]) -> None:
    """Tell by their present value what variables are that may be an array or not."""
    values = await _read(session, [facts.place.node for facts in undecided], AttributeIds.Value)
    for facts, value in zip(undecided, values, strict=True):
        facts.rank = 1 if isinstance(value, list) else -1


async def _add_lengths(session: Session, arrays: Sequence[_Facts]) -> None:
    """Note how many elements arrays have: their dimension where it is fixed, else that of the present value."""
    nodes = [facts.place.node for facts in arrays]
    for facts, lengths in zip(arrays, await _read(session, nodes, AttributeIds.ArrayDimensions), strict=True):
        facts.lengths = [length for length in lengths or () if length]
    free = [facts for facts in arrays if not facts.lengths]
    values = await _read(session, [facts.place.node for facts in free], AttributeIds.Value)
    for facts, value in zip(free, values, strict=True):
        facts.lengths = [len(value)] if isinstance(value, list) else []


async def _read(session: Session, nodes: Sequence[Any], attribute: AttributeIds) -> list[Any]:
    most = min(session.limits.nodes_per_read or _NODES_PER_READ, _NODES_PER_READ)
    found = await read_in_parts(session.services, nodes, attribute, most)
    return [data.Value.Value if data.Value is not None else None for data in found]


@dataclass(frozen=True, slots=True)
class _Part:
    """A value inside a variable: how it is addressed, how it is written in a path, and of which type it is."""

    address: Mapping[str, str]
    suffix: str
    type_id: Any


def _items(facts: _Facts, types: DataTypes, namespaces: Sequence[str]) -> Iterator[FoundItem]:
    node_id = node_text(facts.place.node, namespaces)
    for whole in _elements(facts):
        for part in _leaves(whole, types):
            kind = types[part.type_id]
            if kind.kind not in ("number", "text"):
                continue
            yield FoundItem(
                address={"node_id": node_id, **part.address},
                path=facts.place.path + part.suffix,
                data_type=kind.name,
                unit=facts.unit if kind.kind == "number" else None,
                is_text=kind.kind == "text",
                # a part of a value cannot be written alone
                writable=bool(facts.access & _WRITABLE) and not part.address,
                description=facts.description,
            )


def _elements(facts: _Facts) -> Iterator[_Part]:
    if facts.rank < 1:
        yield _Part({}, "", facts.type_id)
    elif facts.rank == 1 and facts.lengths and facts.lengths[0] <= MOST_ELEMENTS:
        for number in range(facts.lengths[0]):
            yield _Part({"element": str(number)}, f"[{number}]", facts.type_id)


def _leaves(part: _Part, types: DataTypes, deep: int = 0) -> Iterator[_Part]:
    """Yield the scalar values in a part: itself, or those of a structure's fields."""
    kind = types[part.type_id]
    if kind.kind != "structure":
        yield part
        return
    if deep >= _DEEPEST:
        return
    for inner in kind.fields:
        if inner.rank >= 1:
            continue  # how long it is shows in each value alone: such a field is configured by hand
        before = f"{part.address['field']}." if "field" in part.address else ""
        address = {**part.address, "field": before + inner.name}
        yield from _leaves(_Part(address, f"{part.suffix}.{inner.name}", inner.type_id), types, deep + 1)
