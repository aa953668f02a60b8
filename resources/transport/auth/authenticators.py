"""What a request carries to prove who we are, whatever the way of logging on."""

from __future__ import annotations

import base64
import hashlib
import ssl
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog

from resources.core.clock import Clock
from resources.core.configuration.settings import EnvSecret
from resources.transport.auth.config import ApiKeyConfig, AuthConfig, BasicConfig, MutualTlsConfig
from resources.transport.auth.oauth import TokenSource
from resources.transport.auth.refusals import Refusals
from resources.transport.auth.tenant_tokens import release_tokens, shared_tokens
from resources.transport.connections.config import HttpConfig
from resources.transport.trust.tls import client_context

log = structlog.get_logger(__name__)


class Authenticator(Protocol):
    """Gives the headers that carry the credentials, and what to do when they are refused."""

    client_certificate: Path | None
    client_key: Path | None

    @property
    def requests(self) -> int:
        """Token requests sent so far."""
        ...

    @property
    def expires_at(self) -> datetime | None:
        """When the current token expires; None where there is none."""
        ...

    def headers(self) -> dict[str, str]:
        """Return the headers of the next request.

        Raises:
            SourceError: There are none to be had; see `TokenSource.token`.
        """
        ...

    def renewed(self, refused: Mapping[str, str], words: str) -> dict[str, str] | None:
        """Return other headers in place of those just refused with `words`; None if there are none."""
        ...

    def secrets(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """Return what must not be shown though a server echoes it."""
        ...

    def close(self) -> None:
        """Forget what was fetched."""
        ...


class NoLogon:
    """Nothing is sent; a client certificate, if there is one, is the log-on."""

    requests = 0
    expires_at = None

    def __init__(self, certificate: Path | None = None, key: Path | None = None) -> None:
        """Remember the files."""
        self.client_certificate, self.client_key = certificate, key

    def headers(self) -> dict[str, str]:
        """Return none."""
        return {}

    def renewed(self, refused: Mapping[str, str], words: str) -> dict[str, str] | None:
        """Return None: there is nothing else to show."""
        del refused, words
        return None

    def secrets(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """Return none."""
        del headers
        return ()

    def close(self) -> None:
        """Do nothing."""


class HeaderLogon:
    """The same secret in every request: an API key, or user and password. A refused one is not sent again."""

    requests = 0
    expires_at = None
    client_certificate: Path | None = None
    client_key: Path | None = None

    def __init__(self, source: str, config: ApiKeyConfig | BasicConfig, refusals: Refusals, clock: Clock) -> None:
        """Prepare; the secret is looked up at use."""
        self._source, self._config, self._refusals, self._clock = source, config, refusals, clock

    def headers(self) -> dict[str, str]:
        """Return the header with the secret.

        Raises:
            AuthError: The system refused this very secret earlier: repeating it may lock the account.
            ConfigError: The environment variable is not set.
        """
        found = self._written()
        self._refusals.check(_digest(found))
        return found

    def renewed(self, refused: Mapping[str, str], words: str) -> dict[str, str] | None:
        """Remember the refusal; return None."""
        self._refusals.note(_digest(refused), words, self._clock.now())
        log.warning("logon_refused", source=self._source, type=self._config.type)
        return None

    def secrets(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """Return the secret as it is and as it travels."""
        return (*headers.values(), *(value.partition(" ")[2] for value in headers.values()), self._secret())

    def close(self) -> None:
        """Do nothing."""

    def _written(self) -> dict[str, str]:
        config, secret = self._config, self._secret()
        if isinstance(config, ApiKeyConfig):
            return {config.header: f"{config.prefix} {secret}".lstrip()}
        pair = f"{config.username}:{secret}".encode()
        return {"Authorization": "Basic " + base64.b64encode(pair).decode("ascii")}

    def _secret(self) -> str:
        secret = self._config.key if isinstance(self._config, ApiKeyConfig) else self._config.password
        assert isinstance(secret, EnvSecret)  # the configuration accepts nothing else
        return secret.reveal()


def _digest(headers: Mapping[str, str]) -> bytes:
    return hashlib.sha256(repr(sorted(headers.items())).encode()).digest()


class BearerLogon:
    """A token of OAuth 2.0, renewed in time; a refused one is replaced once."""

    client_certificate: Path | None = None
    client_key: Path | None = None

    def __init__(self, tokens: TokenSource) -> None:
        """Take tokens from `tokens`."""
        self._tokens = tokens
        self._closed = False

    @property
    def requests(self) -> int:
        """Token requests sent so far."""
        return self._tokens.requests

    @property
    def expires_at(self) -> datetime | None:
        """When the current token expires."""
        return self._tokens.expires_at

    def headers(self) -> dict[str, str]:
        """Return the header with the current token."""
        return {"Authorization": f"Bearer {self._tokens.token()}"}

    def renewed(self, refused: Mapping[str, str], words: str) -> dict[str, str] | None:
        """Return the header with a newer token than the one refused."""
        del words
        token = refused["Authorization"].removeprefix("Bearer ")
        return {"Authorization": f"Bearer {self._tokens.token(instead_of=token)}"}

    def secrets(self, headers: Mapping[str, str]) -> tuple[str, ...]:
        """Return the token."""
        return tuple(value.removeprefix("Bearer ") for value in headers.values())

    def close(self) -> None:
        """Forget the token, unless another client still uses it."""
        if not self._closed:
            self._closed = True
            release_tokens(self._tokens)


def authenticator_of(
    source: str,
    auth: AuthConfig | None,
    http: HttpConfig,
    *,
    headers: Mapping[str, str],
    home: Path | None,
    clock: Clock,
) -> Authenticator:
    """Return what proves who we are to the system `source`; nothing is sent.

    Args:
        source: Name of the system in messages.
        auth: The way of logging on; None: nobody.
        http: Where the system is, and through which proxy.
        headers: What is sent with every request: a refused log-on is tried again where they changed (`sap-client`).
        home: GL_HOME, where refused secrets are remembered; None: in memory.
        clock: For tests.

    Raises:
        ConfigError: A certificate cannot be used.
    """
    if auth is None:
        return NoLogon()
    if isinstance(auth, MutualTlsConfig):
        return NoLogon(auth.client_certificate, auth.client_key)
    refused = home / "refused" if home is not None else None
    if isinstance(auth, ApiKeyConfig | BasicConfig):
        whose = "\n".join((source, auth.model_dump_json(), http.base_url, repr(sorted(headers.items()))))
        return HeaderLogon(source, auth, Refusals(source, whose, refused), clock)
    tls: ssl.SSLContext = client_context(
        ca_certificate=http.ca_certificate,
        allow_tls_1_2=http.allow_tls_1_2,
        pinned_sha256=http.pinned_sha256,
        client_certificate=auth.client_certificate,
        client_key=auth.client_key,
    )
    return BearerLogon(shared_tokens(source, auth, http, tls=tls, refused=refused, clock=clock))
