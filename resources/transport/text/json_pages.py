"""A page of JSON split into its records, each one the bytes that the system sent: nothing of a record is parsed.

`msgspec.Raw` finds where a record begins and ends while it checks the syntax; numbers keep every digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import msgspec

from resources.core.errors import DataError
from resources.transport.text.surrogates import without_lone_surrogates

Told = int | str | float | bool | None
"""A member of the envelope; systems write numbers as text, too."""


@dataclass(frozen=True, slots=True)
class Split:
    """The records of a page, and what its envelope says of the whole."""

    records: list[bytes]
    link: str | None = None
    """Link to the next page, as written."""
    count: int | None = None
    """How many records the whole result has."""
    more: bool | None = None
    """Whether there are more; None: not said."""
    pages: int | None = None
    """How many pages the whole result has."""


class JsonEnvelope:
    """Where the records and the rest stand in a page, by dotted paths: `d.results`, `d.__next`.

    A path's names are separated by dots, so a name that holds dots (`@odata.nextLink`) is given in a tuple.
    """

    def __init__(
        self,
        records: str | tuple[str, ...],
        *,
        link: str | tuple[str, ...] | None = None,
        count: str | tuple[str, ...] | None = None,
        more: str | tuple[str, ...] | None = None,
        pages: str | tuple[str, ...] | None = None,
    ) -> None:
        """Build the reader of such pages; it is used for all of them."""
        self._paths = {
            name: tuple(path.split(".")) if isinstance(path, str) else path
            for name, path in {"records": records, "link": link, "count": count, "more": more, "pages": pages}.items()
            if path is not None
        }
        kinds: dict[str, Any] = {"records": list[msgspec.Raw] | None, "link": str | None}
        leaves = {path: kinds.get(name, Told) for name, path in self._paths.items()}
        self._decoder = msgspec.json.Decoder(_struct(leaves))
        self._where = ".".join(self._paths["records"])

    def split(self, body: bytes) -> Split:
        """Return the records of `body`, which must be UTF-8, and what the envelope says.

        Raises:
            DataError: Not JSON, cut off, no list of records where there must be one, a record that is no object.
        """
        readable = body
        try:
            top = self._decoder.decode(body)
        except msgspec.ValidationError as error:
            raise DataError(f"not the page expected: {error}") from error
        except (msgspec.DecodeError, RecursionError) as error:
            readable = without_lone_surrogates(body)
            top = self._decoded(readable, error) if readable != body else _refuse(body, error)
        found = {name: _at(top, path) for name, path in self._paths.items()}
        raws = found["records"]
        if raws is None:
            raise DataError(f"without a list of records under `{self._where}`")
        records = [bytes(raw) for raw in raws]
        if readable is not body:
            records = _as_written(records, readable, body)
        for record in records:
            if record[0] != 0x7B:  # {
                raise DataError(f"with something under `{self._where}` that is no object")
        more = found.get("more")
        return Split(
            records,
            link=found.get("link") or None,
            count=_whole(found.get("count"), "count"),
            more=more if isinstance(more, bool) else None,
            pages=_whole(found.get("pages"), "number of pages"),
        )

    def _decoded(self, readable: bytes, error: Exception) -> Any:
        try:
            return self._decoder.decode(readable)
        except (msgspec.DecodeError, RecursionError):
            return _refuse(readable, error)


def _refuse(body: bytes, error: Exception) -> NoReturn:
    raise DataError(f"not JSON in {len(body)} bytes ({error}); it may be cut off") from error


def _as_written(records: list[bytes], readable: bytes, body: bytes) -> list[bytes]:
    """Return the records as `body` has them: a lone surrogate is kept for whoever judges the record."""
    written, at = [], 0
    for record in records:
        at = readable.index(record, at)
        written.append(body[at : at + len(record)])
        at += len(record)
    return written


def _struct(leaves: dict[tuple[str, ...], Any]) -> type[msgspec.Struct]:
    """Return the type of an object with these members, however deep; all of them may be absent."""
    members: dict[str, dict[tuple[str, ...], Any]] = {}
    for path, kind in leaves.items():
        members.setdefault(path[0], {})[path[1:]] = kind
    fields, names = [], {}
    for number, (name, below) in enumerate(members.items()):
        # names of the wire are not always names of Python
        names[f"m{number}"] = name
        kind = below[()] if () in below else _struct(below) | None
        fields.append((f"m{number}", kind, None))
    made = msgspec.defstruct("Envelope", fields, rename=names)
    made.__gl_names__ = {name: field for field, name in names.items()}  # type: ignore[attr-defined]
    return made


def _at(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if value is None:
            return None
        value = getattr(value, type(value).__gl_names__[name])
    return value


def _whole(told: Told, what: str) -> int | None:
    if told is None:
        return None
    try:
        return int(told)
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"with a {what} that is no number") from None
