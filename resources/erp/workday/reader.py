"""Records as they are landed: one per child of an exploded list, of the day asked for, and only what may be kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from resources.core.errors import DataError
from resources.erp.business_days import business_day
from resources.erp.connector import Day
from resources.erp.declared import split_path
from resources.erp.workday.codec import exploded, picker
from resources.erp.workday.privacy import kept_paths
from resources.erp.workday.sources.pages import Pull
from resources.transport.text.foreign_text import foreign_text
from resources.transport.text.json_text import dump_json, parse_json


class RecordReader:
    """Turns the records of a pull's pages into those that are landed."""

    def __init__(self, pull: Pull, *, only_declared: bool) -> None:
        """Prepare for a pull; `only_declared` drops every property that the dataset does not read."""
        declared = pull.declared
        self._explode = split_path(declared.explode) if declared.explode else None
        self._pick = picker(kept_paths(declared)) if only_declared else None
        self._day = pull.part.day if isinstance(pull.part, Day) else None
        self._day_path = split_path(declared.business_date) if declared.business_date else ()

    def records(self, page: Sequence[bytes] | Sequence[dict[str, Any]]) -> list[bytes]:
        """Return the records of a page.

        Raises:
            DataError: One of them is of another day, or is not JSON.
        """
        found = list(self._written(page))
        return [self._pick(record) for record in found] if self._pick else found

    def _written(self, page: Sequence[bytes] | Sequence[dict[str, Any]]) -> Iterator[bytes]:
        for record in page:
            if isinstance(record, bytes) and self._explode is None:
                self._check_text(record)
                yield record
                continue
            parsed = parse_json(record) if isinstance(record, bytes) else record
            for one in exploded(parsed, self._explode) if self._explode else (parsed,):
                self._check(one)
                yield dump_json(one)

    def _check_text(self, record: bytes) -> None:
        """Judge the day of a record without parsing the rest of it."""
        if self._day is None:
            return
        value: Any = record
        for name in self._day_path:
            try:
                value = _MEMBERS.decode(value).get(name)
            except msgspec.MsgspecError:
                return
            if value is None:
                return
        try:
            self._judge(msgspec.json.decode(value))
        except msgspec.DecodeError as error:
            raise DataError(f"a record that is not JSON ({error})") from error

    def _check(self, record: dict[str, Any]) -> None:
        if self._day is None:
            return
        value: Any = record
        for name in self._day_path:
            value = value.get(name) if isinstance(value, dict) else None
        self._judge(value)

    def _judge(self, value: Any) -> None:
        """Refuse a record of another day: storing it would move it to where it does not belong."""
        if not isinstance(value, str) or (day := business_day(value, None)) is None or day == self._day:
            return
        raise DataError(
            f"records of {foreign_text(value, limit=40)}: what asks for the day is ignored; check the name of the "
            "prompt, the criteria or the filter, and what stands between (a cache, a gateway)"
        )


_MEMBERS: msgspec.json.Decoder[dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw])
