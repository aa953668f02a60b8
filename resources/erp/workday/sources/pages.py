"""What a protocol hands to the client: pages of records, not yet exploded and not yet reduced to what may be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from resources.erp.connector import Part
from resources.erp.declared import DatasetConfig


@dataclass(frozen=True, slots=True)
class Pull:
    """One part of one dataset that is being read."""

    system: str
    dataset: str
    declared: DatasetConfig
    part: Part

    def __str__(self) -> str:
        """Name it for a message."""
        return f"{self.dataset} {self.part}"


@dataclass(frozen=True, slots=True)
class SourcePage:
    """One page: records as JSON text, or parsed where the protocol has to (XML), and the server's count."""

    number: int
    records: list[bytes] | list[dict[str, Any]]
    count: int | None


class Source(Protocol):
    """One protocol of one tenant."""

    def pages(self, pull: Pull) -> Iterator[SourcePage]:
        """Yield the pages of a part of a dataset.

        Raises:
            SourceError: It could not be read.
        """
        ...
