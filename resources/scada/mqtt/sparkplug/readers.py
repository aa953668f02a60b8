"""From a metric to readings of the tags that name it. The way of nearly every value: a Float or a Double by its alias.

For such a metric the value is taken straight from its field; whatever else there is (null, arrays, texts, properties)
goes the longer way round. Times are epoch milliseconds, of the metric or else of its message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from resources.core.clock import to_micros
from resources.core.readings import Reject
from resources.scada.mqtt.rows import Rows
from resources.scada.mqtt.sparkplug.config import SparkplugAddress
from resources.scada.mqtt.sparkplug.nodes.births import Definition
from resources.scada.mqtt.sparkplug.payload.datatypes import (
    DataType,
    RefusedError,
    Value,
    quick_getter,
    read_value,
    refusal_of,
    type_word,
)
from resources.scada.mqtt.sparkplug.payload.properties import BAD, MARKS, conversion_to, quality_of, status_of
from resources.scada.mqtt.sparkplug.payload.schema import MetricMessage
from resources.scada.rejects import raw_value

LATEST_US = to_micros(datetime(9999, 1, 1, tzinfo=UTC))


@dataclass(slots=True)
class Tag:
    """One tag of the configuration, and how its metric's value becomes a reading."""

    sensor_id: str
    key: int
    unit: str
    address: SparkplugAddress
    scale: float = 1.0
    offset: float = 0.0
    is_text: bool = False
    states: Mapping[str, int] = field(default_factory=dict)
    factor: float = 1.0
    """Engineering value = value * factor + shift: scale and offset, or the conversion from the metric's unit."""
    shift: float = 0.0
    refused: str | None = None
    """Why no value of the metric fits the tag."""
    is_plain: bool = True
    """True where a number only has to be multiplied."""

    def fit(self, definition: Definition) -> None:
        """Note what the birth says of the metric: its unit, whether it is meant to be stored."""
        self.refused, (self.factor, self.shift) = refusal_of(definition.datatype), (self.scale, self.offset)
        if self.refused is not None:
            pass
        elif definition.is_transient and not self.address.store_transient:
            self.refused = _TRANSIENT
        elif not self.is_text and (self.scale, self.offset) == (1.0, 0.0):
            # a scale of the tag's own says what the raw value is: the metric's unit then is not about the result
            converted = conversion_to(definition.unit, self.unit)
            if isinstance(converted, str):
                self.refused = converted
            else:
                self.factor, self.shift = converted
        odd = self.is_text or self.states or self.address.element is not None
        self.is_plain = not odd and self.refused is None


_TRANSIENT = (
    "the metric is transient: its edge node asks that it be kept in no historian; store_transient: true stores it all "
    "the same"
)


class Binding:
    """A metric of a birth together with the tags that name it."""

    __slots__ = ("datatype", "definition", "quick", "tags")

    def __init__(self, definition: Definition, tags: Sequence[Tag]) -> None:
        """Fit `tags` to the metric."""
        self.definition = definition
        self.datatype = definition.datatype
        self.quick: Callable[[MetricMessage], Any] | None = quick_getter(definition.datatype)
        self.tags = tuple(tags)
        for tag in tags:
            tag.fit(definition)


@dataclass(slots=True)
class Frame:
    """What the metrics of one message share."""

    topic: bytes
    time_us: int
    """The message's time, for metrics that have none."""
    received_us: int
    status: int = 0
    """The best status that a value can have here."""
    has_properties: bool = False
    """False: no metric has a quality among its properties."""


def has_marks(payload: bytes) -> bool:
    """Return whether a property that counts may be in a payload."""
    return MARKS[0] in payload or MARKS[1] in payload


class MetricReader:
    """Appends what a metric says to rows."""

    def __init__(self, source: str, quality_codes: Mapping[int, int]) -> None:
        """Read metrics of `source`; `quality_codes` are code -> status where they differ from the usual."""
        self._source = source
        self._quality_codes = quality_codes

    def read(self, rows: Rows, binding: Binding, metric: MetricMessage, frame: Frame) -> None:
        """Append one reading, text or reject for each tag of the metric."""
        stamp = metric.timestamp
        time_us = stamp * 1000 if stamp else frame.time_us
        odd = metric.is_null or metric.is_transient or time_us >= LATEST_US
        value = binding.quick(metric) if binding.quick is not None else None
        status = frame.status
        if frame.has_properties and (code := quality_of(metric)) is not None:
            status = max(status, status_of(code, self._quality_codes))
        for tag in binding.tags:
            # a zero may be a field that is not there
            if value and tag.is_plain and not odd:
                rows.times.append(time_us)
                rows.keys.append(tag.key)
                rows.values.append(value * tag.factor + tag.shift)
                rows.statuses.append(status)
                continue
            try:
                self._read_slowly(rows, tag, binding, metric, (time_us, status))
            except RefusedError as refused:
                self.reject(rows, str(refused), metric, frame, tag=tag, name=binding.definition.name)

    def _read_slowly(
        self, rows: Rows, tag: Tag, binding: Binding, metric: MetricMessage, time_status: tuple[int, int]
    ) -> None:
        time_us, status = time_status
        if time_us >= LATEST_US:
            raise RefusedError(f"the time {metric.timestamp or time_us // 1000} is not in epoch milliseconds")
        if metric.is_transient and not tag.address.store_transient:
            raise RefusedError(_TRANSIENT)
        if tag.refused is not None:
            raise RefusedError(tag.refused)
        datatype = metric.datatype or binding.datatype or None
        value = read_value(metric, datatype, tag.address.element)
        if tag.is_text:
            rows.texts.append((time_us, tag.key, _text_of(value, datatype), BAD if value is None else status))
            return
        number = _number_of(value, tag, datatype)
        rows.times.append(time_us)
        rows.keys.append(tag.key)
        rows.statuses.append(status if number is not None else BAD)
        if number is None:
            rows.missing.append(len(rows.values))
            number = 0.0
        rows.values.append(number)

    def reject(
        self, rows: Rows, reason: str, metric: MetricMessage, frame: Frame, *, tag: Tag | None = None, name: str = ""
    ) -> None:
        """Append a reject that holds what the metric said."""
        field_name = metric.WhichOneof("value")
        shown: object = None
        if field_name in ("dataset_value", "template_value", "extension_value", "bytes_value"):
            shown = f"{len(getattr(metric, field_name))} bytes"
        elif field_name is not None and not metric.is_null:
            shown = getattr(metric, field_name)
        stamp = metric.timestamp or frame.time_us // 1000
        raw = raw_value(
            topic=frame.topic.decode("utf-8", "replace"),
            metric=name or None,
            alias=metric.alias if metric.HasField("alias") else None,
            datatype=type_word(metric.datatype) if metric.datatype else None,
            timestamp=stamp,
            value=shown,
        )
        time_us = stamp * 1000 if stamp * 1000 < LATEST_US else None
        sensor_id = tag.sensor_id if tag is not None else None
        rows.rejects.append(
            Reject(self._source, raw, (reason,), frame.received_us, time_us=time_us, sensor_id=sensor_id)
        )


def _number_of(value: Value, tag: Tag, datatype: int | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, str):
        if not tag.states:
            raise RefusedError(f"wrong type: the value is text ({type_word(datatype or 0)}) where a number is due")
        if value not in tag.states:
            raise RefusedError(f"the state {value[:40]!r} is none of {', '.join(tag.states)}")
        return float(tag.states[value])
    return float(value) * tag.factor + tag.shift


def _text_of(value: Value, datatype: int | None) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if datatype == DataType.DATETIME and value < LATEST_US // 1000:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.15g}" if isinstance(value, float) else str(value)
