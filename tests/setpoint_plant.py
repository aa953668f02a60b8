"""A device with one set point behind an MQTT broker, and the configuration that may write it."""

from __future__ import annotations

import json
from typing import Any

import paho.mqtt.client as paho

STATE, COMMAND = "boiler/sp", "boiler/sp/set"


class Device:
    """Shows a value on a retained topic, and takes another from a command topic."""

    def __init__(self, port: int) -> None:
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="device", protocol=paho.MQTTv5)
        self.client.on_message = lambda client, _data, message: client.publish(STATE, message.payload, 1, retain=True)
        self.client.connect("127.0.0.1", port)
        self.client.subscribe(COMMAND, qos=1)
        self.client.publish(STATE, json.dumps({"value": 40}), 1, retain=True)
        self.client.loop_start()

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def configuration(port: int, site: str) -> dict[str, Any]:
    setpoint = {"minimum": -10, "maximum": 60, "max_step": 50, "read_back_timeout": "20s"}
    tags = [
        {
            "sensor_id": "B1.SP",
            "unit": "bar",
            "description": "Set point",
            "topic": STATE,
            "time_path": None,
            "command_topic": COMMAND,
            "writable": setpoint,
        },
        {"sensor_id": "B1.P", "unit": "bar", "topic": "boiler/p"},
    ]
    source = {
        "kind": "mqtt",
        "broker": {"host": "127.0.0.1", "port": port, "tls": False, "insecure_plain_tcp": True},
        "client_id": "collector",
        "topic_filters": ["boiler/#"],
        "tags": tags,
    }
    return {"site": site, "start": "2026-11-01T00:00:00Z", "sources": {"boilers": source}}
