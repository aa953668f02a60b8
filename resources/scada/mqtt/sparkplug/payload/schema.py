"""The protobuf messages of a Sparkplug B payload, described field by field; no generated code.

The classes live in a pool of their own, so that they never meet another library's copy of the same schema. What is
never looked into (datasets, templates, nested property sets) is declared as bytes: present or absent is all we ask,
and the wire format is the same. proto2: every field may be absent, and `HasField` tells.
Source: Sparkplug 3.0.0, 6.4 (field numbers and types).
"""

from __future__ import annotations

from typing import Any, Protocol, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

__all__ = [
    "COMPRESSED",
    "DecodeError",
    "MetricMessage",
    "PayloadMessage",
    "PropertySetMessage",
    "PropertyValueMessage",
    "as_text",
    "new_payload",
    "parse",
]

COMPRESSED = "SPBV1.0_COMPRESSED"
"""`uuid` of a payload whose `body` is another one, compressed."""

_PACKAGE = "gl.sparkplug_b"
_KIND = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "uint32": _KIND.TYPE_UINT32,
    "uint64": _KIND.TYPE_UINT64,
    "float": _KIND.TYPE_FLOAT,
    "double": _KIND.TYPE_DOUBLE,
    "bool": _KIND.TYPE_BOOL,
    "string": _KIND.TYPE_STRING,
    "bytes": _KIND.TYPE_BYTES,
}
# message -> (field, number, type); "*" behind a type: repeated; "?" : a member of the oneof `value`
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Payload": (
        ("timestamp", 1, "uint64"),
        ("metrics", 2, "Metric*"),
        ("seq", 3, "uint64"),
        ("uuid", 4, "string"),
        ("body", 5, "bytes"),
    ),
    "Metric": (
        ("name", 1, "string"),
        ("alias", 2, "uint64"),
        ("timestamp", 3, "uint64"),
        ("datatype", 4, "uint32"),
        ("is_historical", 5, "bool"),
        ("is_transient", 6, "bool"),
        ("is_null", 7, "bool"),
        ("metadata", 8, "MetaData"),
        ("properties", 9, "PropertySet"),
        ("int_value", 10, "uint32?"),
        ("long_value", 11, "uint64?"),
        ("float_value", 12, "float?"),
        ("double_value", 13, "double?"),
        ("boolean_value", 14, "bool?"),
        ("string_value", 15, "string?"),
        ("bytes_value", 16, "bytes?"),
        ("dataset_value", 17, "bytes?"),
        ("template_value", 18, "bytes?"),
        ("extension_value", 19, "bytes?"),
    ),
    "MetaData": (("content_type", 2, "string"), ("size", 3, "uint64"), ("description", 8, "string")),
    "PropertySet": (("keys", 1, "string*"), ("values", 2, "PropertyValue*")),
    "PropertyValue": (
        ("type", 1, "uint32"),
        ("is_null", 2, "bool"),
        ("int_value", 3, "uint32?"),
        ("long_value", 4, "uint64?"),
        ("float_value", 5, "float?"),
        ("double_value", 6, "double?"),
        ("boolean_value", 7, "bool?"),
        ("string_value", 8, "string?"),
        ("propertyset_value", 9, "bytes?"),
        ("propertysets_value", 10, "bytes?"),
    ),
}


class _Message(Protocol):
    def HasField(self, name: str) -> bool: ...  # noqa: N802 - protobuf's name

    def WhichOneof(self, name: str) -> str | None: ...  # noqa: N802

    def SerializeToString(self) -> bytes: ...  # noqa: N802


class PropertyValueMessage(_Message, Protocol):
    """One property's value."""

    type: int
    is_null: bool
    int_value: int
    long_value: int
    string_value: str


class PropertySetMessage(_Message, Protocol):
    """Properties of a metric: `keys[n]` has `values[n]`."""

    keys: Any
    values: Any


class MetricMessage(_Message, Protocol):
    """One metric of a payload; its value is in the one field that `WhichOneof("value")` names."""

    name: str
    alias: int
    timestamp: int
    datatype: int
    is_historical: bool
    is_transient: bool
    is_null: bool
    metadata: Any
    properties: PropertySetMessage
    int_value: int
    long_value: int
    float_value: float
    double_value: float
    boolean_value: bool
    string_value: str
    bytes_value: bytes


class PayloadMessage(_Message, Protocol):
    """What one Sparkplug message carries."""

    timestamp: int
    metrics: Any
    """Sequence of `MetricMessage`; `.add(...)` appends one."""
    seq: int
    uuid: str
    body: bytes


def _field(name: str, number: int, kind: str) -> Any:
    field = _KIND(name=name, number=number, label=_KIND.LABEL_REPEATED if kind[-1] == "*" else _KIND.LABEL_OPTIONAL)
    if kind[-1] == "?":
        field.oneof_index = 0
    kind = kind.rstrip("*?")
    if kind in _TYPES:
        field.type = _TYPES[kind]
    else:
        field.type, field.type_name = _KIND.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    return field


def _payload_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="gl/sparkplug_b.proto", package=_PACKAGE, syntax="proto2")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        message.field.extend(_field(*field) for field in fields)
        if any(kind.endswith("?") for _, _, kind in fields):
            message.oneof_decl.add(name="value")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


_Payload = _payload_class()


def new_payload(**fields: Any) -> PayloadMessage:
    """Return an empty payload, or one with `fields` set (`timestamp`, `seq`, ...)."""
    return cast(PayloadMessage, _Payload(**fields))


def parse(data: bytes) -> PayloadMessage:
    """Return the payload in `data`; a text that is not UTF-8 is bytes in it (see `as_text`).

    Raises:
        DecodeError: The bytes are no such message.
    """
    return cast(PayloadMessage, _Payload.FromString(data))


def as_text(text: object) -> str:
    """Return a text of a message, an empty one in place of bytes that are not UTF-8."""
    return text if isinstance(text, str) else ""
