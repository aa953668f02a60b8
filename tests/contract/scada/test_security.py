"""What every connector with TLS or certificates of its own owes: pins, expiry, the least TLS version."""

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography import x509

from resources.core.errors import AuthError, ProtocolError
from resources.transport.trust.certificate_files import peer_in_use
from resources.transport.trust.certificates import IssuedCertificate
from resources.transport.trust.client_certificate import CertificateRequest, create_client_certificate
from resources.transport.trust.pinning import fingerprint
from tests.contract.scada.recorder import Recorder, running, until
from tests.contract.scada.rigs import TEMPERATURE, ModbusRig, MqttRig, OpcUaRig, Rig
from tests.contract.scada.test_every_connector import START_US

OTHER = "0" * 64


def own(pair: IssuedCertificate) -> str:
    return fingerprint(x509.load_pem_x509_certificate(pair.certificate.read_bytes()))


def pinned(rig: Rig, *pins: str) -> Any:
    if rig.kind == "mqtt":
        return rig.config(broker={"pinned_sha256": pins})
    return rig.config(pinned_sha256=pins)


async def test_run_when_the_certificate_is_pinned_then_it_reads_and_tells_what_the_peer_showed(rig: Rig) -> None:
    config = pinned(rig, OTHER, own(rig.server_pair))
    recorder = Recorder(rig.catalog(config))
    async with running(rig.build(config, recorder.catalog), recorder) as task:
        await rig.put(1.5, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 1.5), "a reading", task)
    peer = peer_in_use("sources.rig", dict(recorder.facts[0]))
    assert (await rig.build(config, recorder.catalog).probe()).certificate_sha256 == own(rig.server_pair)
    assert peer is not None
    assert peer.sha256 == own(rig.server_pair)
    assert peer.expires_at is not None
    assert peer.expires_at > datetime.now(UTC)


async def test_run_when_another_certificate_is_pinned_then_auth_error_names_what_was_found(rig: Rig) -> None:
    config = pinned(rig, OTHER)
    recorder = Recorder(rig.catalog(config))
    with pytest.raises(AuthError, match="source rig: ") as caught:
        await asyncio.wait_for(rig.build(config, recorder.catalog).run(recorder.emit, recorder), 30)
    assert own(rig.server_pair) in str(caught.value)
    assert recorder.facts == []


async def test_opc_ua_when_the_certificate_is_one_that_gl_certs_made_then_it_connects(opc_ua_rig: OpcUaRig) -> None:
    request = CertificateRequest("own", "urn:here:gl:plant", ("localhost",))
    made = await asyncio.to_thread(create_client_certificate, opc_ua_rig.around.folder / "own", request)
    config = opc_ua_rig.config(client_certificate=made.pem, client_key=made.key)
    recorder = Recorder(opc_ua_rig.catalog(config))
    async with running(opc_ua_rig.build(config, recorder.catalog), recorder) as task:
        await opc_ua_rig.put(1.5, START_US)
        await until(lambda: recorder.has(TEMPERATURE, START_US, 1.5), "a reading", task)


@contextlib.contextmanager
def old_server(pair: IssuedCertificate) -> Iterator[int]:
    """A server with TLS 1.2 and no more; it reads what comes and says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    plain, _ = listener.accept()
                    with contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as secured:
                        secured.recv(100)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)


@pytest.mark.parametrize("rig", ["modbus", "mqtt"], indirect=True)
async def test_run_when_the_server_has_only_tls_1_2_then_it_is_refused_unless_that_is_allowed(
    rig: ModbusRig | MqttRig,
) -> None:
    with old_server(rig.server_pair) as port:
        where: dict[str, Any] = {"port": port}
        refused = rig.config(broker=where) if rig.kind == "mqtt" else rig.config(**where)
        where["allow_tls_1_2"] = True
        allowed = rig.config(broker=where) if rig.kind == "mqtt" else rig.config(**where)
        for config, expected in ((refused, "allow_tls_1_2: true"), (allowed, None)):
            recorder = Recorder(rig.catalog(config))
            with pytest.raises(Exception, match="source rig: ") as caught:
                await asyncio.wait_for(rig.build(config, recorder.catalog).run(recorder.emit, recorder), 60)
            assert isinstance(caught.value, ProtocolError) is (expected is not None)
            assert ("allow_tls_1_2" in str(caught.value)) is (expected is not None)
