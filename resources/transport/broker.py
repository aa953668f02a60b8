"""How to reach an MQTT broker: shared by the MQTT connector and the agents."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, Fingerprints, Secret, StrictModel


class BrokerConfig(StrictModel):
    """How to reach an MQTT broker."""

    host: str = Field(min_length=1)
    """Host name or address."""
    port: int = Field(8883, ge=1, le=65535)
    """8883 TLS, 1883 plain."""
    tls: bool = True
    """TLS, verified."""
    ca_certificate: Path | None = None
    """CA that signed the broker's certificate; the system's if absent."""
    client_certificate: Path | None = None
    """PEM client certificate, if the broker asks for one."""
    client_key: Path | None = None
    """PEM private key of the client certificate."""
    allow_tls_1_2: bool = False
    """True also accepts TLS 1.2, for an old broker; 1.3 is the minimum otherwise."""
    pinned_sha256: Fingerprints = ()
    """SHA-256 fingerprints of which the broker's certificate must have one, besides being verified; any if absent."""
    insecure_plain_tcp: bool = False
    """True talks without TLS: needs tls: false."""
    username: str | None = None
    """User name at the broker."""
    password: Secret | None = None
    """`${NAME}` of the environment variable with the password."""
    protocol: Literal["5", "3.1.1"] = "5"
    """MQTT version."""
    keepalive: Duration = timedelta(seconds=30)
    """Keep-alive interval."""

    @model_validator(mode="after")
    def _plain_is_explicit(self) -> Self:
        if not self.tls and not self.insecure_plain_tcp:
            raise ValueError("tls: false needs insecure_plain_tcp: true beside it")
        if not self.tls and self.pinned_sha256:
            raise ValueError("pinned_sha256 needs TLS")
        if self.password is not None and self.username is None:
            raise ValueError("password needs username")
        return self
