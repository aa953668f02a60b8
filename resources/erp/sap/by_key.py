"""Entities asked for one by one, many in one `$batch`: for sets whose `$expand` is too much for one page.

The pages are of keys alone; then each entity of a page is read by its key, with its navigations. Source: OData 4.01
part 2, 4.3 (keys); OData 2.0 URI conventions, 2.3.
"""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import msgspec

from resources.core.errors import ProtocolError
from resources.erp.pulling.members import Member
from resources.erp.sap.asked import Asked, expands, written
from resources.erp.sap.config import SapConfig
from resources.transport.http.client import HttpClient
from resources.transport.odata.batch import ODataBatch
from resources.transport.odata.csrf import CsrfSession
from resources.transport.odata.v2 import encoded_v2
from resources.transport.odata.v4 import Query
from resources.transport.text.quoting import Dialect, quote_name, quote_value

KEY_SIGNS = "=,'"
"""What stays as it is in a key: the signs between its parts."""

_ENTITY = msgspec.json.Decoder(dict[str, msgspec.Raw])


class EntitiesByKey:
    """Reads whole entities for pages of keys; where the dataset expands within its pages, they pass as they are."""

    def __init__(self, http: HttpClient, root: str, asked: Asked, query: Query, config: SapConfig) -> None:
        """Read from the service at `root` what `query` asks for."""
        self._asked = asked
        self._http = http
        self._is_used = asked.options.expand_by == "batch" and bool(expands(asked, config))
        self._keys = tuple(Member(path.replace("/", ".")) for path in asked.order)
        one = Query(select=query.select, expand=expands(asked, config), custom=query.custom)
        self._options = encoded_v2(one) if asked.version == 2 else one.encoded()
        self._batch = ODataBatch(
            http, root, version="2.0" if asked.version == 2 else "4.0", csrf=CsrfSession(http, root)
        )

    def keys_of(self, query: Query) -> Query:
        """Return the query of the pages."""
        if not self._is_used:
            return query
        day = self._asked.declared.business_date
        names = [*self._asked.order, *([written(day)] if day is not None else [])]
        return replace(query, select=tuple(dict.fromkeys(names)), expand=())

    def whole(self, entities: list[bytes]) -> list[bytes]:
        """Return the entities of a page with all that is asked for of them.

        Raises:
            SourceError: The batch or one of its reads failed.
        """
        if not self._is_used:
            return entities
        size = self._asked.options.batch_size
        found: list[bytes] = []
        for begin in range(0, len(entities), size):
            urls = [self._url(entity) for entity in entities[begin : begin + size]]
            answers = self._batch.read(urls, lane=self._asked.dataset)
            found += [self._entity(answer.body) for answer in answers]
        return found

    def _url(self, entity: bytes) -> str:
        dialect: Dialect = "odata_v2" if self._asked.version == 2 else "odata_v4"
        values = []
        for name, member in zip(self._asked.order, self._keys, strict=True):
            value = member.of(entity)
            if value is None:
                raise self._broken(f"an entity without {name}, so that it cannot be asked for by its key")
            values.append(f"{quote_name(dialect, name)}={quote_value(dialect, value)}")
        key = values[0].partition("=")[2] if len(values) == 1 else ",".join(values)
        return f"{quote_name(dialect, self._asked.declared.resource)}({quote(key, safe=KEY_SIGNS)})?{self._options}"

    def _entity(self, body: bytes) -> bytes:
        try:
            members = _ENTITY.decode(body)
            if self._asked.version == 2:
                return bytes(members["d"])
        except (msgspec.MsgspecError, KeyError) as error:
            raise self._broken(f"an answer that is no entity: {error}") from error
        members.pop("@odata.context", None)
        return msgspec.json.encode(members)

    def _broken(self, what: str) -> ProtocolError:
        source = self._http.source
        return ProtocolError(f"{source}: a page of {self._asked.declared.resource} has {what}", source=source)
