"""Configuration of Sparkplug B in an MQTT source: who we are as a host, and where a tag's metric is."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, StrictModel

_LEVEL = r"^[^/+#\x00]+$"
_Positive = Annotated[Duration, Field(gt=timedelta(0))]


class SparkplugAddress(StrictModel):
    """Where a tag's value is: a metric of an edge node, or of a device behind it.

    Also written as one text, `group/edge_node/device/metric`, with an empty device for the edge node's own metrics:
    `Plant/Boiler 1//Steam/Flow` is the metric `Steam/Flow` of the edge node `Boiler 1` in the group `Plant`.
    """

    group: str = Field(pattern=_LEVEL)
    """The group id."""
    edge_node: str = Field(pattern=_LEVEL)
    """The edge node id."""
    device: str | None = Field(None, pattern=_LEVEL)
    """The device id; absent for a metric of the edge node itself."""
    metric: str = Field(min_length=1)
    """The metric's full name, as its birth certificate has it (with its folders: `Steam/Flow`)."""
    element: int | None = Field(None, ge=0)
    """Which element of an array, from 0; absent where the metric is no array."""
    store_transient: bool = False
    """True stores the metric although its edge node marks it as transient (is_transient: not for a historian)."""

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        group, *rest = value.split("/", 3)
        if len(rest) != 3:
            raise ValueError(
                f"{value!r} is not group/edge_node/device/metric (leave the device empty where there is none)"
            )
        return {"group": group, "edge_node": rest[0], "device": rest[1] or None, "metric": rest[2]}

    def where(self) -> str:
        """Return the edge node, and the device if there is one, for people."""
        return f"{self.group}/{self.edge_node}" + (f"/{self.device}" if self.device else "")

    def text(self) -> str:
        """Return the address as one text."""
        return f"{self.group}/{self.edge_node}/{self.device or ''}/{self.metric}"


class SparkplugConfig(StrictModel):
    """The collector as a Sparkplug host application."""

    host_id: str = Field(pattern=_LEVEL)
    """Our host id: edge nodes may wait for `spBv1.0/STATE/<host_id>` to be online. Unique among the broker's hosts."""
    edge_nodes: tuple[Annotated[str, Field(pattern=r"^[^/+#\x00]+/[^/+#\x00]+$")], ...] = ()
    """Edge nodes, as `group/edge_node`, that `gl tags discover` asks although no tag is of them yet."""
    clean_session: bool = False
    """True asks the broker for a session of this connection alone, as the specification wants it. By default the
    session is kept, so that what edge nodes publish with QoS 1 while the collector is away is not lost."""
    reorder_timeout: _Positive = timedelta(seconds=2)
    """How long a message that is missing in an edge node's sequence is waited for before a rebirth is asked for."""
    birth_timeout: _Positive = timedelta(seconds=15)
    """How long data whose aliases are in doubt wait for the birth certificate that was asked for. After that they are
    read by the last one known, with status uncertain."""
    rebirth_interval: _Positive = timedelta(seconds=10)
    """Shortest time between two rebirth requests to one edge node; it doubles, up to 5 min, while they do not help."""
    quality_codes: dict[int, Literal["good", "uncertain", "bad"]] = Field(default_factory=dict)
    """What a code in the property `Quality` means, where it differs from: 192 to 255 good, 64 to 127 uncertain, every
    other bad (0 bad, 500 stale)."""
