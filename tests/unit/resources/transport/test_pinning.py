"""Pins against real TLS servers on loopback, by asyncio and by a blocking socket."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from cryptography import x509
from pydantic import ValidationError

from resources.core.errors import AuthError
from resources.scada.modbus.config import ModbusConfig
from resources.scada.tls import certificate_facts, explain
from resources.transport.broker import BrokerConfig
from resources.transport.connections.config import HttpConfig
from resources.transport.trust.certificates import CertificateAuthority, IssuedCertificate
from resources.transport.trust.pinning import PinnedCertificateError, fingerprint
from resources.transport.trust.tls import client_context
from tests.unit.resources.erp.support import SECRET_VARIABLE, sap_server

OTHER = "0" * 64


@contextmanager
def tls_server(pair: IssuedCertificate) -> Iterator[tuple[int, list[bytes]]]:
    """A server that takes connections until the block ends, and what it has read from them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
                        heard.append(secured.recv(100))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


def own(pair: IssuedCertificate) -> str:
    return fingerprint(x509.load_pem_x509_certificate(pair.certificate.read_bytes()))


@pytest.fixture(scope="module")
def pair(authority: CertificateAuthority) -> IssuedCertificate:
    return authority.issue("pinned")


def test_fingerprint_when_compared_with_openssl_then_it_is_the_same(pair: IssuedCertificate) -> None:
    with tls_server(pair) as (port, _):
        pem = ssl.get_server_certificate(("127.0.0.1", port))
    assert fingerprint(ssl.PEM_cert_to_DER_cert(pem)) == own(pair)


@pytest.mark.parametrize("pins", [(), ("own",), (OTHER, "own")], ids=["none", "own", "one of two"])
def test_socket_when_the_certificate_is_pinned_then_it_connects(pair: IssuedCertificate, pins: tuple[str, ...]) -> None:
    named = [own(pair) if name == "own" else name for name in pins]
    context = client_context(ca_certificate=pair.authority, pinned_sha256=named)
    with (
        tls_server(pair) as (port, heard),
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        secured.sendall(b"hello")
        assert secured.recv(1) == b""
    assert heard == [b"hello"]


def test_socket_when_another_certificate_is_pinned_then_nothing_is_sent(pair: IssuedCertificate) -> None:
    context = client_context(ca_certificate=pair.authority, pinned_sha256=[OTHER])
    with (
        tls_server(pair) as (port, heard),
        socket.create_connection(("127.0.0.1", port)) as plain,
        pytest.raises(PinnedCertificateError) as caught,
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")
    assert caught.value.found == own(pair)
    assert heard in ([], [b""])


async def test_asyncio_when_another_certificate_is_pinned_then_the_error_names_the_fingerprint_found(
    pair: IssuedCertificate,
) -> None:
    context = client_context(ca_certificate=pair.authority, pinned_sha256=[OTHER])
    with tls_server(pair) as (port, heard), pytest.raises(PinnedCertificateError) as caught:
        await asyncio.open_connection("127.0.0.1", port, ssl=context)
    assert heard in ([], [b""])
    told = explain(caught.value, source="meters", peer="mqtts://127.0.0.1")
    assert isinstance(told, AuthError)
    assert f"is not the one pinned (its SHA-256 fingerprint is {own(pair)}" in str(told)


async def test_asyncio_when_the_certificate_is_pinned_then_it_connects(pair: IssuedCertificate) -> None:
    context = client_context(ca_certificate=pair.authority, pinned_sha256=[own(pair)])
    with tls_server(pair) as (port, heard):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"hello")
        assert await reader.read() == b""
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    assert heard == [b"hello"]


def test_erp_when_another_certificate_is_pinned_then_auth_error_and_no_token_is_asked_for(
    authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    from resources.erp.sap.client import SapClient
    from resources.erp.sap.config import SapConfig

    monkeypatch.setenv(SECRET_VARIABLE, "secret")
    with sap_server(authority) as server:
        settings = server.settings()
        settings["http"] |= {"pinned_sha256": OTHER}
        with SapClient("sap", SapConfig.model_validate(settings)) as client:
            with pytest.raises(AuthError, match="is not the one pinned .* http.pinned_sha256"):
                client._http.get_json("/")
            assert client.token_requests <= 1


def test_facts_when_a_certificate_was_shown_then_they_hold_what_a_person_compares(pair: IssuedCertificate) -> None:
    facts = certificate_facts(x509.load_pem_x509_certificate(pair.certificate.read_bytes()))
    assert facts["certificate_subject"] == "CN=pinned"
    assert facts["certificate_sha256"] == own(pair)
    assert "T" in facts["certificate_expires_at"]
    assert certificate_facts(None) == {}


def test_config_when_a_pin_has_no_tls_then_it_is_refused() -> None:
    with pytest.raises(ValidationError, match="pinned_sha256 needs tls: true"):
        ModbusConfig.model_validate(
            {
                "kind": "modbus",
                "host": "h",
                "pinned_sha256": OTHER,
                "tags": [{"sensor_id": "a", "unit": "1", "address": 0}],
            }
        )
    with pytest.raises(ValidationError, match="pinned_sha256 needs TLS"):
        BrokerConfig.model_validate({"host": "h", "tls": False, "insecure_plain_tcp": True, "pinned_sha256": OTHER})
    with pytest.raises(ValidationError, match="needs an https"):
        HttpConfig.model_validate({"base_url": "http://h", "insecure_plain_http": True, "pinned_sha256": OTHER})
