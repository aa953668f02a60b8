"""An asyncua client made ready to connect: endpoint chosen, the server's certificate verified, the login prepared.

The endpoints are asked for over an unsecured channel first, as OPC UA prescribes; nothing in that answer is trusted:
the certificate in it must be one that we trust (`trust.py`), and the secure channel then proves that the server has
its key. Source: OPC 10000-4, 5.5 (discovery), 6.1.3 (certificates), 7.36 (user identity tokens); OPC 10000-6, 6.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto import security_policies
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.uaerrors import UaError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_der_private_key, load_pem_private_key

from resources.core.errors import AuthError, ConfigError, PlatformError, ProtocolError
from resources.core.process.logs import security_log
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import translate
from resources.scada.opc_ua.sessions.trust import Shown, application_uris, verify
from resources.scada.tls import load_certificates

_POLICIES = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128_Sha256_RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256_Sha256_RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A client that has still to connect, and the certificate its server must have (None without security)."""

    client: Any
    certificate: x509.Certificate | None


async def prepare(source: str, config: OpcUaConfig) -> Prepared:
    """Return a client for `config`.

    Raises:
        UnreachableError: No connection, or no answer in time.
        AuthError: We refuse the server's certificate, or ours is not valid now.
        ProtocolError: The server has no such endpoint.
        ConfigError: A file or an environment variable is missing.
    """
    client = Client(config.endpoint_url, timeout=config.connect_timeout.total_seconds())
    client.name = client.description = "GL data platform"
    client.session_timeout = round(config.session_timeout.total_seconds() * 1000)
    _identify(source, config, client)
    try:
        certificate = None if config.insecure_no_security else await _secure(source, config, client)
    except PlatformError:
        raise
    except (UaError, OSError, ValueError) as error:
        raise translate(error, source=source, endpoint=config.endpoint_url) from error
    return Prepared(client, certificate)


def _identify(source: str, config: OpcUaConfig, client: Any) -> None:
    """Give the client its login: user name, certificate, or nothing."""
    if config.username is not None and config.password is not None:
        client.set_user(config.username)
        client.set_password(config.password.reveal())
    if config.user_certificate is not None and config.user_key is not None:
        client.user_certificate = load_certificates(
            source, "user_certificate", config.user_certificate, check_validity=True
        )[0]
        client.user_private_key = _private_key(source, "user_key", config.user_key)


def login_words(config: OpcUaConfig) -> str:
    """Return how a connection is secured and who logs in, for people."""
    login = f"user {config.username}" if config.username else "anonymous"
    if config.user_certificate is not None:
        login = f"user certificate {config.user_certificate.name}"
    if config.insecure_no_security:
        return f"no security, {login}"
    return f"{config.security_policy} {config.security_mode}, {login}"


def warn_of_open_password(source: str, config: OpcUaConfig, client: Any) -> None:
    """Say so if the server wants the password in a way that anyone in the network can read."""
    if config.username is None or not config.insecure_no_security:
        return
    policy = client.server_policy(ua.UserTokenType.UserName).SecurityPolicyUri
    if not policy or policy == security_policies.SecurityPolicyNone.URI:
        security_log().warning("password_sent_unencrypted", source=source, endpoint=config.endpoint_url)


async def _secure(source: str, config: OpcUaConfig, client: Any) -> x509.Certificate:
    assert config.client_certificate is not None
    assert config.client_key is not None
    ours = load_certificates(source, "client_certificate", config.client_certificate, check_validity=True)[0]
    client.application_uri = _application_uri(source, ours)
    shown = _shown(source, config, await client.connect_and_get_server_endpoints())
    verify(source, config, shown)
    key = _key_bytes(source, "client_key", config.client_key)
    try:
        await client.set_security(
            _POLICIES[config.security_policy],
            CertProperties(ours.public_bytes(Encoding.DER), "der"),
            CertProperties(key, "pem" if b"-----BEGIN" in key else "der"),
            server_certificate=CertProperties(shown.certificate.public_bytes(Encoding.DER), "der"),
            mode=getattr(ua.MessageSecurityMode, config.security_mode),
        )
    except (ValueError, TypeError) as error:
        raise _unusable(source, "client_key", config.client_key, error) from error
    return shown.certificate


def _application_uri(source: str, certificate: x509.Certificate) -> str:
    uris = application_uris(certificate)
    if not uris:
        raise ConfigError(
            f"source {source}: client_certificate names no application URI: have it issued with a URI in its "
            "subject alternative name"
        )
    return uris[0]


def _private_key(source: str, setting: str, path: Path) -> rsa.RSAPrivateKey:
    content = _key_bytes(source, setting, path)
    load = load_pem_private_key if b"-----BEGIN" in content else load_der_private_key
    try:
        key = load(content, password=None)
    except (ValueError, TypeError) as error:
        raise _unusable(source, setting, path, error) from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise _unusable(source, setting, path, "it is not RSA")
    return key


def _key_bytes(source: str, setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"source {source}: {setting} {path} cannot be read ({error.strerror})") from error


def _unusable(source: str, setting: str, path: Path, why: object) -> ConfigError:
    return ConfigError(f"source {source}: {setting} {path} cannot be used ({why}): give an unencrypted RSA key in PEM")


def _shown(source: str, config: OpcUaConfig, endpoints: list[Any]) -> Shown:
    mode = getattr(ua.MessageSecurityMode, config.security_mode)
    uri = _POLICIES[config.security_policy].URI
    for endpoint in endpoints:
        if endpoint.SecurityMode == mode and endpoint.SecurityPolicyUri == uri and endpoint.ServerCertificate:
            said = endpoint.Server.ApplicationUri if endpoint.Server is not None else None
            return Shown(config.endpoint_url, _chain(source, config, endpoint.ServerCertificate), said or None)
    offered = sorted({f"{e.SecurityPolicyUri.rpartition('#')[2]} {e.SecurityMode.name.rstrip('_')}" for e in endpoints})
    raise ProtocolError(
        f"source {source}: {config.endpoint_url} offers no {config.security_policy} {config.security_mode}, only "
        f"{', '.join(offered) or 'nothing'}: set security_policy and security_mode to one of these",
        source=source,
    )


def _chain(source: str, config: OpcUaConfig, der: bytes) -> tuple[x509.Certificate, ...]:
    """Return the server's own certificate, then those that it appended: DER, one after the other."""
    found = []
    try:
        while der:
            length = int.from_bytes(der[2:4], "big") + 4
            found.append(x509.load_der_x509_certificate(der[:length]))
            der = der[length:]
    except ValueError as error:
        if not found:
            raise AuthError(
                f"source {source}: {config.endpoint_url} shows a certificate that cannot be read ({error}): have a new "
                "one issued for the server",
                source=source,
            ) from error
    return tuple(found)
