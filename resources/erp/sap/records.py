"""Entities of OData as the records that are landed: V2 unwrapped, texts in order, what is derived, children taken out.

An entity of V4 of which nothing is derived passes as it is; of the others only the outermost members are parsed, and
every number keeps its digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from resources.core.errors import DataError
from resources.erp.pulling.members import explode
from resources.erp.sap.asked import Asked, written
from resources.erp.sap.options import NetAmount
from resources.transport.text.foreign_text import foreign_text

DERIVED = "derived"
"""Member that carries what the connector found out of several properties: `status`, `net_amount`."""

MESSAGES = "SAP__Messages"
"""Member of V4 entities with messages of this answer, which are no part of the record."""

_ENTITY = msgspec.json.Decoder(dict[str, msgspec.Raw])
_ENTITIES = msgspec.json.Decoder(list[msgspec.Raw])
_ANY = msgspec.json.Decoder()
_EMPTY = (b"null", b'""', b"false")
_MESSAGES_NAME = b'"' + MESSAGES.encode() + b'"'

_CUT = b'@odata.nextLink"'

Members = dict[str, msgspec.Raw]


class RecordReader:
    """Turns the entities of a dataset's pages into records."""

    def __init__(self, asked: Asked, language: str) -> None:
        """Read the entities of `asked`; texts in `language` come first."""
        options = asked.options
        self._version = asked.version
        self._explode = asked.declared.explode
        self._flags = tuple((word, path) for word, path in options.flags.items())
        self._net_amount = options.net_amount
        # of V4 the filter within $expand has chosen already
        self._languages = (
            {way: (name, msgspec.json.encode(language)) for way, name in options.language.items()}
            if asked.version == 2
            else {}
        )
        self.messages: dict[str, None] = {}
        """What the system said beside the records, each once, in order."""

    def records(self, entities: list[bytes]) -> list[bytes]:
        """Return the records of a page.

        Raises:
            DataError: An entity that is not of the form its version has.
        """
        try:
            plain = [self._plain(entity) for entity in entities]
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise DataError(f"an entity that cannot be read: {error}") from error
        if self._explode is not None:
            path = written(self._explode).replace("/", ".")
            plain = [record for entity in plain for record in explode(entity, path)]
        return [self._with_derived(record) for record in plain] if self._flags or self._net_amount else plain

    def _plain(self, entity: bytes) -> bytes:
        if self._version == 2:
            return msgspec.json.encode(self._unwrapped(entity, ""))
        if _CUT in entity:
            raise _cut_off("a navigation")
        if _MESSAGES_NAME not in entity:
            return entity
        members = _ENTITY.decode(entity)
        self._keep_messages(members.pop(MESSAGES, None))
        return msgspec.json.encode(members)

    def _unwrapped(self, entity: bytes | msgspec.Raw, path: str) -> Members:
        """Return an entity of V2 without what the protocol wraps around: metadata, deferred links, `results`."""
        members = _ENTITY.decode(entity)
        members.pop("__metadata", None)
        kept: Members = {}
        for name, raw in members.items():
            if memoryview(raw)[0] != 0x7B:  # {
                kept[name] = raw
                continue
            inner = _ENTITY.decode(raw)
            if "__deferred" in inner:
                continue
            way = f"{path}/{name}" if path else name
            if "__next" in inner:
                raise _cut_off(way)
            if "results" in inner:
                children = [self._unwrapped(child, way) for child in _ENTITIES.decode(inner["results"])]
                kept[name] = msgspec.Raw(msgspec.json.encode(self._in_order(children, way)))
            else:
                kept[name] = msgspec.Raw(msgspec.json.encode(self._unwrapped(raw, way)))
        return kept

    def _in_order(self, children: list[Members], way: str) -> list[Members]:
        """Return texts with those of the language first."""
        if way not in self._languages:
            return children
        name, language = self._languages[way]
        return sorted(children, key=lambda child: bytes(child.get(name, b"")) != language)

    def _with_derived(self, record: bytes) -> bytes:
        members = _ENTITY.decode(record)
        derived: dict[str, str] = {}
        status = next((word for word, path in self._flags if bytes(members.get(path, b"null")) not in _EMPTY), None)
        if status is not None:
            derived["status"] = status
        amount = net_amount(members, self._net_amount) if self._net_amount is not None else None
        if amount is not None:
            derived["net_amount"] = format(amount, "f")
        return msgspec.json.encode({**members, DERIVED: derived}) if derived else record

    def _keep_messages(self, raw: msgspec.Raw | None) -> None:
        for text in message_texts(_ANY.decode(raw) if raw is not None else None):
            self.messages.setdefault(text)


def _cut_off(way: str) -> DataError:
    """Return the error for children that the server gives in pages of their own: what came is not all of them."""
    return DataError(
        f"an entity of which {way} has more entities than came with it; read their own entity set as a dataset, or "
        "take the navigation out of expand"
    )


def net_amount(members: Members, declared: NetAmount) -> Decimal | None:
    """Return quantity x price / per by the units' ratio, to the cent's thousandth; None where a part is missing."""
    paths = (declared.quantity, declared.price, declared.per, declared.numerator, declared.denominator)
    parts = [_number(members, path) for path in paths]
    if any(part is None for part in parts[:3]):
        return None
    quantity, price, per, numerator, denominator = (Decimal(1) if part is None else part for part in parts)
    if not per or not denominator or not numerator:
        return None
    try:
        return (quantity * numerator / denominator * price / per).quantize(Decimal("0.00001")).normalize()
    except ArithmeticError:
        return None


def _number(members: Members, path: str | None) -> Decimal | None:
    if path is None or path not in members:
        return None
    text = bytes(members[path]).decode().strip('"')
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def message_texts(told: Any) -> Iterator[str]:
    """Yield the texts of SAP's messages, of the header as of the body; each fit to be shown."""
    for message in told if isinstance(told, list) else [told]:
        if not isinstance(message, dict):
            continue
        text = message.get("message")
        if isinstance(text, str) and text.strip():
            code = message.get("code")
            yield foreign_text(f"{code}: {text}" if isinstance(code, str) and code else text)
        yield from message_texts(message.get("details") or [])
