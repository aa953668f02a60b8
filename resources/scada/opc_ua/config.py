"""Configuration of an OPC UA source."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from resources.core.configuration.settings import Duration, Fingerprints, Secret
from resources.scada.opc_ua.data_config import DataOptions, NodeTag

_Positive = Annotated[Duration, Field(gt=timedelta(0))]


class OpcUaTag(NodeTag):
    """One node whose Value is subscribed, or a part of it."""

    sampling_interval: Duration | None = None
    """How often the server looks at this node; that of the source if absent."""
    queue_size: int | None = Field(None, ge=1, le=100_000)
    """Values that the server keeps for this node; that of the source if absent."""
    server_deadband: float | None = Field(None, gt=0)
    """The server sends a value only if it differs from the last one sent by more than this, in the node's own unit
    (before scale)."""
    server_deadband_percent: float | None = Field(None, gt=0, le=100)
    """The same, in percent of the node's range (EURange): for nodes that are AnalogItems."""

    @model_validator(mode="after")
    def _one_deadband(self) -> Self:
        if self.server_deadband is not None and self.server_deadband_percent is not None:
            raise ValueError("server_deadband and server_deadband_percent exclude each other")
        return self


class OpcUaConfig(DataOptions):
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
    trust_store: Path | None = None
    """Folder of the certificates we trust: `trusted/` (servers, and CAs whose servers we trust), `issuers/` (CAs that
    only complete a chain); a certificate we refuse is put into `rejected/`. Made if it is not there."""
    pinned_sha256: Fingerprints = ()
    """SHA-256 fingerprints of which the server's certificate must have one: beside server_certificate or trust_store,
    or alone."""
    server_application_uri: str | None = None
    """Application URI that the server's certificate must name; that which the server itself tells if absent."""
    insecure_trust_on_first_use: bool = False
    """True trusts whatever certificate the source shows first, and puts it into `trusted/` of the trust store: whoever
    answers that first time is believed from then on."""
    username: str | None = None
    """User for a user-name token; anonymous if absent."""
    password: Secret | None = None
    """`${NAME}` of the environment variable with the password."""
    user_certificate: Path | None = None
    """Certificate of the user, PEM or DER, for a login by certificate in place of user name and password."""
    user_key: Path | None = None
    """PEM private key of the user's certificate."""
    publishing_interval: Duration = timedelta(milliseconds=500)
    """Requested publishing interval of the subscriptions."""
    sampling_interval: Duration = timedelta(milliseconds=250)
    """Requested sampling interval of every monitored item."""
    queue_size: int = Field(100, ge=1, le=100_000)
    """Requested queue size of every monitored item."""
    discard: Literal["oldest", "newest"] = "oldest"
    """Which value the server drops when the queue of an item is full."""
    keep_alive_interval: _Positive = timedelta(seconds=5)
    """A subscription with nothing to tell lets hear of itself this often: its keep-alive count, as a time."""
    subscription_lifetime: _Positive = timedelta(minutes=10)
    """The server keeps a subscription, and queues for it, this long without hearing from us: its lifetime count, as a
    time. A cut that is shorter loses nothing, where queues are long enough."""
    session_timeout: _Positive = timedelta(minutes=10)
    """Requested session timeout: a session left behind is closed by the server after this."""
    publish_requests: int = Field(3, ge=2, le=20)
    """Publish requests kept waiting at the server, so that it can always send."""
    max_items_per_call: int = Field(1000, ge=1, le=10_000)
    """Most monitored items created, and most nodes read, by one request; the server's own limits count where they are
    lower."""
    max_items_per_subscription: int | None = Field(None, ge=1, le=1_000_000)
    """Most monitored items of one subscription: more make further subscriptions. The server's own limit counts where
    it is lower."""
    retry_bad_items_after: Duration = timedelta(seconds=60)
    """A node that the server refuses (unknown, no access) is tried again after this long."""
    tags: tuple[OpcUaTag, ...] = ()
    """The nodes."""

    @model_validator(mode="after")
    def _security_is_complete(self) -> Self:
        trusts = self.server_certificate or self.trust_store or self.pinned_sha256
        if not self.insecure_no_security and not (self.client_certificate and self.client_key and trusts):
            raise ValueError(
                "client_certificate, client_key and one of server_certificate, trust_store, pinned_sha256 are needed "
                "for a secure connection; insecure_no_security: true does without"
            )
        if self.insecure_trust_on_first_use and not self.trust_store:
            raise ValueError("insecure_trust_on_first_use needs a trust_store to put the certificate into")
        return self

    @model_validator(mode="after")
    def _login_is_complete(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise ValueError("username and password go together")
        if (self.user_certificate is None) != (self.user_key is None):
            raise ValueError("user_certificate and user_key go together")
        if self.username is not None and self.user_certificate is not None:
            raise ValueError("a login is by username or by user_certificate, not by both")
        return self

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.subscription_lifetime < 3 * self.keep_alive_interval:
            raise ValueError("subscription_lifetime must be at least three times keep_alive_interval")
        return self
