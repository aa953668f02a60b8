"""The `integrations.yaml` that reads the demo plant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from resources.demo_plant.addresses import TOPIC_ROOT, node_id, registers, topic
from resources.demo_plant.erp import systems
from resources.demo_plant.physics import HEATING_VALUE_KJ_PER_KG
from resources.demo_plant.plant import MODBUS, MODBUS_TLS, MQTT, OPC_UA, SENSORS
from resources.demo_plant.roster import write_roster
from resources.demo_plant.tags.tag import Sensor

SITE = "demo"
"""Site of the demo's topics and rows."""

PLATFORM_USER, PLANT_USER, AGENTS_USER = "platform", "demo-plant", "agents"
"""Users at the broker; their passwords are MQTT_PASSWORD, MQTT_PLANT_PASSWORD and MQTT_AGENTS_PASSWORD."""

OPC_UA_USER = "collector"
"""User at the OPC UA server; its password is SCADA_PASSWORD."""

ERP_HISTORY = timedelta(days=730)
"""How far back the demo's business days go: two years, to try a backfill on; only the latest are pulled unasked."""

ALARM_ID = "alarm-demo"
"""The collector as it tells the agents of alarms."""

CLIENT_URI = "urn:gl:platform"
"""Application URI in the platform's OPC UA client certificate."""

ROSTER = "agents.yaml"
"""File beside the configuration that declares the demo's agents."""

_HEADER = """\
# The demo plant's configuration: written anew by each `gl up --demo`, so do not edit it here.
# integrations.example.yaml at the root of the repository explains every key.
"""


@dataclass(frozen=True)
class PlantState:
    """`plant.json`: what a running plant must know beyond its secrets."""

    seed: int
    start: str
    ports: dict[str, int]
    broker_host: str
    broker_port: int
    broker_ca: str


def write_configuration(file: Path, state: PlantState) -> None:
    """Write the configuration that reads the plant of `state`; certificates, keys and agents.yaml are beside `file`."""
    write_roster(file.parent / ROSTER)
    text = yaml.safe_dump(configuration(file.parent, state), sort_keys=False, allow_unicode=True, width=120)
    file.write_text(_HEADER + text, encoding="utf-8")


def configuration(home: Path, state: PlantState) -> dict[str, Any]:
    """Return the configuration as it stands in the file."""
    start = datetime.fromisoformat(state.start)
    return {
        "site": SITE,
        "start": state.start,
        "window": "1m",
        "grace": "5s",
        "collector": {"name": "demo", "port": state.ports["collector"]},
        "sources": {
            OPC_UA: _opc_ua(home, state),
            MODBUS: _modbus(MODBUS, state.ports["modbus"]),
            MODBUS_TLS: _modbus(MODBUS_TLS, state.ports["modbus_tls"])
            | {
                "tls": True,
                "ca_certificate": str(home / "ca" / "ca.pem"),
                "client_certificate": str(home / "ca" / "modbus_client.pem"),
                "client_key": str(home / "ca" / "modbus_client.key"),
            },
            MQTT: _mqtt(state),
        },
        "boilers": {f"boiler_{n}": _boiler(f"BLR{n}") for n in (1, 2)},
        "energy": _energy(),
        "erp": {
            "start": (start - ERP_HISTORY).replace(hour=0).isoformat(),
            "systems": systems.settings(state.ports, home / "ca" / "ca.pem"),
        },
        "agents": {
            "broker": _broker(state),
            "private_key": str(home / "keys" / "GL-001.jwk"),
            "public_keys": str(home / "keys" / "public-keys.jwks"),
            "roster": str(home / ROSTER),
            # everything runs on one machine, which may be busy: what matters here is that all answer
            "limits": {"slowest_answer": "30s"},
        },
        "alarms": _alarms(home),
    }


def _energy() -> dict[str, Any]:
    """Return who uses energy, by the meters and work centers of the demo's SAP system."""
    boilers = {
        name: {"locations": [name], "product_energy_type": "steam", "boiler": name} for name in ("boiler_1", "boiler_2")
    }
    return {
        "types": {
            "natural_gas": {"price_per_kwh": 0.045, "kwh_per_m3": 10.4},
            "electricity": {"price_per_kwh": 0.16},
        },
        "consumers": {**boilers, "furnace_1": {"locations": ["furnace_1"], "work_centers": ["FUR1"]}},
    }


def _alarms(home: Path) -> dict[str, Any]:
    """Return the demo's one rule: nothing but the misbehaviour `high` of the meters brings the gas flow there."""
    rule = {
        "sensors": ["UTL.GAS.FLOW"],
        "above": 8000.0,
        "hysteresis": 500.0,
        "message": "More gas than both boilers and the furnace can burn: look for a leak",
    }
    return {"private_key": str(home / "keys" / f"{ALARM_ID}.jwk"), "rules": {"gas_flow_high": rule}}


def _tag(sensor: Sensor, **where: Any) -> dict[str, Any]:
    low, high = sensor.tag.limits
    tag = {"sensor_id": sensor.sensor_id, "unit": sensor.tag.unit, "description": sensor.tag.description, **where}
    tag |= {"minimum": low, "maximum": high, "equipment": sensor.equipment}
    if sensor.tag.canonical_unit is not None:
        tag["canonical_unit"] = sensor.tag.canonical_unit
    return tag


def _opc_ua(home: Path, state: PlantState) -> dict[str, Any]:
    return {
        "kind": "opc_ua",
        "endpoint_url": f"opc.tcp://127.0.0.1:{state.ports['opc_ua']}/gl-demo-plant",
        "client_certificate": str(home / "ca" / "opc_ua_client.pem"),
        "client_key": str(home / "ca" / "opc_ua_client.key"),
        "server_certificate": str(home / "ca" / "ca.pem"),
        "username": OPC_UA_USER,
        "password": "${SCADA_PASSWORD}",
        "tags": [_tag(sensor, node_id=node_id(sensor)) for sensor in SENSORS[OPC_UA]],
    }


def _modbus(source: str, port: int) -> dict[str, Any]:
    tags = []
    for sensor, register in zip(SENSORS[source], registers(source), strict=True):
        where: dict[str, Any] = {
            "table": register.table,
            "address": register.address,
            "data_type": register.data_type,
            "word_order": register.word_order,
        }
        if register.scale != 1.0:
            where["scale"] = register.scale
        tags.append(_tag(sensor, **where))
    return {"kind": "modbus", "host": "127.0.0.1", "port": port, "unit_id": 1, "tags": tags}


def _mqtt(state: PlantState) -> dict[str, Any]:
    return {
        "kind": "mqtt",
        "broker": _broker(state),
        "client_id": f"gl-{SITE}-collector",
        "topic_filters": [f"{TOPIC_ROOT}/#"],
        "tags": [_tag(sensor, topic=topic(sensor), unit_path="unit") for sensor in SENSORS[MQTT]],
    }


def _broker(state: PlantState) -> dict[str, Any]:
    return {
        "host": state.broker_host,
        "port": state.broker_port,
        "ca_certificate": state.broker_ca,
        "username": PLATFORM_USER,
        "password": "${MQTT_PASSWORD}",
    }


def _boiler(prefix: str) -> dict[str, Any]:
    return {
        "fuel_flow": f"{prefix}.FUEL.FLOW",
        "fuel_heating_value_kj_per_kg": HEATING_VALUE_KJ_PER_KG,
        "steam_flow": f"{prefix}.STEAM.FLOW",
        "steam_pressure": f"{prefix}.STEAM.PRESS",
        "steam_temperature": f"{prefix}.STEAM.TEMP",
        "feedwater_temperature": f"{prefix}.FW.TEMP",
    }
