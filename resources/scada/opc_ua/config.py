"""Configuration of an OPC UA source."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from resources.core.settings import Duration, Secret, TagConfig
from resources.scada.config import SourceOptions


class OpcUaTag(TagConfig):
    """One node whose Value is subscribed."""

    node_id: str = Field(min_length=3)
    """`nsu=<namespace URI>;s=Boiler1.SteamFlow` (or i=, g=, b=): the namespace by URI, since its index may change."""


class OpcUaConfig(SourceOptions):
    """One OPC UA server and the nodes read from it."""

    kind: Literal["opc_ua"]
    endpoint_url: str = Field(pattern=r"^opc\.tcp://[^\s]+$")
    """`opc.tcp://host:port/path`."""
    security_policy: Literal["Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss"] = "Basic256Sha256"
    """Security policy of the secure channel."""
    security_mode: Literal["Sign", "SignAndEncrypt"] = "SignAndEncrypt"
    """Message security mode."""
    insecure_no_security: bool = False
    """True talks without signature and encryption: for a server that has neither."""
    client_certificate: Path | None = None
    """PEM or DER; its URI must be the application URI."""
    client_key: Path | None = None
    """PEM private key of the client certificate."""
    server_certificate: Path | None = None
    """The server's certificate, or the CA that signed it: the connection is refused unless it matches."""
    username: str | None = None
    """User for a user-name token; anonymous if absent."""
    password: Secret | None = None
    """`${NAME}` of the environment variable with the password."""
    publishing_interval: Duration = timedelta(milliseconds=500)
    """Requested publishing interval of the subscription."""
    sampling_interval: Duration = timedelta(milliseconds=250)
    """Requested sampling interval of every monitored item."""
    queue_size: int = Field(100, ge=1, le=100_000)
    """Requested queue size of every monitored item."""
    publish_requests: int = Field(3, ge=2, le=20)
    """Publish requests kept waiting at the server, so that it can always send."""
    max_items_per_call: int = Field(1000, ge=1, le=10_000)
    """Most monitored items created by one request; the server's own limit counts where it is lower."""
    retry_bad_items_after: Duration = timedelta(seconds=60)
    """A node that the server refuses (unknown, no access) is tried again after this long."""
    tags: tuple[OpcUaTag, ...] = Field(min_length=1)
    """The nodes."""

    @model_validator(mode="after")
    def _security_is_complete(self) -> Self:
        if not self.insecure_no_security and not (
            self.client_certificate and self.client_key and self.server_certificate
        ):
            raise ValueError(
                "client_certificate, client_key and server_certificate are needed for a secure connection; "
                "insecure_no_security: true does without"
            )
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        return self
