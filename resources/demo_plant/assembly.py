"""Puts the running plant together from what `prepare` set up."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette

from resources.demo_plant.configuration import OPC_UA_USER, PLANT_USER, PlantState
from resources.demo_plant.erp import systems
from resources.demo_plant.plant import MODBUS, MODBUS_TLS, MQTT, OPC_UA, Plant
from resources.demo_plant.run import RunningPlant
from resources.demo_plant.servers.modbus import ModbusEndpoint
from resources.demo_plant.servers.mqtt import MqttEndpoint
from resources.demo_plant.servers.opc_ua import OpcUaEndpoint
from resources.demo_plant.setup import load_secrets
from resources.demo_plant.sources import ModbusSource, MqttSource, OpcUaSource, Source

_HOST = "127.0.0.1"


def assemble(home: Path, state: PlantState, *, seed: int | None = None, held: bool = False) -> RunningPlant:
    """Return the plant of `state`, not yet started; `seed` goes before the prepared one."""
    ca, secrets, ports = home / "ca", load_secrets(home), state.ports
    sources: dict[str, Source] = {
        OPC_UA: OpcUaSource(
            OpcUaEndpoint(
                _HOST,
                ports["opc_ua"],
                certificate=ca / "opc_ua_server.pem",
                key=ca / "opc_ua_server.key",
                authority=ca / "ca.pem",
                users=((OPC_UA_USER, secrets["SCADA_PASSWORD"]),),
            )
        ),
        MODBUS: ModbusSource(MODBUS, ModbusEndpoint(_HOST, ports["modbus"])),
        MODBUS_TLS: ModbusSource(
            MODBUS_TLS,
            ModbusEndpoint(
                _HOST,
                ports["modbus_tls"],
                certificate=ca / "modbus_server.pem",
                key=ca / "modbus_server.key",
                authority=ca / "ca.pem",
            ),
        ),
        MQTT: MqttSource(
            MqttEndpoint(
                state.broker_host,
                state.broker_port,
                client_id="gl-demo-plant",
                authority=Path(state.broker_ca),
                username=PLANT_USER,
                password=secrets["MQTT_PLANT_PASSWORD"],
            )
        ),
    }
    return RunningPlant(Plant(state.seed if seed is None else seed), sources, held=held)


def erp_apps(home: Path, seed: int) -> dict[str, Starlette]:
    """Return name -> fake of every ERP system, over the same plant."""
    return systems.applications(load_secrets(home), seed)
