"""What a connector to a kind of ERP system is, and what its client can do. No Dagster, no database.

A kind is one folder, `resources/erp/<kind>/`, whose `connector.py` holds `CONNECTOR`; `resources.erp.kinds` finds it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, Protocol, runtime_checkable

from resources.erp.config import SystemConfig
from resources.erp.records import RecordPage


@dataclass(frozen=True, slots=True)
class Day:
    """The records of one business day, in the system's own zone."""

    day: date

    def __str__(self) -> str:
        """Name the part for a message."""
        return f"of {self.day}"


@dataclass(frozen=True, slots=True)
class Whole:
    """All records: a snapshot of master data."""

    def __str__(self) -> str:
        """Name the part for a message."""
        return "as a whole"


@dataclass(frozen=True, slots=True)
class Changed:
    """The records whose change stamp lies in `[since, until)`; both are aware UTC."""

    since: datetime
    until: datetime

    def __str__(self) -> str:
        """Name the part for a message."""
        return f"changed from {self.since.isoformat()} to {self.until.isoformat()}"


Part = Day | Whole | Changed
"""Which part of a dataset is read."""


class ErpClient(Protocol):
    """One system; threads may share it."""

    @property
    def system(self) -> str:
        """Name of the system in the configuration."""
        ...

    def fetch(self, dataset: str, part: Part) -> Iterator[RecordPage]:
        """Yield the pages of a part of a configured dataset, as they arrive.

        Raises:
            SourceError: The part could not be read; the message names system, dataset, part, page and remedy. A page
                that holds records of another day is a ProtocolError.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass(frozen=True, slots=True)
class FoundProperty:
    """A property that a system's metadata declares."""

    path: str
    """As a dataset's declaration writes it."""
    type: str
    """As the metadata names it."""


@dataclass(frozen=True, slots=True)
class SystemDescription:
    """What a system says of itself."""

    files: Mapping[str, bytes] = field(default_factory=dict)
    """File name -> the metadata as the system gave it ($metadata, describe, WSDL)."""
    properties: Mapping[str, tuple[FoundProperty, ...]] = field(default_factory=dict)
    """Dataset -> the properties that its resource has there; a dataset without entry could not be described."""
    notes: tuple[str, ...] = ()
    """What a person should know besides, a sentence each: which of several resources there is, who tells of changes."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `gl doctor` on a system."""

    level: Literal["ok", "warning", "error"]
    says: str


@runtime_checkable
class CanDescribe(Protocol):
    """A client whose system has metadata."""

    def describe(self) -> SystemDescription:
        """Return the metadata of the services that the configured datasets use.

        Raises:
            SourceError: It could not be read.
        """
        ...


@runtime_checkable
class CanLook(Protocol):
    """A client that can look whether its system is well: token, clock, permission."""

    def look(self) -> list[Finding]:
        """Return what there is to say; reads little and changes nothing.

        Raises:
            SourceError: The system could not be reached at all.
        """
        ...


@runtime_checkable
class CanListKeys(Protocol):
    """A client that can read the keys alone, which is cheaper than whole records where deletions are looked for."""

    def fetch_keys(self, dataset: str, part: Day | Whole) -> Iterator[RecordPage]:
        """Yield pages of records that hold at least the dataset's key; errors as of `fetch`."""
        ...


@runtime_checkable
class KnowsServerTime(Protocol):
    """A client that knows its system's clock, from the `Date` of the answers so far."""

    def server_time(self) -> datetime | None:
        """Return the system's time now, aware UTC; None if it has told none yet."""
        ...


@dataclass(frozen=True, slots=True)
class Connector:
    """A kind of system. Building one imports neither an HTTP library nor a SOAP one: the factory does."""

    kind: str
    config_class: type[SystemConfig]
    client_factory: Callable[[str, Any], ErpClient]
    """(name of the system, its configuration) -> its client; imports the client's module when called."""
