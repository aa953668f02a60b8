"""Where each sensor lies on the wire: node ids, registers and topics. Servers and configuration agree here."""

from __future__ import annotations

from functools import cache
from typing import Literal

from resources.demo_plant.plant import MODBUS, MODBUS_TLS, MQTT, SENSORS
from resources.demo_plant.servers.modbus import Register, Table
from resources.demo_plant.servers.opc_ua import NAMESPACE_URI
from resources.demo_plant.tags.tag import Sensor

TOPIC_ROOT = "demo/utilities"
"""The meters publish below it."""

_LAYOUT: dict[str, tuple[Table, Table, Literal["big", "little"]]] = {
    # the furnace's PLC swaps words, as many do; the heat recovery's has input registers
    MODBUS: ("holding_register", "coil", "little"),
    MODBUS_TLS: ("input_register", "discrete_input", "big"),
}


def node_id(sensor: Sensor) -> str:
    """Return the node id of an OPC UA sensor, its namespace by URI."""
    return f"nsu={NAMESPACE_URI};s={sensor.sensor_id}"


def topic(sensor: Sensor) -> str:
    """Return the topic of an MQTT sensor: `UTL.ELE.POWER` is on `demo/utilities/ele/power`."""
    return f"{TOPIC_ROOT}/{sensor.tag.name.lower().replace('.', '/')}"


@cache
def registers(source: str) -> tuple[Register, ...]:
    """Return the registers of a Modbus source, in the order of its sensors, without holes."""
    words, bits, word_order = _LAYOUT[source]
    found, address, bit = [], 0, 0
    for sensor in SENSORS[source]:
        if sensor.tag.register == "bool":
            found.append(Register(bits, bit, "bool"))
            bit += 1
            continue
        register = Register(words, address, sensor.tag.register, sensor.tag.scale, word_order)
        found.append(register)
        address += register.length
    return tuple(found)


@cache
def topics() -> tuple[str, ...]:
    """Return the topics of the MQTT source, in the order of its sensors."""
    return tuple(topic(sensor) for sensor in SENSORS[MQTT])
