from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest

from resources.core.errors import PlatformError
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.programs import ServerPrograms, find_programs
from resources.transport.trust.certificates import CertificateAuthority

USERS = {"plant": "a secret", "other": "another"}


def _connect(port: int, password: str, authority: Path | None = None) -> str:
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    client.username_pw_set("plant", password)
    if authority:
        client.tls_set_context(ssl.create_default_context(cafile=str(authority)))
    answered, answer = threading.Event(), []
    client.on_connect = lambda _c, _u, _f, reason, _p: (answer.append(str(reason)), answered.set())
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert answered.wait(20), "no CONNACK"
    finally:
        client.disconnect()
        client.loop_stop()
    return answer[0]


@pytest.fixture(params=[False, True], ids=["mosquitto", "amqtt"])
def kind(request: pytest.FixtureRequest, programs: ServerPrograms) -> ServerPrograms:
    return find_programs(print, wheels=True) if request.param else programs


@pytest.fixture
def secured(kind: ServerPrograms, server_folder: Path, authority: CertificateAuthority, request: pytest.FixtureRequest):
    issued = authority.issue("broker")
    options = BrokerOptions(USERS, issued.certificate, issued.key, issued.authority)
    running = EmbeddedBroker(server_folder / request.node.name.replace("[", "-").rstrip("]"), kind, options)
    running.start()
    yield running
    running.stop()


def test_connect_when_the_password_is_right_succeeds_over_tls(secured: EmbeddedBroker, authority: CertificateAuthority):
    assert _connect(secured.port, "a secret", authority.certificate) == "Success"


def test_connect_when_the_password_is_wrong_is_refused(secured: EmbeddedBroker, authority: CertificateAuthority):
    assert _connect(secured.port, "guess", authority.certificate) == "Not authorized"


def test_connect_when_the_client_knows_tls_1_2_only_is_refused(
    secured: EmbeddedBroker, authority: CertificateAuthority
):
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", secured.port)) as plain, pytest.raises(ssl.SSLError):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_passwords_when_written_are_hashed(secured: EmbeddedBroker):
    files = [path for path in (secured.home / "state").iterdir() if "passwords" in path.name]
    assert len(files) == 1
    assert "a secret" not in files[0].read_text()


def test_restart_when_running_keeps_the_port(secured: EmbeddedBroker, authority: CertificateAuthority):
    port = secured.port
    secured.restart()
    assert secured.port == port
    assert _connect(port, "a secret", authority.certificate) == "Success"


def test_start_after_kill_takes_connections_again(broker: EmbeddedBroker):
    broker.kill()
    broker.start()
    assert _connect(broker.port, "anything") == "Success"


def test_acl_when_given_is_enforced(programs: ServerPrograms, server_folder: Path):
    options = BrokerOptions(USERS, acl="user plant\ntopic write allowed/#\ntopic read allowed/#\n")
    running = EmbeddedBroker(server_folder / "acl", programs, options)
    running.start()
    try:
        got: list[str] = []
        seen = threading.Event()
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        client.username_pw_set("plant", "a secret")
        client.on_message = lambda _c, _u, message: (got.append(message.topic), seen.set())
        client.on_connect = lambda c, *_: (c.subscribe("#"), c.publish("forbidden/x", "1"), c.publish("allowed/x", "1"))
        client.connect("127.0.0.1", running.port)
        client.loop_start()
        assert seen.wait(20)
        client.disconnect()
        client.loop_stop()
        assert got == ["allowed/x"]
    finally:
        running.stop()


def test_prepare_when_the_password_tool_fails_says_so(tmp_path: Path, programs: ServerPrograms):
    tool = tmp_path / "mosquitto_passwd"
    tool.write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
    tool.chmod(0o755)
    broken = ServerPrograms(programs.bin_dir, True, programs.mosquitto, tool)
    with pytest.raises(PlatformError, match="mosquitto_passwd ended with 3: broken"):
        EmbeddedBroker(tmp_path / "b", broken, BrokerOptions(USERS)).prepare()
