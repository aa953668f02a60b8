"""Members of a record read out of its JSON text, and a child list turned into records: the rest is not parsed.

For connectors that have to look into a record: at its day, at what it is selected by, at the lines of a document.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from resources.core.errors import DataError
from resources.erp.declared import split_path
from resources.transport.text.surrogates import without_lone_surrogates

PARENT = "parent"
"""Member under which a child carries the fields of the record it was taken from."""

_TEXT = msgspec.json.Decoder(str)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST = msgspec.json.Decoder(list[msgspec.Raw] | None)


def _decoded(decoder: Any, text: bytes) -> Any:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except msgspec.DecodeError:
        readable = without_lone_surrogates(text)
        if readable == text:
            raise
        return decoder.decode(readable)


class Member:
    """One member of records, by its dotted path."""

    def __init__(self, path: str) -> None:
        """Build the reader; it is used for all records."""
        self.path = path
        self._depth = len(split_path(path))
        kind: Any = msgspec.Raw | msgspec.UnsetType
        for name in reversed(split_path(path)):
            struct = msgspec.defstruct("Member", [("m", kind, msgspec.UNSET)], rename={"m": name})
            kind = struct | msgspec.UnsetType | None
        self._decoder = msgspec.json.Decoder(kind)
        self._page_decoder = msgspec.json.Decoder(list[kind])

    def of(self, record: bytes) -> str | None:
        """Return the member's value as text, as a JSON value where it is no text; None where there is none.

        Raises:
            DataError: What should lead to the member is no object.
        """
        try:
            return self._text(self._raw(_decoded(self._decoder, record)))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(f"a record without a readable {self.path}: {error}") from error

    def _raw(self, held: Any) -> bytes:
        for _ in range(self._depth):
            held = getattr(held, "m", None)
        return bytes(held) if isinstance(held, msgspec.Raw) else b"null"

    @staticmethod
    def _text(raw: bytes) -> str | None:
        if raw == b"null":
            return None
        return str(_decoded(_TEXT, raw)) if raw.startswith(b'"') else raw.decode()

    def values(self, records: Iterable[bytes]) -> set[str]:
        """Return the different values among records, without those that are empty.

        Raises:
            DataError: As `of`.
        """
        # a page has many records and few days: what is written the same is read once
        listed = list(records)
        try:
            page = _decoded(self._page_decoder, b"[" + b",".join(listed) + b"]")
            found = [self._text(raw) for raw in set(map(self._raw, page))]
        except (msgspec.MsgspecError, UnicodeDecodeError):
            found = [self.of(record) for record in listed]
        return {value for value in found if value}


def explode(record: bytes, path: str) -> list[bytes]:
    """Return one record for each item of the list at `path`, the other fields of `record` under `parent`.

    A record without such a list, or with an empty one, yields none. Every digit stays as it was written.

    Raises:
        DataError: There is something else at `path` than a list of objects.
    """
    first, *deeper = split_path(path)
    try:
        members = _decoded(_OBJECT, record)
        held = members.pop(first, msgspec.Raw(b"null"))
        for name in deeper:
            held = _OBJECT.decode(held).get(name, msgspec.Raw(b"null"))
        items = _LIST.decode(held) or []
    except msgspec.MsgspecError as error:
        raise DataError(f"a record whose {path} is no list of records: {error}") from error
    parent = msgspec.json.encode(members)
    return [_with_parent(bytes(item), parent, path) for item in items]


def _with_parent(item: bytes, parent: bytes, path: str) -> bytes:
    inner = item[1:-1].strip()
    if not item.startswith(b"{"):
        raise DataError(f"a record whose {path} holds something that is no record")
    return b"".join((b"{", inner, b"," if inner else b"", b'"', PARENT.encode(), b'":', parent, b"}"))
