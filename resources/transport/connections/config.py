"""Configuration shared by systems reached over HTTP."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, Fingerprints, Secret, StrictModel


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
    answer_timeout: Duration = Field(timedelta(hours=1), gt=timedelta(0))
    """Longest time until an answer is whole: a server that sends a byte now and then is not waited for without end."""
    page_size: int = Field(1000, ge=1, le=50_000)
    """Page size asked for; the server may give less."""
    attempts: int = Field(5, ge=1, le=20)
    """How often a read is tried in all when the system does not answer or asks for a pause."""
    retry_time: Duration = timedelta(minutes=2)
    """Time after which a read is not tried again; a pause the server asks for beyond it ends the attempts at once."""
    max_connections: int = Field(50, ge=1, le=500)
    """Connections kept to the system at most."""
    idle_timeout: Duration = Field(timedelta(seconds=30), gt=timedelta(0))
    """A connection that was not used for this long is closed."""
    max_response_bytes: int = Field(67_108_864, ge=1024)
    """A larger answer, unpacked, is refused; a smaller page_size makes them smaller."""

    rate_limit_per_minute: int | None = Field(100, ge=1, le=100_000)
    """Most requests to one endpoint (host and first part of the path) in any minute, shared fairly between the datasets
    and by all processes that use the same GL_HOME; no limit if null."""
    proxy_url: str | None = Field(None, pattern=r"^https?://[^\s@]+$")
    """Proxy that requests go through; none if absent, whatever HTTPS_PROXY in the environment says."""
    proxy_username: str | None = None
    """User at the proxy."""
    proxy_password: Secret | None = None
    """`${NAME}` of the environment variable with the password at the proxy."""

    @model_validator(mode="after")
    def _proxy_is_whole(self) -> Self:
        if self.proxy_url is None and (self.proxy_username or self.proxy_password):
            raise ValueError("proxy_username and proxy_password need proxy_url")
        if (self.proxy_username is None) != (self.proxy_password is None):
            raise ValueError("proxy_username and proxy_password go together")
        return self

    @model_validator(mode="after")
    def _plain_is_explicit(self) -> Self:
        if self.base_url.startswith("http://") and not self.insecure_plain_http:
            raise ValueError("an http:// base_url needs insecure_plain_http: true beside it")
        if self.base_url.startswith("http://") and self.pinned_sha256:
            raise ValueError("pinned_sha256 needs an https:// base_url")
        return self
