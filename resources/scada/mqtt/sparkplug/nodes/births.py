"""Birth certificates: which metrics an edge node or a device has, and what their aliases stand for. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from resources.scada.mqtt.sparkplug.payload.properties import unit_of
from resources.scada.mqtt.sparkplug.payload.schema import MetricMessage, PayloadMessage, as_text

BD_SEQ = "bdSeq"
REBIRTH = "Node Control/Rebirth"


@dataclass(frozen=True, slots=True)
class Definition:
    """What a birth certificate says of a metric."""

    name: str
    alias: int | None
    """What stands for the name in data messages; None: the name itself is sent."""
    datatype: int
    """0 where the birth does not tell."""
    unit: str | None = None
    """Property engUnit, as it stands there."""
    is_transient: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Birth:
    """The metrics of one edge node or one device."""

    definitions: Mapping[str, Definition] = field(default_factory=dict)
    """By name."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Alias -> name."""

    @classmethod
    def of(cls, definitions: Iterable[Definition]) -> Birth:
        """Return the birth that holds `definitions`; of two with one name or alias the later counts."""
        by_name = {definition.name: definition for definition in definitions}
        return cls(by_name, {d.alias: d.name for d in by_name.values() if d.alias is not None})

    @classmethod
    def read(cls, payload: PayloadMessage) -> Birth:
        """Return what an NBIRTH or DBIRTH says; metrics without a name that is a text are left out."""
        return cls.of(_definition(metric) for metric in payload.metrics if as_text(metric.name))

    @classmethod
    def from_text(cls, text: str) -> Birth:
        """Return what `to_text` has kept."""
        return cls.of(Definition(*parts) for parts in json.loads(text))

    def to_text(self) -> str:
        """Return the birth as text, for keeping."""
        return json.dumps(
            [[d.name, d.alias, d.datatype, d.unit, d.is_transient, d.description] for d in self.definitions.values()],
            separators=(",", ":"),
        )

    def by_alias(self, alias: int) -> Definition | None:
        """Return what an alias stands for, None if it is not in this birth."""
        name = self.names.get(alias)
        return None if name is None else self.definitions[name]


def _definition(metric: MetricMessage) -> Definition:
    return Definition(
        name=metric.name,
        alias=metric.alias if metric.HasField("alias") else None,
        datatype=metric.datatype,
        unit=unit_of(metric),
        is_transient=metric.is_transient,
        description=as_text(metric.metadata.description) if metric.HasField("metadata") else "",
    )


def bd_seq_of(payload: PayloadMessage) -> int | None:
    """Return the birth/death number that an NBIRTH and its NDEATH share, None where there is none."""
    for metric in payload.metrics:
        if metric.name == BD_SEQ:
            kind = metric.WhichOneof("value")
            if kind in ("long_value", "int_value"):
                number: int = getattr(metric, kind)
                return number
    return None
