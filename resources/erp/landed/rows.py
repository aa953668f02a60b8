"""Records as rows on their way into a table: key, hash and text of each, and blocks of PostgreSQL's binary COPY.

A page is split by C code; no value of a record becomes a Python object except those of its key.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256

import msgspec

from resources.core.errors import DataError
from resources.erp.declared import DatasetConfig
from resources.erp.landed.keys import KeyReader, Values
from resources.erp.landed.storable import storable_record
from resources.erp.records import NO_KEY
from resources.transport.text.json_text import parse_json

LONGEST_KEY = 1000
"""Bytes; a longer key fits no index and counts as none."""

Row = tuple[bytes, bytes, bytes]
"""source_key, the record's JSON text, and the hash of its properties."""

_AT_ONCE = 200
"""Records split at once: their members are some ten small objects a record, which leave the heap in pieces. With 1,000
the peak of a long pull crept a seventh above that of a short one; with 200 it stays."""

_METADATA = "__metadata"
"""What OData V2 puts into a record beside its properties; V4 has `@` in the names of its annotations."""

_sorted = msgspec.json.Encoder(order="sorted").encode
_members = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


class RecordReader:
    """Reads what the rows of a dataset need."""

    def __init__(self, declared: DatasetConfig) -> None:
        """Read the records of `declared`."""
        self._keys = KeyReader(declared.key)
        self._prefix = declared.key_prefix

    def rows(self, records: Sequence[bytes]) -> list[Row]:
        """Return a row for each record, in order.

        Raises:
            DataError: A record is no JSON object.
        """
        found: list[Row] = []
        for start in range(0, len(records), _AT_ONCE):
            found += self._rows(records[start : start + _AT_ONCE])
        return found

    def _rows(self, records: Sequence[bytes]) -> list[Row]:
        text = b"[" + b",".join(records) + b"]"
        try:
            members = _members(text)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return self.altered(records)
        hashes = _hashes(members)
        named = map(self._named, self._keys.read(text, records), hashes)
        return list(zip(named, records, hashes, strict=True))

    def altered(self, records: Iterable[bytes]) -> list[Row]:
        """Return the rows of records of which PostgreSQL refused at least one: what it cannot keep is replaced.

        A record that it can keep stays byte for byte as it came, so that its hash is the same as ever.

        Raises:
            DataError: A record is no JSON object.
        """
        return [self._altered(record) for record in records]

    def _altered(self, record: bytes) -> Row:
        parsed = parse_json(record)
        if not isinstance(parsed, dict):
            raise DataError("a record that is no JSON object")
        kept, raw = storable_record(parsed)
        raw = record if kept == parsed else raw
        (digest,) = _hashes(_members(b"[" + raw + b"]"))
        return self._named(self._keys.of(kept), digest), raw, digest

    def _named(self, key: Values, digest: bytes) -> bytes:
        texts = [value.strip() if isinstance(value, str) else "" if value is None else str(value) for value in key]
        named = (self._prefix + "/".join(texts)).encode("utf-8", "replace")
        return named if all(texts) and len(named) <= LONGEST_KEY else NO_KEY.encode() + digest[:32]


def _hashes(records: Sequence[dict[str, msgspec.Raw]]) -> list[bytes]:
    """Return the hash that tells whether a record changed: of its properties in any order, not of annotations."""
    annotations = [name for name in set().union(*records) if "@" in name or name == _METADATA]
    for name in annotations:
        for record in records:
            record.pop(name, None)
    return [sha256(_sorted(record)).hexdigest().encode() for record in records]


_LENGTH = struct.Struct("!i").pack
_HASH = _LENGTH(64)
_JSONB = b"\x01"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What a binary COPY begins with: signature, flags, length of the extension."""
COPY_TRAILER = b"\xff\xff"


def copy_block(rows: Iterable[Row], before: bytes, after: bytes) -> bytes:
    """Return rows for a binary COPY of columns that begin with `before`, go on with key, raw and hash, and end so.

    A row is int16 number of columns, then per column int32 length and the bytes; jsonb is a version byte 01 and text.
    Source: PostgreSQL 17, COPY, Binary Format; jsonb_recv.
    """
    length = _LENGTH
    parts: list[bytes] = []
    for key, raw, digest in rows:
        parts += (before, length(len(key)), key, length(len(raw) + 1), _JSONB, raw, _HASH, digest, after)
    return b"".join(parts)


def copy_fields(*values: str | date | datetime | None) -> bytes:
    """Return values as columns of a binary COPY: text, date, timestamptz and null."""
    return b"".join(map(_field, values))


def _field(value: str | date | datetime | None) -> bytes:
    if value is None:
        return _LENGTH(-1)
    if isinstance(value, datetime):
        return _LENGTH(8) + struct.pack("!q", (value - _EPOCH) // timedelta(microseconds=1))
    if isinstance(value, date):
        return _LENGTH(4) + struct.pack("!i", (value - _EPOCH.date()).days)
    return _LENGTH(len(value.encode())) + value.encode()


def columns_count(number: int) -> bytes:
    """Return what a row of `number` columns begins with."""
    return struct.pack("!h", number)
