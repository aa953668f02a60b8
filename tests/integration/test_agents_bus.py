"""The bus on real brokers: TLS, MQTT 3.1.1 where there is no 5, a broker that is not there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from resources.agents.mqtt.bus import Arrived, Bus, BusCallbacks
from resources.agents.mqtt.network import Network
from resources.agents.mqtt.outgoing import Publication
from resources.agents.mqtt.pace import Pace
from resources.core.errors import UnreachableError
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.ports import remembered_port
from resources.embedded.programs import ServerPrograms
from resources.transport.broker import BrokerConfig
from resources.transport.trust.certificates import CertificateAuthority
from tests.agents_support import plain_broker, set_access, until


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network()
    yield made
    made.close()


def echo(broker: BrokerConfig, network: Network) -> str:
    """Publish to oneself and return the MQTT version that carried it."""
    heard = threading.Event()

    def hear(arrived: Arrived) -> None:
        assert arrived.payload == b"hello"
        arrived.ack()
        heard.set()

    bus = Bus(broker, "echo", ["echo/#"], BusCallbacks(hear, lambda: None, lambda: None), network)
    bus.start()
    try:
        bus.wait_connected(30)
        bus.publish("echo/1", b"hello")
        assert heard.wait(30)
        return bus.protocol
    finally:
        bus.stop()


def test_bus_when_the_broker_speaks_mqtt_5_then_5_is_used(broker: EmbeddedBroker, network: Network) -> None:
    assert echo(plain_broker(broker.port), network) == "5"


def test_bus_when_3_1_1_is_configured_then_3_1_1_is_used(broker: EmbeddedBroker, network: Network) -> None:
    assert echo(plain_broker(broker.port).model_copy(update={"protocol": "3.1.1"}), network) == "3.1.1"


def test_bus_when_the_broker_has_no_mqtt_5_then_3_1_1_is_used(
    programs: ServerPrograms, server_folder: Path, network: Network
) -> None:
    old = EmbeddedBroker(
        server_folder / "amqtt", replace(programs, mosquitto=None), BrokerOptions(insecure_anonymous=True)
    )
    old.start()
    try:
        assert echo(plain_broker(old.port), network) == "3.1.1"
    finally:
        old.stop()


# paho leaves the socket of a failed handshake to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_bus_when_the_broker_speaks_tls_then_verified_by_its_ca(
    programs: ServerPrograms, server_folder: Path, authority: CertificateAuthority, network: Network
) -> None:
    issued = authority.issue("agents-broker")
    options = BrokerOptions({}, issued.certificate, issued.key, issued.authority, insecure_anonymous=True)
    tls = EmbeddedBroker(server_folder / "agents-tls", programs, options)
    tls.start()
    try:
        good = BrokerConfig(host="127.0.0.1", port=tls.port, ca_certificate=authority.certificate)
        assert echo(good, network) == "5"
        bus = Bus(
            good.model_copy(update={"ca_certificate": None}), "x", [], BusCallbacks(print, list, lambda: None), network
        )
        bus.start()
        with pytest.raises(UnreachableError, match="CERTIFICATE_VERIFY_FAILED"):
            bus.wait_connected(3)
        bus.stop()
    finally:
        tls.stop()


def test_bus_when_nothing_listens_then_the_error_names_broker_and_cause(tmp_path: Path, network: Network) -> None:
    bus = Bus(
        plain_broker(remembered_port(tmp_path / "port")), "x", [], BusCallbacks(print, list, lambda: None), network
    )
    bus.start()
    with pytest.raises(UnreachableError, match="refused"):
        bus.wait_connected(1)
    bus.stop()


def test_bus_when_its_owner_fails_at_a_message_then_the_next_is_heard_and_it_comes_again(
    broker: EmbeddedBroker, network: Network
) -> None:
    heard: list[bytes] = []
    fails = True

    def hear(arrived: Arrived) -> None:
        if fails and arrived.payload == b"first":
            raise RuntimeError("a fault of the owner")
        arrived.ack()
        heard.append(arrived.payload)

    def listening() -> Bus:
        made = Bus(
            plain_broker(broker.port), "fails", ["fails/#"], BusCallbacks(hear, lambda: None, lambda: None), network
        )
        made.start()
        made.wait_connected(30)
        return made

    bus = listening()
    for payload in (b"first", b"second"):
        bus.publish("fails/1", payload)
    until(lambda: heard == [b"second"])
    bus.stop()
    fails = False
    bus = listening()
    try:
        until(lambda: heard == [b"second", b"first"])
    finally:
        bus.stop()


def test_bus_when_paced_then_a_critical_message_overtakes_and_all_arrive(
    broker: EmbeddedBroker, network: Network
) -> None:
    heard: list[str] = []
    all_there = threading.Event()

    def hear(arrived: Arrived) -> None:
        heard.append(arrived.topic)
        arrived.ack()
        if len(heard) == 61:
            all_there.set()

    bus = Bus(
        plain_broker(broker.port),
        "paced",
        ["paced/#"],
        BusCallbacks(hear, lambda: None, lambda: None),
        network,
        pace=Pace(40),
    )
    for number in range(60):
        bus.publish(f"paced/low/{number}", b"", priority="low")
    bus.publish("paced/critical", b"", priority="critical")
    assert bus.waiting == 61
    bus.start()
    try:
        assert all_there.wait(60)
        # the broker delivers a message before it acknowledges it
        until(lambda: bus.waiting == 0, "all acknowledged")
    finally:
        bus.stop()
    assert heard == ["paced/critical", *(f"paced/low/{number}" for number in range(60))]


def test_bus_when_the_broker_refuses_a_message_then_its_sender_is_told_and_the_next_goes_on(
    programs: ServerPrograms, server_folder: Path, network: Network
) -> None:
    options = BrokerOptions(acl="topic readwrite allowed/#\n", insecure_anonymous=True)
    strict = EmbeddedBroker(server_folder / "agents-acl", programs, options)
    strict.start()
    refused, impossible, sent = threading.Event(), threading.Event(), threading.Event()
    callbacks = BusCallbacks(lambda arrived: arrived.ack(), lambda: None, lambda: None)
    bus = Bus(plain_broker(strict.port), "strict", ["allowed/#"], callbacks, network)
    bus.start()
    try:
        bus.wait_connected(30)
        bus.put(Publication("forbidden/x", b"", on_refused=refused.set))
        bus.put(Publication("allowed/#", b"", on_refused=impossible.set))
        bus.publish("allowed/x", b"", on_sent=sent.set)
        assert sent.wait(30)
        assert refused.wait(30)
        assert impossible.is_set()
    finally:
        bus.stop()
        strict.stop()


def test_bus_when_a_refused_message_is_renewed_then_it_goes_again_until_the_broker_takes_it_or_nobody_wants_it(
    programs: ServerPrograms, server_folder: Path, network: Network
) -> None:
    strict = EmbeddedBroker(server_folder / "agents-renew", programs, BrokerOptions(acl="", insecure_anonymous=True))
    strict.start()
    heard: list[bytes] = []
    refused, sent, unwanted = threading.Semaphore(0), threading.Event(), threading.Event()

    def hear(arrived: Arrived) -> None:
        heard.append(arrived.payload)
        arrived.ack()

    def want_no_more() -> None:
        unwanted.set()

    bus = Bus(plain_broker(strict.port), "renewing", ["x/#"], BusCallbacks(hear, lambda: None, lambda: None), network)
    bus.start()
    try:
        bus.wait_connected(30)
        bus.put(Publication("x/1", b"old", on_sent=sent.set, on_refused=refused.release, renew=lambda: b"new"))
        bus.put(Publication("x/2", b"unwanted", renew=want_no_more))
        for _ in range(2):
            assert refused.acquire(timeout=30)
        assert unwanted.wait(30)
        assert not sent.is_set()
        set_access(strict, "topic readwrite x/#\n")
        assert sent.wait(60)
        until(lambda: heard, "delivered")
    finally:
        bus.stop()
        strict.stop()
    assert heard == [b"new"]


def test_bus_when_more_is_published_than_a_socket_takes_then_all_of_it_arrives(
    broker: EmbeddedBroker, network: Network
) -> None:
    payload, heard, complete = b"x" * 200_000, [0], threading.Event()

    def hear(arrived: Arrived) -> None:
        heard[0] += arrived.payload == payload
        arrived.ack()
        if heard[0] == 200:
            complete.set()

    bus = Bus(plain_broker(broker.port), "bulky", ["bulky/#"], BusCallbacks(hear, lambda: None, lambda: None), network)
    bus.start()
    try:
        bus.wait_connected(30)
        publishers = [
            threading.Thread(target=lambda: [bus.publish("bulky/1", payload) for _ in range(50)]) for _ in range(4)
        ]
        for publisher in publishers:
            publisher.start()
        for publisher in publishers:
            publisher.join()
        assert complete.wait(120)
    finally:
        bus.stop()
