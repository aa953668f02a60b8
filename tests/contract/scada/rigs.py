"""One rig a protocol: a real server on loopback, behind a proxy, with two good sensors and a bad one."""

import asyncio
import ssl
import struct
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import paho.mqtt.client as paho
from asyncua import Server, ua
from asyncua.crypto.permission_rules import User, UserRole
from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from resources.core.clock import from_micros, to_micros
from resources.core.tags import Sensor, SensorCatalog
from resources.embedded.broker import BrokerOptions, EmbeddedBroker
from resources.embedded.ports import free_port
from resources.embedded.programs import ServerPrograms
from resources.scada.modbus.client import ModbusClient
from resources.scada.modbus.config import ModbusConfig
from resources.scada.mqtt.client import MqttClient
from resources.scada.mqtt.config import MqttConfig
from resources.scada.opc_ua.client import OpcUaClient
from resources.scada.opc_ua.config import OpcUaConfig
from resources.transport.trust.certificates import CertificateAuthority, IssuedCertificate
from tests.contract.scada.proxy import CuttableProxy
from tests.contract.scada.recorder import Recorder
from tests.contract.scada.refusing_tls import RefusingTlsServer

PASSWORD = "correct horse"
NAMESPACE = "urn:gl:test"
TEMPERATURE, FLOW, BAD = "rig.temperature", "rig.flow", "rig.bad"


@dataclass
class Surroundings:
    folder: Path
    authority: CertificateAuthority
    programs: ServerPrograms
    server_folder: Path


class Rig(ABC):
    """A server and how to configure a connector for it. `rig.flow` has scale 2 and offset 1."""

    kind: str
    server_pair: IssuedCertificate
    """The server's certificate, where it has one."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.around = surroundings
        self.server_port = free_port()
        self.proxy = CuttableProxy(self.server_port)
        self.flow_bounds: dict[str, Any] | None = None
        """What `writable` of the flow says in configurations; the server lets it be written in any case."""

    async def start(self) -> None:
        await self.start_server()
        await self.proxy.start()

    async def stop(self) -> None:
        await self.proxy.stop()
        await self.stop_server()

    @abstractmethod
    async def start_server(self) -> None: ...

    @abstractmethod
    async def stop_server(self) -> None: ...

    async def restart(self) -> None:
        """Let the server end and come back, without a memory, at the same place."""
        await self.stop_server()
        await self.start_server()

    @abstractmethod
    def impatient(self) -> Any:
        """A configuration that notices a silent peer within seconds."""

    def remove_temperature(self) -> None:
        """Let the device no longer have the temperature, where it can."""
        raise NotImplementedError

    def seen(self, recorder: Recorder, sensor_id: str, time_us: int, value: float) -> bool:
        """Whether a reading came; its time counts where the protocol carries one."""
        return recorder.has(sensor_id, time_us, value)

    @abstractmethod
    def config(self, **changes: Any) -> Any: ...

    @abstractmethod
    def wrong_login(self) -> Any:
        """A configuration that the server refuses."""

    @abstractmethod
    async def put(self, raw: float, time_us: int) -> None:
        """Let the server show `raw` as temperature and flow, with that source time."""

    def writable(self, **bounds: Any) -> Any:
        """A configuration whose flow may be written within `bounds`."""
        self.flow_bounds = {"minimum": 0, "maximum": 100, "max_step": 10} | bounds
        return self.config()

    async def show(self, raw: float) -> None:
        """Let the device show `raw` as its flow, whenever it is asked."""
        await self.put(raw, to_micros(datetime.now(UTC)))

    @abstractmethod
    async def at_device(self) -> float:
        """Return the raw flow as the device holds it, not by way of the connector."""

    async def show_bad_item(self) -> None:  # noqa: B027 - most servers show it without being asked
        """Let the bad sensor come up, where it does not by itself."""

    @abstractmethod
    def build(self, config: Any, catalog: SensorCatalog) -> Any: ...

    def catalog(self, config: Any) -> SensorCatalog:
        return SensorCatalog(Sensor(tag.sensor_id, tag.unit, "rig") for tag in config.tags)

    def tags(self, **places: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {"sensor_id": TEMPERATURE, "unit": "Cel", **places["temperature"]},
            {
                "sensor_id": FLOW,
                "unit": "kg/h",
                "scale": 2,
                "offset": 1,
                "writable": self.flow_bounds,
                **places["flow"],
            },
            {"sensor_id": BAD, "unit": "kW", **places["bad"]},
        ]


class Users:
    def get_user(
        self, _server: Any, username: str | None = None, password: str | None = None, certificate: Any = None
    ) -> User | None:
        return User(role=UserRole.User) if (username, password) == ("reader", PASSWORD) else None


class OpcUaRig(Rig):
    kind = "opc_ua"
    policy = "Basic256Sha256"
    server_valid: Any = None

    async def start_server(self) -> None:
        issue = self.around.authority.issue
        self.server_pair = issue("opc-server", application_uri="urn:gl:test:server", valid=self.server_valid)
        self.client_pair = issue("opc-client", application_uri="urn:gl:test:client")
        self.server = Server(user_manager=Users())
        await self.server.init()
        self.server.set_endpoint(f"opc.tcp://127.0.0.1:{self.server_port}/gl")
        await self.server.set_application_uri("urn:gl:test:server")
        await self.server.load_certificate(str(self.server_pair.certificate))
        await self.server.load_private_key(str(self.server_pair.key), format="pem")
        self.server.set_security_policy(
            [
                ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt,
                ua.SecurityPolicyType.Basic256Sha256_Sign,
                ua.SecurityPolicyType.Aes128Sha256RsaOaep_SignAndEncrypt,
                ua.SecurityPolicyType.Aes256Sha256RsaPss_SignAndEncrypt,
            ]
        )
        # namespaces registered first move ours away from the index it would have
        await self.server.register_namespace("urn:someone:else")
        index = await self.server.register_namespace(NAMESPACE)
        self.nodes = {}
        for name in (TEMPERATURE, FLOW):
            self.nodes[name] = await self.server.nodes.objects.add_variable(ua.NodeId(name, index), name, 0.0)
        await self.nodes[FLOW].set_writable()
        self.text = await self.server.nodes.objects.add_variable(ua.NodeId("text", index), "text", "running")
        await self.server.start()

    async def stop_server(self) -> None:
        await self.server.stop()

    def impatient(self) -> OpcUaConfig:
        return self.config(keep_alive_interval="300ms", subscription_lifetime="10s", connect_timeout="2s")

    def config(self, **changes: Any) -> OpcUaConfig:
        return OpcUaConfig.model_validate(
            {
                "kind": "opc_ua",
                "endpoint_url": f"opc.tcp://127.0.0.1:{self.proxy.port}/gl",
                "security_policy": self.policy,
                "client_certificate": self.client_pair.certificate,
                "client_key": self.client_pair.key,
                "server_certificate": self.client_pair.authority,
                "username": "reader",
                "password": "${RIG_PASSWORD}",
                "publishing_interval": "20ms",
                "sampling_interval": "10ms",
                "connect_timeout": "10s",
                "tags": self.tags(
                    temperature={"node_id": f"nsu={NAMESPACE};s={TEMPERATURE}"},
                    flow={"node_id": f"nsu={NAMESPACE};s={FLOW}"},
                    bad={"node_id": f"nsu={NAMESPACE};s=nowhere"},
                ),
            }
            | changes
        )

    def wrong_login(self) -> OpcUaConfig:
        return self.config(password="${RIG_WRONG_PASSWORD}")

    async def put(self, raw: float, time_us: int) -> None:
        for node in self.nodes.values():
            await node.write_value(
                ua.DataValue(ua.Variant(raw, ua.VariantType.Double), SourceTimestamp=from_micros(time_us))
            )

    async def at_device(self) -> float:
        return float(await self.nodes[FLOW].read_value())

    def build(self, config: Any, catalog: SensorCatalog) -> OpcUaClient:
        return OpcUaClient("rig", config, catalog)


_WRITES = (5, 6, 15, 16, 22, 23)


class ModbusRig(Rig):
    """TLS with client certificates; temperature and flow float32 at 0 and 2, their time at 4, nothing from 8 on."""

    kind = "modbus"
    tls = True
    server_hosts: tuple[str, ...] = ("localhost", "127.0.0.1")

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.registers = [0] * 200
        self.refused: dict[int, ExcCodes] = dict.fromkeys(range(8, 20), ExcCodes.ILLEGAL_ADDRESS)
        self.requests: list[tuple[int, int, int]] = []
        self.hold: asyncio.Event = asyncio.Event()
        self.hold.set()
        self.refusing: RefusingTlsServer | None = None
        self.on_write: Callable[[], None] = lambda: None

    async def _answer(
        self, function: int, start: int, address: int, count: int, current: list[Any], new: Any
    ) -> ExcCodes | None:
        await self.hold.wait()
        self.requests.append((function, address, count))
        for place in range(address, address + count):
            if place in self.refused:
                return self.refused[place]
        if new is not None and function in _WRITES:
            self.on_write()
            self.registers[address : address + count] = new
        current[address - start : address - start + count] = self.registers[address : address + count]
        return None

    async def start_server(self) -> None:
        issue = self.around.authority.issue
        self.server_pair = issue("modbus-server", hosts=self.server_hosts)
        self.client_pair = issue("modbus-client")
        data = [SimData(0, count=200, values=0, datatype=DataType.REGISTERS)]
        device = SimDevice(1, simdata=data, action=self._answer)
        address = ("127.0.0.1", self.server_port)
        if self.tls:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=self.server_pair.authority)
            context.load_cert_chain(self.server_pair.certificate, self.server_pair.key)
            context.verify_mode = ssl.CERT_REQUIRED
            self.server: ModbusTcpServer = ModbusTlsServer(device, address=address, sslctx=context)
        else:
            self.server = ModbusTcpServer(device, address=address)
        await self.server.serve_forever(background=True)

    async def stop_server(self) -> None:
        self.hold.set()
        if self.refusing is not None:
            await asyncio.to_thread(self.refusing.stop)
            self.refusing = None
        await self.server.shutdown()

    def remove_temperature(self) -> None:
        self.refused |= dict.fromkeys(range(2), ExcCodes.ILLEGAL_ADDRESS)

    def impatient(self) -> ModbusConfig:
        return self.config(timeout="500ms", connect_timeout="2s")

    def config(self, **changes: Any) -> ModbusConfig:
        security = {
            "tls": True,
            "ca_certificate": self.client_pair.authority,
            "client_certificate": self.client_pair.certificate,
            "client_key": self.client_pair.key,
        }
        return ModbusConfig.model_validate(
            {
                "kind": "modbus",
                "host": "127.0.0.1",
                "port": self.proxy.port,
                "poll_interval": "20ms",
                "timeout": "5s",
                "tags": self.tags(
                    temperature={"address": 0, "time_register": 4},
                    flow={"address": 2, "time_register": 4},
                    bad={"address": 8},
                ),
            }
            | (security if self.tls else {})
            | changes
        )

    def wrong_login(self) -> ModbusConfig:
        stranger = CertificateAuthority.create(self.around.folder / "stranger").issue("stranger")
        self.refusing = RefusingTlsServer(self.server_pair)
        return self.config(port=self.refusing.port, client_certificate=stranger.certificate, client_key=stranger.key)

    async def put(self, raw: float, time_us: int) -> None:
        value = struct.unpack(">2H", struct.pack(">f", raw))
        self.registers[:8] = [*value, *value, *struct.unpack(">4H", struct.pack(">Q", time_us))]

    async def at_device(self) -> float:
        (value,) = struct.unpack(">f", struct.pack(">2H", *self.registers[2:4]))
        return float(value)

    def build(self, config: Any, catalog: SensorCatalog) -> ModbusClient:
        return ModbusClient("rig", config, catalog)


class MqttRig(Rig):
    kind = "mqtt"

    async def start_server(self) -> None:
        self.server_pair = pair = self.around.authority.issue("broker")
        options = BrokerOptions(
            {"reader": PASSWORD}, certificate=pair.certificate, key=pair.key, authority=pair.authority
        )
        self.broker = EmbeddedBroker(
            self.around.server_folder / f"mqtt{self.server_port}", self.around.programs, options, port=self.server_port
        )
        await asyncio.to_thread(self.broker.start)
        self.publisher = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="plant", protocol=paho.MQTTv5)
        self.publisher.username_pw_set("reader", PASSWORD)
        self.publisher.tls_set(str(pair.authority))
        await asyncio.to_thread(self.publisher.connect, "127.0.0.1", self.server_port)
        self.publisher.on_message = self._obey
        self.publisher.subscribe("rig/set", qos=1)
        self.publisher.loop_start()

    async def restart(self) -> None:
        await asyncio.to_thread(self.broker.restart)
        # the plant's own client comes back by itself, a second later
        while not self.publisher.is_connected():
            await asyncio.sleep(0.01)

    def impatient(self) -> MqttConfig:
        return self.config(broker={"keepalive": "1s"}, connect_timeout="2s")

    async def stop_server(self) -> None:
        await asyncio.to_thread(self.publisher.disconnect)
        await asyncio.to_thread(self.publisher.loop_stop)
        await asyncio.to_thread(self.broker.stop)

    def config(self, **changes: Any) -> MqttConfig:
        broker = {
            "host": "127.0.0.1",
            "port": self.proxy.port,
            "ca_certificate": self.around.authority.certificate,
            "username": "reader",
            "password": changes.pop("password", "${RIG_PASSWORD}"),
        }
        return MqttConfig.model_validate(
            {
                "kind": "mqtt",
                "broker": broker | changes.pop("broker", {}),
                "client_id": "collector",
                "topic_filters": ["rig/#"],
                "tags": self.tags(
                    temperature={"topic": "rig/values", "value_path": "raw"},
                    flow={"topic": "rig/values", "value_path": "raw", "command_topic": "rig/set"},
                    bad={"topic": "rig/bad"},
                ),
            }
            | changes
        )

    def wrong_login(self) -> MqttConfig:
        return self.config(password="${RIG_WRONG_PASSWORD}")

    async def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        info = self.publisher.publish(topic, payload, qos=1, retain=retain)
        await asyncio.to_thread(info.wait_for_publish, 20)

    async def put(self, raw: float, time_us: int) -> None:
        at = from_micros(time_us).isoformat()
        await self.publish("rig/values", orjson.dumps({"raw": raw, "time": at}))

    async def show_bad_item(self) -> None:
        await self.publish("rig/bad", b"\xff\xfe garbage")

    def writable(self, **bounds: Any) -> MqttConfig:
        self.flow_bounds = {"minimum": 0, "maximum": 100, "max_step": 10} | bounds
        flow = {"topic": "rig/flow", "value_path": "raw", "command_topic": "rig/set"}
        values = {"topic": "rig/values", "value_path": "raw"}
        return self.config(tags=self.tags(temperature=values, flow=flow, bad={"topic": "rig/bad"}))

    async def show(self, raw: float) -> None:
        self.commanded = raw
        state = {"raw": raw, "time": datetime.now(UTC).isoformat()}
        await self.publish("rig/flow", orjson.dumps(state), retain=True)

    def _obey(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        """Take a command as a device does, and show it as its state."""
        self.commanded = float(orjson.loads(message.payload)["value"])
        state = {"raw": self.commanded, "time": datetime.now(UTC).isoformat()}
        self.publisher.publish("rig/flow", orjson.dumps(state), qos=1, retain=True)

    async def at_device(self) -> float:
        return self.commanded

    def build(self, config: Any, catalog: SensorCatalog) -> MqttClient:
        return MqttClient("rig", config, catalog)


RIGS: dict[str, type[Rig]] = {rig.kind: rig for rig in (OpcUaRig, ModbusRig, MqttRig)}
