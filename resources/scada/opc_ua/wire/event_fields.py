"""Which fields of an event are asked for, and events made of the answers. Pure.

Fields are asked for by path and by the type that defines them; an event of another type answers null.
Source: OPC 10000-4, 7.22.3 (EventFilter); OPC 10000-5, 6.4.2 (BaseEventType); OPC 10000-9, 5.5, 5.7, 5.8 (conditions).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from asyncua import ua as opc_ua
from asyncua.ua.attribute_ids import AttributeIds

from resources.core.clock import to_micros
from resources.core.events import SourceEvent
from resources.scada.opc_ua.wire.nodes import node_text

ua: Any = opc_ua

_BASE, _CONDITION, _ACKNOWLEDGEABLE, _ALARM = 2041, 2782, 2881, 2915
REFRESH_START, REFRESH_END, REFRESH_REQUIRED = 2787, 2788, 2789
"""Event types of namespace 0 that frame a refresh, and that ask for one."""

FIELDS: tuple[tuple[str, int, tuple[str, ...]], ...] = (
    ("event_id", _BASE, ("EventId",)),
    ("event_type", _BASE, ("EventType",)),
    ("source_node", _BASE, ("SourceNode",)),
    ("source_name", _BASE, ("SourceName",)),
    ("time", _BASE, ("Time",)),
    ("receive_time", _BASE, ("ReceiveTime",)),
    ("message", _BASE, ("Message",)),
    ("severity", _BASE, ("Severity",)),
    ("condition_id", _CONDITION, ()),  # the condition's own node id: an attribute, not a property
    ("condition_name", _CONDITION, ("ConditionName",)),
    ("branch_id", _CONDITION, ("BranchId",)),
    ("retain", _CONDITION, ("Retain",)),
    ("enabled", _CONDITION, ("EnabledState", "Id")),
    ("comment", _CONDITION, ("Comment",)),
    ("acked", _ACKNOWLEDGEABLE, ("AckedState", "Id")),
    ("confirmed", _ACKNOWLEDGEABLE, ("ConfirmedState", "Id")),
    ("active", _ALARM, ("ActiveState", "Id")),
    ("input_node", _ALARM, ("InputNode",)),
    ("suppressed_or_shelved", _ALARM, ("SuppressedOrShelved",)),
)
"""Name here, type that defines the field, path from an event of that type to it."""

_DETAILS = ("enabled", "comment", "input_node", "suppressed_or_shelved")


def event_filter(minimum_severity: int) -> Any:
    """Return the filter of an event item: the fields, and the lowest severity wanted."""
    wanted = ua.EventFilter()
    wanted.SelectClauses = [_operand(kind, path) for _, kind, path in FIELDS]
    if minimum_severity > 1:
        literal = ua.LiteralOperand(Value=ua.Variant(minimum_severity, ua.VariantType.UInt16))
        wanted.WhereClause.Elements = [
            ua.ContentFilterElement(
                FilterOperator=ua.FilterOperator.GreaterThanOrEqual,
                FilterOperands=[_operand(_BASE, ("Severity",)), literal],
            )
        ]
    return wanted


def _operand(kind: int, path: Sequence[str]) -> Any:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(kind),
        BrowsePath=[ua.QualifiedName(name, 0) for name in path],
        AttributeId=AttributeIds.Value if path else AttributeIds.NodeId,
    )


def by_name(fields: Sequence[Any]) -> dict[str, Any]:
    """Return the values of an event's fields by name; what the server did not send is absent."""
    values = (variant.Value for variant in fields)
    return {name: value for (name, _, _), value in zip(FIELDS, values, strict=False) if value is not None}


class EventMaker:
    """Makes events of fields, at a server with these namespaces."""

    def __init__(
        self, source: str, namespaces: Sequence[str], sensor_of: Callable[[Any], str | None], names: Mapping[Any, str]
    ) -> None:
        """Prepare.

        Args:
            source: Name of the source.
            namespaces: Of the server, by index.
            sensor_of: Returns the sensor that a node is configured as, if it is.
            names: Event type -> its browse name, as far as known.
        """
        self._source, self._namespaces, self._sensor_of, self._names = source, namespaces, sensor_of, names

    def event(self, told: Mapping[str, Any], received: datetime) -> SourceEvent:
        """Return an event; `told` as `by_name` gives it."""
        kind, condition = told.get("event_type"), told.get("condition_id")
        branch, node = told.get("branch_id"), told.get("source_node")
        happened = told.get("time") or told.get("receive_time") or received
        about = (told.get("input_node"), node)
        details = {name: _plain(told[name], self._namespaces) for name in _DETAILS if name in told}
        return SourceEvent(
            source=self._source,
            time_us=to_micros(_aware(happened)),
            received_us=to_micros(received),
            event_type=self._names.get(kind) or self._node(kind) or "BaseEventType",
            message=_text(told.get("message")) or "",
            severity=int(told.get("severity", 1)),
            event_id=_id_text(told.get("event_id")),
            source_node=self._node(node),
            source_name=told.get("source_name"),
            sensor_id=next((found for part in about if part is not None and (found := self._sensor_of(part))), None),
            condition_id=self._node(condition),
            condition_name=told.get("condition_name"),
            branch_id=self._node(branch),
            active=told.get("active"),
            acked=told.get("acked"),
            confirmed=told.get("confirmed"),
            retain=told.get("retain"),
            details=details,
        )

    def _node(self, node: Any) -> str | None:
        # a null node id stands for none: the trunk of a condition has no branch
        return None if node is None or node.is_null() else node_text(node, self._namespaces)


def _plain(value: Any, namespaces: Sequence[str]) -> Any:
    if isinstance(value, bool | int | float | str):
        return value
    return node_text(value, namespaces) if isinstance(value, ua.NodeId) else _text(value)


def _text(value: Any) -> str | None:
    return value.Text if isinstance(value, ua.LocalizedText) else None if value is None else str(value)


def _id_text(value: Any) -> str | None:
    if not isinstance(value, bytes) or not value:
        return None
    # most servers make readable ids; others are shown as base64
    try:
        found = value.decode("ascii")
    except UnicodeDecodeError:
        return base64.b64encode(value).decode()
    return found if found.isprintable() else base64.b64encode(value).decode()


def _aware(instant: datetime) -> datetime:
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=UTC)
