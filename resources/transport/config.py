"""Configuration shared by systems reached over HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from resources.core.settings import Duration, Fingerprints, Secret, StrictModel


class OAuthConfig(StrictModel):
    """OAuth 2.0 client credentials."""

    token_url: str = Field(pattern=r"^https?://[^\s]+$")
    """Token endpoint."""
    client_id: str = Field(min_length=1)
    """Client id, as registered."""
    client_secret: Secret
    """`${NAME}` of the environment variable with the client secret."""
    scope: str | None = None
    """Scope, verbatim; none if absent."""
    client_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    """How the client proves itself at the token endpoint."""


class HttpConfig(StrictModel):
    """Connection of one HTTP system."""

    base_url: str = Field(pattern=r"^https?://[^\s]+$")
    """Scheme, host and port; the paths are the connector's."""
    ca_certificate: Path | None = None
    """CA that signed the server's certificate; the system's if absent."""
    allow_tls_1_2: bool = False
    """True also accepts TLS 1.2, for an old server; 1.3 is the minimum otherwise."""
    pinned_sha256: Fingerprints = ()
    """SHA-256 fingerprints of which the server's certificate must have one, besides being verified; any if absent. A
    token endpoint on another host needs its own in the list."""
    insecure_plain_http: bool = False
    """True allows an http:// address."""
    timeout: Duration = timedelta(seconds=30)
    """Longest wait for a connection and between two pieces of an answer."""
    page_size: int = Field(1000, ge=1, le=50_000)
    """Page size asked for; the server may give less."""
    attempts: int = Field(5, ge=1, le=20)
    """How often a read is tried in all when the system does not answer or asks for a pause."""
    retry_time: Duration = timedelta(minutes=2)
    """Time after which a read is not tried again; a pause the server asks for beyond it ends the attempts at once."""
    max_connections: int = Field(50, ge=1, le=500)
    """Connections kept to the system at most."""
    max_response_bytes: int = Field(67_108_864, ge=1024)
    """A larger answer, unpacked, is refused; a smaller page_size makes them smaller."""

    @model_validator(mode="after")
    def _plain_is_explicit(self) -> Self:
        if self.base_url.startswith("http://") and not self.insecure_plain_http:
            raise ValueError("an http:// base_url needs insecure_plain_http: true beside it")
        if self.base_url.startswith("http://") and self.pinned_sha256:
            raise ValueError("pinned_sha256 needs an https:// base_url")
        return self
