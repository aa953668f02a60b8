"""What of a server is read: which part of which node a tag is, history, events. Inherited by `config.py`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, StrictModel, TagConfig
from resources.scada.config import SourceOptions

FIELD_PATTERN = r"^[^.\[\]\s]+(\[\d+\])*(\.[^.\[\]\s]+(\[\d+\])*)*$"
"""`Status.Temperatures[2].Value`: names joined by dots, elements in brackets."""

NodeIdText = Annotated[str, Field(min_length=3)]
"""A field that accepts `nsu=<namespace URI>;s=<text>` (or i=, g=, b=)."""


class NodeTag(TagConfig):
    """Where a tag's value is found: a node, by id or by path, and the part of its value that is meant."""

    node_id: NodeIdText | None = None
    """`nsu=<namespace URI>;s=Boiler1.SteamFlow` (or i=, g=, b=): the namespace by URI, since its index may change."""
    node_path: str | None = Field(None, min_length=1)
    """In place of node_id: browse names from the Objects folder down, `nsu=<namespace URI>;Boiler1/Drum/Level`. A name
    of another namespace carries its own, `{<namespace URI>}Drum`; `&/` stands for a `/` inside a name."""
    element: int | None = Field(None, ge=0)
    """The value is an array, of which this element is meant; the first one is 0."""
    field: str | None = Field(None, pattern=FIELD_PATTERN)
    """The value (or its element) is a structure, of which this field is meant: `Status.Temperatures[2]`."""

    @model_validator(mode="after")
    def _has_one_place(self) -> Self:
        if (self.node_id is None) == (self.node_path is None):
            raise ValueError("a tag has either node_id or node_path")
        return self

    @property
    def place(self) -> str:
        """Where the node is, as configured: for messages and rejected rows."""
        return self.node_id or self.node_path or ""


class EventsConfig(StrictModel):
    """Alarms, conditions and other events, kept in scada.events."""

    notifiers: tuple[NodeIdText, ...] = ()
    """Nodes whose events are wanted, as node_id of a tag; the Server object, which tells them all, if empty."""
    minimum_severity: int = Field(1, ge=1, le=1000)
    """Events below this severity (1 to 1000) are not asked for."""
    refresh: bool = True
    """Ask for the present state of all conditions after each connection (ConditionRefresh)."""
    queue_size: int = Field(1000, ge=1, le=100_000)
    """Events the server keeps while we are slow or away for a moment."""


class DataOptions(SourceOptions):
    """What is read of a server beside the present values."""

    history: bool = False
    """True: gaps of this source are filled from the server's history (HistoryRead) once they are over."""
    history_delay: Duration = timedelta(seconds=30)
    """How long after a gap its history is read: some servers write theirs late."""
    history_margin: Duration = timedelta(seconds=5)
    """History is read from so long before a gap to so long after it: for clocks that differ, and for values that were
    on their way when the connection broke. Rows that are there already stay as they are."""
    history_values_per_node: int = Field(1000, ge=1, le=100_000)
    """Most values of a node asked for at once; the server's own limit counts where it is lower."""
    events: EventsConfig | None = None
    """Alarms and other events are kept in scada.events; off if absent."""
