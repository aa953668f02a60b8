"""The metrics of data messages: whose alias is known is read, the rest is left to whoever may know more later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from resources.core.readings import Status
from resources.scada.mqtt.rows import Rows
from resources.scada.mqtt.sparkplug.nodes.births import Definition
from resources.scada.mqtt.sparkplug.nodes.edge_node import Device, Held
from resources.scada.mqtt.sparkplug.output import Output
from resources.scada.mqtt.sparkplug.payload.schema import MetricMessage
from resources.scada.mqtt.sparkplug.readers import Binding, MetricReader

_UNCERTAIN = int(Status.UNCERTAIN)
_NOTHING: Mapping[int, Binding] = {}


class Metrics:
    """Reads the metrics of messages into rows."""

    def __init__(self, reader: MetricReader) -> None:
        """Read single metrics by `reader`."""
        self._reader = reader

    def read(self, rows: Rows, device: Device, held: Held, by_alias: Mapping[int, Binding]) -> Sequence[MetricMessage]:
        """Read the metrics of a message; return those whose alias is not among `by_alias`."""
        by_name, read, frame = device.by_name, self._reader.read, held.frame
        unknown: list[MetricMessage] = []
        for metric in held.metrics:
            name = metric.name
            if name:
                binding = by_name.get(name)
                if binding is None and not isinstance(name, str):
                    self._reader.reject(rows, "the metric's name is not UTF-8", metric, frame)
            else:
                alias = metric.alias
                binding = by_alias.get(alias)
                if not alias and not metric.HasField("alias"):
                    self._reader.reject(rows, "a metric with neither name nor alias", metric, frame)
                    continue
                if binding is None:
                    unknown.append(metric)
                    continue
            if binding is not None and binding.tags:
                read(rows, binding, metric, frame)
        return unknown

    def by_name(self, held: Held, out: Output) -> Sequence[MetricMessage]:
        """Read what was sent by name; return the rest, which is all that is left of the message then."""
        if not held.device.tags:
            held.metrics = ()
            return ()
        held.metrics = self.read(out.rows(), held.device, held, _NOTHING)
        return held.metrics

    def late(self, held: Held, device: Device, out: Output) -> None:
        """Read what has waited for the birth that `device` has now."""
        if not device.tags:
            return
        rows = out.rows()
        for metric in held.metrics:
            self._late(rows, device, held, metric)

    def _late(self, rows: Rows, device: Device, held: Held, metric: MetricMessage) -> None:
        alias = metric.alias
        binding, before = device.by_alias.get(alias), held.birth.by_alias(alias)
        if binding is None:
            self._reader.reject(rows, f"unknown alias {alias}: no birth certificate has it", metric, held.frame)
        elif before is None or _agree(before, binding.definition):
            self._reader.read(rows, binding, metric, held.frame)
        elif binding.tags or before.name in device.tags:
            reason = (
                f"the alias {alias} was {before.name} ({before.datatype}) and is now {binding.definition.name} "
                f"({binding.datatype}): which of them was sent cannot be told"
            )
            self._reader.reject(rows, reason, metric, held.frame)

    def doubtfully(self, held: Held, out: Output) -> None:
        """Read a message by the last birth known, as uncertain."""
        if not held.device.tags:
            return
        held.frame.status = _UNCERTAIN
        rows = out.rows()
        for metric in self.read(rows, held.device, held, held.device.by_alias):
            reason = (
                f"unknown alias {metric.alias}: no birth certificate has it, and the edge node has sent none since it "
                "was asked to (Node Control/Rebirth)"
            )
            self._reader.reject(rows, reason, metric, held.frame)


def _agree(before: Definition, now: Definition) -> bool:
    return (before.name, before.datatype) == (now.name, now.datatype)
