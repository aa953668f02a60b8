"""The demo plant as a process: its real servers, its counts, its misbehaviour."""

from __future__ import annotations

import asyncio
import json
import math
import os
import signal
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import paho.mqtt.client as paho
import pytest
import structlog
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.crypto.uacrypto import CertProperties
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import AsyncModbusTcpClient, AsyncModbusTlsClient

from resources.core.errors import ConfigError
from resources.demo_plant import __main__ as program
from resources.demo_plant.addresses import registers
from resources.demo_plant.assembly import assemble
from resources.demo_plant.configuration import CLIENT_URI
from resources.demo_plant.control import create_app
from resources.demo_plant.plant import MODBUS, MODBUS_TLS, MQTT, OPC_UA, SENSORS
from resources.demo_plant.run import RunningPlant
from resources.demo_plant.servers.mqtt import MqttEndpoint, MqttPublisher
from resources.demo_plant.setup import DemoSetup, prepare
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.ports import free_port
from resources.embedded.programs import ServerPrograms
from resources.transport.trust.certificates import CertificateAuthority, IssuedCertificate

DEADLINE_S = 60.0


@dataclass
class Demo:
    """A running plant and its broker."""

    setup: DemoSetup
    broker: EmbeddedBroker
    plant: RunningPlant

    def counts(self, source: str) -> dict[str, Any]:
        found: dict[str, Any] = self.plant.counts()["sources"][source]
        return found


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.05)


@pytest.fixture
def prepared(
    programs: ServerPrograms, server_folder: Path, tmp_path: Path
) -> Iterator[tuple[DemoSetup, EmbeddedBroker]]:
    port = free_port()
    setup = prepare(tmp_path / "demo", broker_port=port, seed=7)
    options = BrokerOptions(
        users=setup.broker_users,
        certificate=setup.broker_certificate.certificate,
        key=setup.broker_certificate.key,
        authority=setup.broker_certificate.authority,
    )
    broker = EmbeddedBroker(server_folder / f"plant{port}", programs, options, port=port)
    broker.start()
    yield setup, broker
    broker.stop()


@pytest.fixture
async def demo(prepared: tuple[DemoSetup, EmbeddedBroker]) -> AsyncIterator[Demo]:
    async with running(*prepared) as started:
        yield started


@asynccontextmanager
async def running(setup: DemoSetup, broker: EmbeddedBroker, *, held: bool = False) -> AsyncIterator[Demo]:
    plant = assemble(setup.home, setup.state, held=held)
    await plant.start()
    ticking = asyncio.create_task(plant.run())
    try:
        yield Demo(setup, broker, plant)
    finally:
        await plant.stop()
        await ticking


class Seen:
    """Collects (node, source time, value) of every notification."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, Any]] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        stamp = data.monitored_item.Value.SourceTimestamp
        self.rows.append((node.nodeid.Identifier, round(stamp.timestamp() * 1e6), value))

    def distinct(self) -> int:
        return len({(sensor, time_us) for sensor, time_us, _ in self.rows})


async def opc_client(setup: DemoSetup, password: str | None = None, issued: IssuedCertificate | None = None) -> Client:
    client = Client(f"opc.tcp://127.0.0.1:{setup.state.ports['opc_ua']}/gl-demo-plant", timeout=20)
    client.application_uri = CLIENT_URI
    ca = setup.home / "ca"
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate=str(issued.certificate if issued else ca / "opc_ua_client.pem"),
        private_key=CertProperties(issued.key if issued else ca / "opc_ua_client.key", "pem"),
        server_certificate=str(ca / "opc_ua_server.pem"),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    client.set_user("collector")
    client.set_password(password or setup.environment["SCADA_PASSWORD"])
    return client


async def subscribe(client: Client, seen: Seen) -> Any:
    index = await client.get_namespace_index("urn:gl:demo-plant")
    nodes = [client.get_node(ua.NodeId(sensor.sensor_id, index)) for sensor in SENSORS[OPC_UA]]
    subscription = await client.create_subscription(200, seen)
    flt = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
    requests = [
        ua.MonitoredItemCreateRequest(
            ItemToMonitor=ua.ReadValueId(NodeId=node.nodeid, AttributeId=ua.AttributeIds.Value),
            MonitoringMode=ua.MonitoringMode.Reporting,
            RequestedParameters=ua.MonitoringParameters(
                ClientHandle=number, SamplingInterval=0, QueueSize=100, Filter=flt, DiscardOldest=True
            ),
        )
        for number, node in enumerate(nodes)
    ]
    await subscription.create_monitored_items(requests)
    return subscription


async def drained(demo: Demo, got: Callable[[], int], source: str) -> int:
    """Freeze the plant and return what it says it sent, once that much has come."""
    assert await demo.plant.freeze(drain_s=DEADLINE_S)
    sent = int(demo.counts(source)["sent"])
    await until(lambda: got() >= sent, f"{source} receives all of {sent}")
    return sent


async def test_opc_ua_subscriber_when_plant_is_stopped_has_exactly_what_was_sent(demo: Demo) -> None:
    seen = Seen()
    async with await opc_client(demo.setup) as client:
        await subscribe(client, seen)
        await until(lambda: len(seen.rows) >= 4 * len(SENSORS[OPC_UA]), "four seconds of values")
        sent = await drained(demo, seen.distinct, OPC_UA)
    assert seen.distinct() == sent == len(seen.rows)


async def test_opc_ua_when_password_is_wrong_refuses(demo: Demo) -> None:
    client = await opc_client(demo.setup, password="wrong")
    with pytest.raises(ua.UaStatusCodeError):
        await client.connect()


async def test_opc_ua_when_certificate_is_of_another_authority_or_expired_refuses(
    demo: Demo, authority: CertificateAuthority
) -> None:
    stranger = authority.issue("stranger", application_uri=CLIENT_URI)
    last_year = (datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC))
    own = CertificateAuthority.load(demo.setup.home / "ca")
    expired = own.issue("expired", application_uri=CLIENT_URI, valid=last_year)
    for issued in (stranger, expired):
        with pytest.raises(ua.UaStatusCodeError):
            await (await opc_client(demo.setup, issued=issued)).connect()


async def test_mqtt_when_password_is_wrong_says_so_once_and_goes_on_trying(
    prepared: tuple[DemoSetup, EmbeddedBroker],
) -> None:
    setup, broker = prepared
    ca = setup.home / "ca" / "ca.pem"
    endpoint = MqttEndpoint("127.0.0.1", broker.port, "stranger", authority=ca, username="demo-plant", password="wrong")
    publisher = MqttPublisher(endpoint, lambda message, heard: None)
    assert publisher.drop_connection() == 0
    with structlog.testing.capture_logs() as logs:
        publisher.start()
        await until(lambda: [entry for entry in logs if entry["event"] == "mqtt_refused"], "the refusal is logged")
    assert publisher.connections == 0
    await publisher.stop()


async def test_opc_ua_spoilt_readings_when_asked_are_sent_and_counted_exactly(demo: Demo) -> None:
    seen = Seen()
    async with await opc_client(demo.setup) as client:
        await subscribe(client, seen)
        await until(lambda: seen.rows, "the first values")
        for kind, count in (("nan", 3), ("garbage", 2), ("late", 4), ("future", 1)):
            demo.plant.misbehave(kind, OPC_UA, count=count)
        await until(lambda: demo.plant.counts()["planned"] == 0, "all were sent")
        sent = await drained(demo, seen.distinct, OPC_UA)
    assert seen.distinct() == sent
    values = [value for _, _, value in seen.rows]
    assert sum(isinstance(value, float) and math.isnan(value) for value in values) == 3
    assert sum(isinstance(value, list) for value in values) == 2
    assert sum(time_us % 1_000_000 == 500_000 for _, time_us, _ in seen.rows) == 4
    assert demo.counts(OPC_UA)["misbehaved"] == {"nan": 3, "garbage": 2, "late": 4, "future": 1}


async def test_opc_ua_when_connection_is_dropped_counts_on_and_tells_what_fell_into_the_gap(demo: Demo) -> None:
    seen = Seen()
    lost = asyncio.Event()

    async def note(_error: Exception) -> None:
        lost.set()

    client = await opc_client(demo.setup)
    client.connection_lost_callback = note
    await client.connect()
    await subscribe(client, seen)
    await until(lambda: seen.rows, "the first values")
    demo.plant.misbehave("drop_connection", OPC_UA)
    await asyncio.wait_for(lost.wait(), DEADLINE_S)
    before = demo.counts(OPC_UA)["sent"]
    await until(lambda: demo.counts(OPC_UA)["sent"] >= before + 100, "values without a reader are counted")
    await demo.plant.freeze(drain_s=DEADLINE_S)
    counts = demo.counts(OPC_UA)
    assert counts["misbehaved"] == {"drop_connection": 1}
    assert counts["connections_cut"] == 1
    all_time = (datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
    assert demo.plant.sent_between(OPC_UA, *all_time) == counts["sent"] > seen.distinct()


async def test_opc_ua_when_restarted_serves_the_same_nodes_again(demo: Demo) -> None:
    demo.plant.misbehave("restart", OPC_UA, seconds=0.2)
    seen = Seen()

    async def connects() -> bool:
        try:
            async with await opc_client(demo.setup) as client:
                await subscribe(client, seen)
                await until(lambda: len(seen.rows) >= 2 * len(SENSORS[OPC_UA]), "values after the restart")
        except (TimeoutError, OSError, ua.UaError):
            return False
        return True

    await until(lambda: demo.counts(OPC_UA)["misbehaved"] == {"restart": 1}, "the restart")
    deadline = time.monotonic() + DEADLINE_S
    while not await connects():
        assert time.monotonic() < deadline


async def modbus_read(client: Any, source: str, column: int) -> Any:
    register = registers(source)[column]
    read: dict[str, Callable[..., Awaitable[Any]]] = {
        "holding_register": client.read_holding_registers,
        "input_register": client.read_input_registers,
        "coil": client.read_coils,
        "discrete_input": client.read_discrete_inputs,
    }
    return await read[register.table](register.address, count=register.length, device_id=1)


def tls_client(setup: DemoSetup) -> AsyncModbusTlsClient:
    ca = setup.home / "ca"
    context = ssl.create_default_context(cafile=str(ca / "ca.pem"))
    context.load_cert_chain(ca / "modbus_client.pem", ca / "modbus_client.key")
    return AsyncModbusTlsClient("127.0.0.1", port=setup.state.ports["modbus_tls"], sslctx=context)


@pytest.mark.parametrize("source", [MODBUS, MODBUS_TLS])
async def test_modbus_registers_when_read_decode_to_what_the_plant_measures(demo: Demo, source: str) -> None:
    client: Any = (
        AsyncModbusTcpClient("127.0.0.1", port=demo.setup.state.ports["modbus"])
        if source == MODBUS
        else tls_client(demo.setup)
    )
    assert await client.connect()
    try:
        for column, (sensor, register) in enumerate(zip(SENSORS[source], registers(source), strict=True)):
            answer = await modbus_read(client, source, column)
            assert not answer.isError(), sensor.sensor_id
            if register.data_type == "bool":
                assert answer.bits[0] is True
                continue
            kind = getattr(client.DATATYPE, register.data_type.upper())
            value = (
                client.convert_from_registers(answer.registers, kind, word_order=register.word_order) * register.scale
            )
            low, high = sensor.tag.limits
            assert low <= value <= high, sensor.sensor_id
            assert value != 0 or low < 0 or sensor.tag.name == "DOOR.POS", sensor.sensor_id
    finally:
        client.close()


async def test_modbus_when_told_to_misbehave_answers_nan_and_exceptions_exactly_as_often(demo: Demo) -> None:
    client = AsyncModbusTcpClient("127.0.0.1", port=demo.setup.state.ports["modbus"])
    assert await client.connect()
    column = next(c for c, r in enumerate(registers(MODBUS)) if r.data_type == "float32")
    demo.plant.misbehave("nan", MODBUS)
    values = []
    for _ in range(3):
        answer = await modbus_read(client, MODBUS, column)
        values.append(client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32, word_order="little"))
    assert [math.isnan(value) for value in values] == [True, False, False]
    demo.plant.misbehave("garbage", MODBUS, count=2)
    failed = [(await modbus_read(client, MODBUS, column)).isError() for _ in range(3)]
    assert failed == [True, True, False]
    client.close()
    counts = demo.counts(MODBUS)
    assert counts["misbehaved"] == {"nan": 1, "garbage": 2}
    assert counts["requests"] == 6
    with pytest.raises(ConfigError, match="cannot do 'late'"):
        demo.plant.misbehave("late", MODBUS)


class Subscriber:
    """A persistent MQTT session that collects (topic, payload)."""

    def __init__(self, setup: DemoSetup) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self.subscribed = False
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id="test-reader", protocol=paho.MQTTv5)
        self._client.tls_set(str(setup.home / "ca" / "ca.pem"))
        self._client.username_pw_set("platform", setup.environment["MQTT_PASSWORD"])
        self._client.reconnect_delay_set(1, 1)
        self._client.on_message = lambda _c, _u, message: self.messages.append((message.topic, bytes(message.payload)))
        self._client.on_connect = lambda client, *_: client.subscribe("demo/utilities/#", qos=1)
        self._client.on_subscribe = lambda *_: setattr(self, "subscribed", True)
        options = paho.Properties(paho.PacketTypes.CONNECT)
        options.SessionExpiryInterval = 3_600
        self._client.connect("127.0.0.1", setup.state.broker_port, clean_start=False, properties=options)
        self._client.loop_start()

    def distinct(self) -> int:
        return len(set(self.messages))

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def subscriber(demo: Demo) -> Iterator[Subscriber]:
    reader = Subscriber(demo.setup)
    yield reader
    reader.close()


async def test_mqtt_subscriber_when_plant_is_stopped_has_exactly_what_was_sent(
    demo: Demo, subscriber: Subscriber
) -> None:
    await until(lambda: subscriber.distinct() >= 3 * len(SENSORS[MQTT]), "three seconds of messages")
    sent = await drained(demo, subscriber.distinct, MQTT)
    assert subscriber.distinct() == sent == len(subscriber.messages)
    body = json.loads(subscriber.messages[0][1])
    assert set(body) == {"value", "time", "status", "unit"}


async def test_mqtt_when_broker_was_away_sends_every_message_afterwards_once(
    demo: Demo, subscriber: Subscriber
) -> None:
    await until(lambda: subscriber.messages, "the first messages")
    await asyncio.to_thread(demo.broker.stop)
    waiting = demo.counts(MQTT)["pending"]
    await until(lambda: demo.counts(MQTT)["pending"] >= waiting + 75, "three seconds of messages wait")
    await asyncio.to_thread(demo.broker.restart)
    await until(lambda: demo.counts(MQTT)["pending"] == 0, "all were taken")
    sent = await drained(demo, subscriber.distinct, MQTT)
    assert subscriber.distinct() == sent


async def test_mqtt_when_told_to_misbehave_counts_exactly(demo: Demo, subscriber: Subscriber) -> None:
    await until(lambda: subscriber.messages, "the first messages")
    for kind, count in (("nan", 2), ("garbage", 3), ("late", 4), ("future", 1)):
        demo.plant.misbehave(kind, MQTT, count=count)
    demo.plant.misbehave("drop_connection", MQTT)
    await until(lambda: demo.counts(MQTT)["connections"] >= 2, "the plant has come back")
    await until(lambda: demo.plant.counts()["planned"] == 0, "all were sent")
    demo.plant.misbehave("restart", MQTT, seconds=0)
    await until(lambda: demo.counts(MQTT)["connections"] >= 3, "the plant is back")
    sent = await drained(demo, subscriber.distinct, MQTT)
    payloads = [payload for _, payload in set(subscriber.messages)]
    assert sum(payload.startswith(b"\xff") for payload in payloads) == 3
    assert sum(b"NaN" in payload for payload in payloads) == 2
    assert sum(b".500000Z" in payload for payload in payloads) == 4
    assert len(payloads) == sent


async def test_plant_when_held_makes_no_values_until_told_to_go_on(prepared: tuple[DemoSetup, EmbeddedBroker]) -> None:
    async with running(*prepared, held=True) as demo:
        transport = httpx.ASGITransport(create_app(demo.plant))
        async with httpx.AsyncClient(transport=transport, base_url="http://plant") as control:
            await until(lambda: demo.counts(MQTT)["connections"] == 1, "the plant is connected")
            assert (await control.get("/healthz")).json() == {"status": "ok", "frozen": True}
            (await control.post("/start")).raise_for_status()
            await until(lambda: demo.counts(MQTT)["unheard"] >= 25, "messages that nobody hears")
            stopped = (await control.post("/stop", json={"drain_s": 60})).json()
    assert stopped["drained"]
    assert stopped["sources"][MQTT]["sent"] == 0


BAD_REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "no object": ("/misbehave", {"content": b"[]", "headers": {"content-type": "application/json"}}),
    "no json": ("/misbehave", {"content": b"{}", "headers": {"content-type": "text/plain"}}),
    "broken json": ("/misbehave", {"content": b"{", "headers": {"content-type": "application/json"}}),
    "unknown kind": ("/misbehave", {"json": {"kind": "sing", "source": OPC_UA}}),
    "unknown source": ("/misbehave", {"json": {"kind": "nan", "source": "nobody"}}),
    "no readings": ("/misbehave", {"json": {"kind": "nan", "source": OPC_UA, "count": 0}}),
}


async def test_control_when_request_is_wrong_says_so(prepared: tuple[DemoSetup, EmbeddedBroker]) -> None:
    setup, _ = prepared
    app = create_app(assemble(setup.home, setup.state))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://plant") as control:
        for name, (path, body) in BAD_REQUESTS.items():
            answer = await control.post(path, **body)
            assert answer.status_code == 400, name
            assert answer.json()["error"], name
        span = {"source": OPC_UA, "since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00Z"}
        assert (await control.get("/sent", params=span)).json() == {"sent": 0}
        for wrong in ({"source": "other"}, {"since": "2026-01-01"}, {"until": ""}):
            assert (await control.get("/sent", params=span | wrong)).status_code == 400


def test_program_when_started_serves_everything_and_ends_cleanly(
    prepared: tuple[DemoSetup, EmbeddedBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, _ = prepared
    for name, value in setup.environment.items():
        monkeypatch.setenv(name, value)
    found: dict[str, Any] = {}
    looking = threading.Thread(target=_look_and_end, args=(setup, found))
    looking.start()
    assert program.main(["--home", str(setup.home), "--seed", "3", "--log-level", "warning"]) == 0
    looking.join()
    assert found == {"seed": 3, "pid": os.getpid(), "token": True}
    assert not (setup.home / "control.json").exists()


def _look_and_end(setup: DemoSetup, found: dict[str, Any]) -> None:
    try:
        with httpx.Client(base_url=setup.control_url, timeout=30) as control:
            deadline = time.monotonic() + DEADLINE_S
            while not _answers(control) and time.monotonic() < deadline:
                time.sleep(0.05)
            found["seed"] = control.get("/counts").json()["seed"]
        found["pid"] = json.loads((setup.home / "control.json").read_text())["pid"]
        found["token"] = bool(_sap_token(setup))
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


def _answers(control: httpx.Client) -> bool:
    try:
        return control.get("/healthz").is_success
    except httpx.TransportError:
        return False


def _sap_token(setup: DemoSetup) -> str:
    base = f"https://127.0.0.1:{setup.state.ports['sap']}"
    context = ssl.create_default_context(cafile=str(setup.home / "ca" / "ca.pem"))
    login = httpx.BasicAuth("GL_PLATFORM", setup.environment["SAP_CLIENT_SECRET"])
    form = {"grant_type": "client_credentials"}
    answer = httpx.post(f"{base}/sap/bc/sec/oauth2/token", data=form, auth=login, verify=context)
    return str(answer.raise_for_status().json()["access_token"])
