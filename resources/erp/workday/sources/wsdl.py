"""The WSDL of a SOAP service: from a file that was saved, or from the tenant's own host, and from nowhere else.

Nothing that a WSDL names is fetched: imports of schemas, document types and entities are refused. zeep writes messages
by it and sends none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NoReturn

import zeep
from lxml import etree
from zeep.exceptions import Error as ZeepError

from resources.core.errors import ConfigError, DataError, ProtocolError
from resources.core.process.home import gl_home
from resources.erp.workday.config import WorkdayConfig
from resources.erp.workday.sources.pruning import pruned
from resources.erp.workday.sources.shapes import Shape
from resources.erp.workday.tenant import Connection
from resources.transport.http.answers import Media
from resources.transport.text.foreign_text import foreign_text


class Wsdls:
    """Finds the WSDL of a service."""

    def __init__(self, http: Connection, config: WorkdayConfig, *, system: str) -> None:
        """Prepare; nothing is read."""
        self._http = http
        self._config = config
        self._system = system

    def read(self, service: str) -> bytes:
        """Return the WSDL: the saved file if there is one, else what the tenant's host has.

        Raises:
            ConfigError: The file cannot be read.
            SourceError: The host does not give it.
        """
        folder = self._config.wsdl_folder or gl_home() / "erp" / self._system
        file = Path(folder) / f"{service}.wsdl"
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return self.fetched(service)
        except OSError as error:
            raise ConfigError(f"{self._system}: {file}: cannot be read ({error.strerror})") from error

    def fetched(self, service: str) -> bytes:
        """Return the WSDL that the tenant's host has.

        Raises:
            SourceError: It does not give it.
        """
        path = f"/ccx/service/{self._config.tenant}/{service}/{self._config.soap_version}?wsdl"
        return self._http.get(path, media=Media.XML).body


class SoapService:
    """One service by its WSDL; threads may share it."""

    def __init__(self, name: str, content: bytes, operations: Collection[str], *, system: str) -> None:
        """Read of the WSDL `content` of the service `name` what the operations need that are called.

        Raises:
            ProtocolError: It is no WSDL, or it wants to fetch something.
        """
        self.name = name
        self._system = system
        settings = zeep.Settings(strict=True, forbid_dtd=True, forbid_entities=True, forbid_external=True)
        make: Any = zeep.Client  # zeep has no types
        try:
            # what zeep would only notice after it has read it is refused on the way
            self._zeep: Any = make(BytesIO(pruned(content, operations)), transport=_NoTransport(), settings=settings)
            self._operations: Mapping[str, Any] = _operations_of(self._zeep)
        except (ZeepError, DataError, ConfigError, ValueError, KeyError, RecursionError, NotImplementedError) as error:
            raise ProtocolError(
                f"{system}: the WSDL of {name} cannot be used: {foreign_text(str(error) or type(error).__name__)}; "
                "nothing that it names is fetched: save a complete one as a file in wsdl_folder",
                source=system,
            ) from error

    def message(self, operation: str, arguments: dict[str, Any]) -> etree._Element:
        """Return the envelope of a request.

        Args:
            operation: Its name.
            arguments: Child elements and attributes of the request; a reference may be a mapping of kinds of ID.

        Raises:
            ConfigError: They do not fit the WSDL.
        """
        self._operation(operation)
        try:
            return self._zeep.create_message(self._zeep.service, operation, **_with_references(arguments))
        except (TypeError, ValueError, ZeepError) as error:
            raise ConfigError(
                f"{self._system}: {operation} of {self.name}: the options of the dataset do not fit the WSDL: "
                f"{foreign_text(str(error))}; `gl erp describe {self._system}` saves it and shows what it has"
            ) from error

    def request(self, operation: str) -> Shape:
        """Return the shape of an operation's request."""
        return self._shape(self._operation(operation).input)

    def response(self, operation: str) -> Shape:
        """Return the shape of an operation's response."""
        return self._shape(self._operation(operation).output)

    def _shape(self, message: Any) -> Shape:
        return Shape(self._zeep.get_element(str(message.body.qname)).type)

    def _operation(self, name: str) -> Any:
        found = self._operations.get(name)
        if found is None:
            raise ConfigError(
                f"{self._system}: the WSDL of {self.name} has no operation {name}; it may be of another soap_version"
            )
        return found


def _operations_of(client: Any) -> Mapping[str, Any]:
    # zeep has no public way from an operation to the elements of its messages
    operations: Mapping[str, Any] = client.service._binding._operations
    return operations


class _NoTransport:
    """Fetches nothing: a WSDL has to be complete."""

    def load(self, url: str) -> NoReturn:
        """Refuse an import."""
        raise ConfigError(f"it imports {foreign_text(str(url), limit=120)}")


def _with_references(value: Any, name: str = "") -> Any:
    """Return request elements with references in zeep's form: `{Currency_ID: EUR}` becomes a list of IDs."""
    if isinstance(value, list):
        return [_with_references(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    if name.endswith("_Reference") and all(isinstance(held, str) for held in value.values()):
        return {"ID": [{"_value_1": held, "type": kind} for kind, held in value.items()]}
    return {inner: _with_references(held, inner) for inner, held in value.items()}
