"""Pages and records of Fusion REST as bytes: split, looked into for single attributes, children flattened.

Nothing of a record is parsed but what is asked for; numbers keep every digit.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from resources.core.errors import DataError

RawObject = dict[str, msgspec.Raw]
"""A JSON object of which the members stay as they were sent."""

Scalar = str | int | float | bool | None


class Link(msgspec.Struct):
    """A link of a record or a collection."""

    rel: str = ""
    href: str = ""


class Collection(msgspec.Struct, rename="camel"):
    """A page of a resource, or the children of a record from framework 3 on."""

    items: list[msgspec.Raw] | None = None
    has_more: bool | None = None
    limit: int | None = None
    total_results: int | None = None
    links: list[Link] = []

    @property
    def own_link(self) -> str | None:
        """Link to the collection itself."""
        return next((link.href for link in self.links if link.rel == "self" and link.href), None)


_EMPTY = re.compile(rb"\{\s*\}")

_COLLECTION = msgspec.json.Decoder(Collection)
_OBJECT = msgspec.json.Decoder(RawObject)
_SCALAR = msgspec.json.Decoder(Scalar)


def collection_of(body: bytes) -> Collection:
    """Return a page or a child collection.

    Raises:
        DataError: Not JSON, cut off, or no collection.
    """
    try:
        found = _COLLECTION.decode(body)
    except msgspec.ValidationError as error:
        raise DataError(f"no collection: {error}") from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise DataError(f"not JSON in {len(body)} bytes ({error}); it may be cut off") from error
    if found.items is None:
        raise DataError("no collection: it has no list of records under `items`")
    if any(_starts(item) != b"{" for item in found.items):
        raise DataError("no collection: something under `items` is no object")
    return found


def object_of(record: bytes) -> RawObject:
    """Return the members of an object."""
    return _OBJECT.decode(record)


class Peek:
    """Reads a few top-level attributes of records, all others unseen."""

    def __init__(self, names: Sequence[str]) -> None:
        """Prepare to read attributes by their names."""
        self._fields = [f"m{number}" for number in range(len(names))]
        made = msgspec.defstruct(
            "Peek",
            [(field, Any, None) for field in self._fields],
            rename=dict(zip(self._fields, names, strict=True)),
        )
        self._decoder = msgspec.json.Decoder(list[made])  # type: ignore[valid-type]  # made at run time

    def at(self, records: Sequence[bytes]) -> list[tuple[Any, ...]]:
        """Return the values of each record, None where it has none."""
        found = self._decoder.decode(b"[" + b",".join(records) + b"]")
        return [tuple(getattr(one, field) for field in self._fields) for one in found]


def without_links(record: bytes) -> bytes:
    """Return a record without its `links`, which change though the record does not."""
    if b'"links"' not in record:
        return record
    members = object_of(record)
    if "links" not in members:
        return record
    del members["links"]
    return msgspec.json.encode(members)


def with_parent(record: bytes, parent: bytes) -> bytes:
    """Return an object with one more member, `parent`, which is JSON text already."""
    comma = b"" if _EMPTY.match(record) else b","
    return b"".join((record[:-1], comma, b'"parent":', parent, b"}"))


def scalar(raw: msgspec.Raw | None) -> Scalar:
    """Return a member's value if it is no object or list, else None."""
    if raw is None or _starts(raw) in (b"{", b"["):
        return None
    found: Scalar = _SCALAR.decode(raw)
    return found


def _starts(raw: msgspec.Raw) -> bytes:
    return bytes(memoryview(raw)[:1])


def instant_of(value: object) -> datetime | None:
    """Return an instant as Fusion writes it, UTC where it has no offset; None if it is none."""
    if not isinstance(value, str):
        return None
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
