"""A connected session: endpoint chosen, the server's certificate verified, user logged in.

The endpoints are asked for over an unsecured channel first, as OPC UA prescribes; nothing in that answer is trusted:
the certificate in it must be the one configured, or signed by it, and the secure channel then proves its key.
Source: OPC 10000-4, 5.5 (discovery), 6.1.3 (certificate validation); OPC 10000-6, 6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.uaerrors import UaError
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from resources.core.errors import AuthError, ConfigError, PlatformError, ProtocolError
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import translate
from resources.scada.tls import load_certificates, refuse_outside_validity

_POLICIES = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_WATCHDOG_S = 10.0
"""How often asyncua reads the server's state, with as long to answer, to find a connection that died silently."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A client with an activated session, and the certificate its server showed (None without security)."""

    client: Any
    certificate: x509.Certificate | None


async def connect(source: str, config: OpcUaConfig) -> Connected:
    """Return a connected client.

    Raises:
        UnreachableError: No connection, or no answer in time.
        AuthError: A certificate or the login was refused, by the server or by us.
        ProtocolError: The server has no such endpoint.
        ConfigError: A file or an environment variable is missing.
    """
    client = Client(config.endpoint_url, timeout=config.connect_timeout.total_seconds(), watchdog_intervall=_WATCHDOG_S)
    client.name = client.description = "GL data platform"
    certificate = None
    if config.username is not None and config.password is not None:
        client.set_user(config.username)
        client.set_password(config.password.reveal())
    try:
        if not config.insecure_no_security:
            certificate = await _secure(source, config, client)
        await client.connect()
    except PlatformError:
        raise
    except (UaError, OSError, ValueError) as error:
        raise translate(error, source=source, endpoint=config.endpoint_url) from error
    return Connected(client, certificate)


async def _secure(source: str, config: OpcUaConfig, client: Any) -> x509.Certificate:
    assert config.client_certificate is not None
    assert config.client_key is not None
    assert config.server_certificate is not None
    ours = load_certificates(source, "client_certificate", config.client_certificate, check_validity=True)[0]
    trusted = load_certificates(source, "server_certificate", config.server_certificate)
    client.application_uri = _application_uri(source, ours)
    server = _server_certificate(source, config, await client.connect_and_get_server_endpoints())
    verify(source, config.endpoint_url, server, trusted)
    try:
        key = config.client_key.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"source {source}: client_key {config.client_key} cannot be read ({error.strerror})"
        ) from error
    try:
        await client.set_security(
            _POLICIES[config.security_policy],
            CertProperties(ours.public_bytes(Encoding.DER), "der"),
            CertProperties(key, "pem" if b"-----BEGIN" in key else "der"),
            server_certificate=CertProperties(server.public_bytes(Encoding.DER), "der"),
            mode=getattr(ua.MessageSecurityMode, config.security_mode),
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"source {source}: client_key {config.client_key} cannot be used ({error}): give an unencrypted "
            "RSA key in PEM"
        ) from error
    return server


def _application_uri(source: str, certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return str(names.get_values_for_type(x509.UniformResourceIdentifier)[0])
    except (x509.ExtensionNotFound, IndexError) as error:
        raise ConfigError(
            f"source {source}: client_certificate names no application URI: have it issued with a URI in its "
            "subject alternative name"
        ) from error


def _server_certificate(source: str, config: OpcUaConfig, endpoints: list[Any]) -> x509.Certificate:
    mode = getattr(ua.MessageSecurityMode, config.security_mode)
    uri = _POLICIES[config.security_policy].URI
    for endpoint in endpoints:
        if endpoint.SecurityMode == mode and endpoint.SecurityPolicyUri == uri and endpoint.ServerCertificate:
            # a server may append its chain: the first certificate is its own
            der = endpoint.ServerCertificate
            return x509.load_der_x509_certificate(der[: int.from_bytes(der[2:4], "big") + 4])
    offered = sorted({f"{e.SecurityPolicyUri.rpartition('#')[2]} {e.SecurityMode.name.rstrip('_')}" for e in endpoints})
    raise ProtocolError(
        f"source {source}: {config.endpoint_url} offers no {config.security_policy} {config.security_mode}, only "
        f"{', '.join(offered) or 'nothing'}: set security_policy and security_mode to one of these",
        source=source,
    )


def verify(source: str, endpoint: str, server: x509.Certificate, trusted: list[x509.Certificate]) -> None:
    """Do nothing if `server` is one of `trusted` or signed by one of them, and valid now.

    Raises:
        AuthError: It is not.
    """
    issuer = next((known for known in trusted if known == server or _signed_by(server, known)), None)
    if issuer is None:
        raise AuthError(
            f"source {source}: {endpoint} shows a certificate ({server.subject.rfc4514_string()}) that is "
            "neither the configured "
            "server_certificate nor signed by it: if the server's certificate was renewed on purpose, put "
            "the new one in its place",
            source=source,
        )
    refuse_outside_validity(source, f"the server {endpoint}", server)
    refuse_outside_validity(source, f"the CA of the server {endpoint}", issuer)


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        if not issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        certificate.verify_directly_issued_by(issuer)
    except (x509.ExtensionNotFound, ValueError, TypeError, InvalidSignature):
        return False
    return True
