"""Options that every SCADA source has, whatever its protocol: how it is connected, watched and tried again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from resources.core.configuration.settings import Duration, StrictModel
from resources.scada.discovery_config import Discover

_Positive = Annotated[Duration, Field(gt=timedelta(0))]


def _host_and_port(text: str) -> str:
    from resources.scada.endpoints import parse_address

    parse_address(text)
    return text


EndpointText = Annotated[str, AfterValidator(_host_and_port)]
"""A field that accepts `host:port`, `[::1]:port` or a URL with both (`opc.tcp://host:port/path`)."""


class CircuitBreakerConfig(StrictModel):
    """When a source that keeps failing is left alone for a while."""

    failures: int = Field(5, ge=1, le=1000)
    """Failed attempts in a row that open the circuit: no attempt is then made until `recovery` is over."""
    recovery: _Positive = timedelta(seconds=60)
    """How long it stays open; a source that can be seen to be back is tried before."""


class SourceOptions(StrictModel):
    """What every source can set; each protocol's configuration inherits it."""

    connect_timeout: _Positive = timedelta(seconds=10)
    """Longest time for a connection attempt and for the peer's answers while it is made."""
    start_timeout: _Positive = timedelta(minutes=2)
    """Longest time from the first packet until the source reads; it is disconnected and tried again after that."""
    circuit_breaker: CircuitBreakerConfig = CircuitBreakerConfig()
    """When a source that keeps failing is left alone for a while."""
    probe_interval: _Positive = timedelta(seconds=2)
    """While a source is left alone, its port is looked at this often: a TCP connection, closed again at once."""
    health_interval: _Positive = timedelta(seconds=30)
    """A connected source is asked whether it is well this often, over the connection that is there."""
    other_endpoints: tuple[EndpointText, ...] = ()
    """Further addresses of the same source, in order of preference: a redundant server, a second gateway. All must
    offer the same items."""
    connections_per_endpoint: int | None = Field(None, ge=1, le=10_000)
    """Most connections that this collector keeps to one address, over all its sources; no limit if absent."""
    tags_csv: Path | None = None
    """A CSV file with further tags, one per line, relative to this file's folder; its first line names the keys."""
    discover: Discover | None = None
    """Which of the things that the source offers become tags (`gl tags discover`); off if absent."""

    can_discover: ClassVar[bool] = True
    """False where the protocol has no way to ask what there is."""

    @model_validator(mode="after")
    def _has_tags(self) -> Self:
        if self.discover is not None and not self.can_discover:
            raise ValueError("discover: this protocol cannot say what a device offers; list the tags in tags_csv")
        if "tags" in type(self).model_fields and not self.tags and self.discover is None:  # type: ignore[attr-defined]
            raise ValueError("tags: name at least one, here or in tags_csv")
        return self

    @model_validator(mode="after")
    def _probing_pays(self) -> Self:
        if self.probe_interval > self.circuit_breaker.recovery:
            raise ValueError("probe_interval is longer than circuit_breaker.recovery: nothing would be looked at")
        return self
