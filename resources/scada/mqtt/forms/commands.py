"""From an engineering value to the message that sets it: the reverse of what a tag reads. Pure."""

from __future__ import annotations

import re
from datetime import datetime

import orjson

from resources.core.errors import ProtocolError
from resources.scada.mqtt.config import MqttTag
from resources.scada.mqtt.payloads import Outgoing

_PLACE = re.compile(r"\{(value|time|unit|sensor_id)\}")


def command(source: str, tag: MqttTag, value: float | str, now: datetime) -> Outgoing:
    """Return what is published so that a device sets `tag` to `value`.

    A number goes out as the device counts it, without scale and offset; a whole one without a decimal point, because
    many devices take no other. A state goes out by its name.

    Raises:
        ProtocolError: The tag has no command topic, or the value is of the wrong kind.
    """
    tried = f"source {source}: writing {tag.sensor_id}"
    if tag.command_topic is None:
        raise ProtocolError(
            f"{tried}: the tag has no command_topic: name the topic that takes its values", source=source
        )
    if tag.is_text != isinstance(value, str):
        kind = "a text" if tag.is_text else "a number"
        raise ProtocolError(f"{tried}: the tag takes {kind}", source=source)
    filled = {
        "value": orjson.dumps(value if isinstance(value, str) else _raw(tag, value, tried, source)),
        "time": orjson.dumps(now),
        "unit": orjson.dumps(tag.unit),
        "sensor_id": orjson.dumps(tag.sensor_id),
    }
    payload = _PLACE.sub(lambda place: filled[place.group(1)].decode(), tag.command_payload)
    return Outgoing(tag.command_topic, payload.encode(), qos=1, retain=tag.command_retain)


def _raw(tag: MqttTag, value: float, tried: str, source: str) -> float | int | str:
    if tag.states:
        names = [name for name, number in tag.states.items() if number == value]
        if not names:
            raise ProtocolError(f"{tried}: {value:g} is none of its states {tag.states}", source=source)
        return names[0]
    if not tag.scale:
        raise ProtocolError(f"{tried}: a tag with scale 0 cannot be written", source=source)
    raw = (value - tag.offset) / tag.scale
    return int(raw) if raw.is_integer() and abs(raw) < 2**53 else raw
