import json
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from resources.core.configuration.settings import parse_yaml
from resources.core.errors import AuthError, ConfigError, ProtocolError, SourceError, UnreachableError
from resources.scada.bacnet.config import BacnetConfig
from resources.scada.bacnet.resource import BacnetResource
from resources.scada.modbus.config import ModbusConfig
from resources.scada.modbus.resource import ModbusResource
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.resource import MqttResource
from resources.scada.opc_ua.config import OpcUaConfig
from resources.scada.opc_ua.errors import translate
from resources.scada.opc_ua.resource import OpcUaResource
from resources.scada.rejects import RAW_LIMIT, raw_payload, raw_value
from resources.scada.tls import TlsFiles, client_context, explain, load_certificates, refuse_outside_validity
from resources.transport.trust.certificates import CertificateAuthority

SOURCES = {
    "opc_ua": (OpcUaConfig, OpcUaResource, """
kind: opc_ua
endpoint_url: opc.tcp://h:4840
client_certificate: c.pem
client_key: k.pem
server_certificate: s.pem
username: u
password: ${SCADA_PASSWORD}
publishing_interval: 250ms
tags: [{sensor_id: a, unit: kW, node_id: "nsu=u;s=a"}]
"""),
    "modbus": (ModbusConfig, ModbusResource, """
kind: modbus
host: h
poll_interval: 1500us
tags: [{sensor_id: a, unit: kW, address: 1}]
""".replace("1500us", "20ms")),
    "mqtt": (MqttConfig, MqttResource, """
kind: mqtt
broker: {host: h, username: u, password: "${MQTT_PASSWORD}"}
client_id: c
topic_filters: ["a/#"]
session_expiry: 2d
tags: [{sensor_id: a, unit: kW, topic: a/b}]
"""),
    "bacnet": (BacnetConfig, BacnetResource, """
kind: bacnet
local_address: 10.1.2.20/24
device_instance: 5
foreign_device: {bbmd_endpoint: "10.9.9.9:47808"}
tags: [{sensor_id: a, unit: kW, object: "analog-input,1"}]
"""),
}  # fmt: skip


@pytest.mark.parametrize("kind", list(SOURCES))
def test_resource_when_made_of_a_configuration_then_it_holds_the_same_one_and_opens_nothing(kind: str) -> None:
    model, resource_class, text = SOURCES[kind]
    config = parse_yaml(text, model, name="x.yaml")
    resource = resource_class.of("s", config)
    assert model.model_validate(json.loads(json.dumps(resource.settings))) == config
    assert "${" in json.dumps(resource.settings) or kind in ("modbus", "bacnet")

    @dg.asset
    def uses(source: dg.ResourceParam[object]) -> None:
        assert source.settings == resource.settings  # type: ignore[attr-defined]

    assert dg.materialize([uses], resources={"source": resource}).success


def _ssl_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def _verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_code, error.verify_message = code, "words"
    return error


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (_verification(10), AuthError, "has expired"),
        (_verification(9), AuthError, "not valid yet"),
        (_verification(62), AuthError, "another host"),
        (_verification(20), AuthError, "set ca_certificate"),
        (_ssl_error("TLSV1_ALERT_UNKNOWN_CA"), AuthError, "refuses this client's certificate"),
        (_ssl_error("TLSV1_ALERT_PROTOCOL_VERSION"), ProtocolError, "allow_tls_1_2"),
        (_ssl_error("WRONG_VERSION_NUMBER"), ProtocolError, "no TLS there"),
        (socket.gaierror(-2, "Name or service not known"), UnreachableError, "does not resolve"),
        (TimeoutError(), UnreachableError, "no answer in time"),
        (ConnectionRefusedError(111, "refused"), UnreachableError, "refused: check that the server runs"),
        (
            ConnectionResetError(104, "Connection reset by peer"),
            UnreachableError,
            "(Connection reset by peer)",
        ),
        (None, UnreachableError, "the peer closed the connection"),
    ],
    ids=lambda value: getattr(value, "__name__", None) or str(value)[:30],
)
def test_explain_when_something_fails_then_kind_and_remedy_are_right(
    error: BaseException | None, kind: type[SourceError], words: str
) -> None:
    explained = explain(error, source="boiler", peer="mqtts://h:1")
    assert type(explained) is kind
    assert words in str(explained)
    assert str(explained).startswith("source boiler: connecting to mqtts://h:1: ")
    assert explained.source == "boiler"


def test_client_context_when_files_are_wrong_then_config_error_names_the_key(
    tmp_path: Path, authority: CertificateAuthority
) -> None:
    nothing = tmp_path / "nothing.pem"
    with pytest.raises(ConfigError, match=r"source s: ca_certificate .*nothing.pem"):
        client_context("s", TlsFiles(ca_certificate=nothing))
    nothing.write_text("no certificate")
    with pytest.raises(ConfigError, match=r"source s: client_certificate .*nothing.pem cannot be read"):
        client_context("s", TlsFiles(client_certificate=nothing, client_key=nothing))
    pair, other = authority.issue("pair"), authority.issue("other")
    with pytest.raises(ConfigError, match="cannot be used together"):
        client_context("s", TlsFiles(client_certificate=pair.certificate, client_key=other.key))
    context = client_context("s", TlsFiles(authority.certificate, pair.certificate, pair.key, allow_tls_1_2=True))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_client_context_when_our_certificate_has_expired_then_auth_error(authority: CertificateAuthority) -> None:
    now = datetime.now(UTC)
    old = authority.issue("old", valid=(now - timedelta(days=2), now - timedelta(days=1)))
    with pytest.raises(AuthError, match=r"source s: .*client_certificate .* expired on .*have a new one issued"):
        client_context("s", TlsFiles(client_certificate=old.certificate, client_key=old.key))
    issued = authority.issue("early", valid=(now + timedelta(days=1), now + timedelta(days=2)))
    (early,) = load_certificates("s", "x", issued.certificate)
    with pytest.raises(AuthError, match="valid only from"):
        refuse_outside_validity("s", "x", early)


@pytest.mark.parametrize(
    ("payload", "raw"),
    [
        (b'{"a": 1}', {"a": 1}),
        ("günstig".encode(), {"text": "günstig"}),
        (b"\xff\xfe", {"base64": "//4="}),
        (b"a\x00b", {"base64": "YQBi"}),
        (b"", {"text": ""}),
        (rb'{"a": "\u0000"}', {"text": '{"a": "\\u0000"}'}),
        (b"x" * (RAW_LIMIT + 1), {"text": "x" * RAW_LIMIT, "bytes": RAW_LIMIT + 1}),
        (b"x" * (RAW_LIMIT - 1) + "ü".encode() + b"y", {"text": "x" * (RAW_LIMIT - 1), "bytes": RAW_LIMIT + 2}),
    ],
    ids=["json", "text", "bytes", "nul", "empty", "escaped nul", "long", "cut inside a character"],
)  # fmt: skip
def test_raw_payload_when_bytes_are_kept_then_they_are_json_text(payload: bytes, raw: object) -> None:
    assert json.loads(raw_payload(payload)) == raw


def test_raw_value_when_json_cannot_hold_a_value_then_it_is_text() -> None:
    found = json.loads(raw_value(a=float("nan"), b=2**70, c=None, d=b"x", e=1.5, f=True, g=-3, h="\ud800\x00"))
    assert found == {"a": "nan", "b": str(2**70), "c": None, "d": "b'x'", "e": 1.5, "f": True, "g": -3, "h": "?"}


def test_translate_when_asyncua_fails_then_the_platform_has_a_word_for_it() -> None:
    from asyncua.ua.uaerrors import (
        BadTooManyOperations,
        BadTooManySessions,
        BadTypeMismatch,
        BadUserAccessDenied,
        UaError,
    )

    cases = [
        (BadUserAccessDenied(), AuthError, "user name or password refused"),
        (BadTooManySessions(), UnreachableError, "See the server's log"),
        (BadTooManyOperations(), SourceError, "max_items_per_call"),
        (BadTypeMismatch(), ProtocolError, "BadTypeMismatch"),
        (UaError("odd"), ProtocolError, "odd"),
        (ConnectionError("gone"), UnreachableError, "connection lost"),
    ]
    for error, kind, words in cases:
        translated = translate(error, source="o", endpoint="opc.tcp://h")
        assert isinstance(translated, kind)
        assert words in str(translated)
    kept = AuthError("x")
    assert translate(kept, source="o", endpoint="e") is kept
