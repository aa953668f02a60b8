"""Who we are to a system: one of the ways of logging on, told apart by `type`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from resources.core.configuration.settings import Duration, Secret, StrictModel

_URL = r"^https?://[^\s]+$"
_HEADER = r"^[A-Za-z0-9!#$%&'*+.^_`|~\-]{1,64}$"


class TokenConfig(StrictModel):
    """What every grant of OAuth 2.0 needs."""

    token_url: str = Field(pattern=_URL)
    """Token endpoint."""
    client_id: str = Field(min_length=1)
    """Client id, as registered."""
    scope: str | None = None
    """Scope, verbatim; none if absent."""
    extra: dict[str, str] = Field(default_factory=dict)
    """Further form fields of the token request that the system asks for, such as `resource`; never a secret."""
    client_certificate: Path | None = None
    """PEM client certificate shown to the token endpoint, where it asks for one (RFC 8705)."""
    client_key: Path | None = None
    """PEM private key of the client certificate."""


class OAuthConfig(TokenConfig):
    """OAuth 2.0 client credentials."""

    type: Literal["client_credentials"] = "client_credentials"
    """The way of logging on."""
    client_secret: Secret | None = None
    """`${NAME}` of the environment variable with the client secret."""
    client_auth: Literal["client_secret_basic", "client_secret_post", "tls_client_auth"] = "client_secret_basic"
    """How the client proves itself at the token endpoint."""

    @model_validator(mode="after")
    def _can_prove_itself(self) -> Self:
        if self.client_auth == "tls_client_auth" and self.client_certificate is None:
            raise ValueError("client_auth: tls_client_auth needs client_certificate")
        if self.client_auth != "tls_client_auth" and self.client_secret is None:
            raise ValueError(f"client_auth: {self.client_auth} needs client_secret")
        return self


class RefreshTokenConfig(TokenConfig):
    """OAuth 2.0 with a refresh token that was issued to an integration once and does not expire."""

    type: Literal["refresh_token"]
    """The way of logging on."""
    client_secret: Secret | None = None
    """`${NAME}` of the environment variable with the client secret; absent for a public client."""
    refresh_token: Secret
    """`${NAME}` of the environment variable with the refresh token."""
    client_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    """How the client proves itself at the token endpoint."""


class JwtBearerConfig(TokenConfig):
    """OAuth 2.0 with a JWT signed by a private key, as the grant or as the client's proof (RFC 7523)."""

    type: Literal["jwt_bearer"]
    """The way of logging on."""
    private_key: Secret
    """`${NAME}` of the environment variable with the PEM private key, or with the path of its file."""
    used_as: Literal["grant", "client_assertion"] = "grant"
    """`grant`: the JWT is the authorization. `client_assertion`: it is the client's proof, in place of a secret, in a
    client credentials request."""
    client_secret: Secret | None = None
    """`${NAME}` of the environment variable with the client secret, where the system asks for it beside the JWT."""
    subject: str | None = None
    """Claim `sub`: the user to act as; client_id if absent."""
    issuer: str | None = None
    """Claim `iss`; client_id if absent."""
    audience: str | None = None
    """Claim `aud`; token_url if absent."""
    algorithm: Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"] = "RS256"
    """Algorithm of the signature."""
    key_id: str | None = None
    """Header `kid`; none if absent."""
    certificate: Path | None = None
    """PEM certificate whose thumbprints go into the header as `x5t` and `x5t#S256`; none if absent."""
    life: Duration = Field(timedelta(minutes=5), gt=timedelta(0), le=timedelta(hours=1))
    """Life of the JWT."""


class SamlBearerConfig(TokenConfig):
    """OAuth 2.0 with a SAML 2.0 assertion that an identity provider issued (RFC 7522)."""

    type: Literal["saml_bearer"]
    """The way of logging on."""
    assertion: Secret
    """`${NAME}` of the environment variable with the assertion, XML or base64url, or with the path of its file; the
    file is read for each token, so that whoever renews the assertion only replaces it."""
    client_secret: Secret | None = None
    """`${NAME}` of the environment variable with the client secret."""
    client_auth: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"
    """How the client proves itself at the token endpoint."""


class ApiKeyConfig(StrictModel):
    """A key in a header of every request."""

    type: Literal["api_key"]
    """The way of logging on."""
    key: Secret
    """`${NAME}` of the environment variable with the key."""
    header: str = Field("APIKey", pattern=_HEADER)
    """Header that carries it."""
    prefix: str = Field("", pattern=r"^[A-Za-z0-9_\-]{0,32}$")
    """Word before the key, such as `Bearer`; none if absent."""


class BasicConfig(StrictModel):
    """User name and password in every request (RFC 7617)."""

    type: Literal["basic"]
    """The way of logging on."""
    username: str = Field(min_length=1, pattern=r"^[^:\x00-\x1f]+$")
    """Technical user."""
    password: Secret
    """`${NAME}` of the environment variable with its password."""


class MutualTlsConfig(StrictModel):
    """A client certificate is the log-on; it is shown in the handshake."""

    type: Literal["mutual_tls"]
    """The way of logging on."""
    client_certificate: Path
    """PEM client certificate (chain)."""
    client_key: Path | None = None
    """PEM private key of the certificate; in the certificate's file if absent."""


def _type_of(value: object) -> str:
    found = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return str(found or "client_credentials")


AuthConfig = Annotated[
    Annotated[OAuthConfig, Tag("client_credentials")]
    | Annotated[RefreshTokenConfig, Tag("refresh_token")]
    | Annotated[JwtBearerConfig, Tag("jwt_bearer")]
    | Annotated[SamlBearerConfig, Tag("saml_bearer")]
    | Annotated[ApiKeyConfig, Tag("api_key")]
    | Annotated[BasicConfig, Tag("basic")]
    | Annotated[MutualTlsConfig, Tag("mutual_tls")],
    Discriminator(_type_of),
]
"""A block `auth:` of a system; without `type` it is client_credentials, as `oauth:` always was."""

TokenGrant = OAuthConfig | RefreshTokenConfig | JwtBearerConfig | SamlBearerConfig
"""Those that fetch tokens."""
