"""The MQTT connector as a Dagster resource: one message, or listening for a while; the collector does the rest.

Both use sessions of their own (client id with `-look` behind it), so the collector's messages stay its own.
"""

import asyncio
import secrets
from datetime import timedelta

from resources.core.errors import ConfigError
from resources.core.tags import SensorCatalog
from resources.scada.mqtt.client import MqttClient
from resources.scada.mqtt.config import MqttConfig, TopicFilter
from resources.scada.scada_resource import ScadaResource
from resources.scada.values import SensorValue, collect, sensor_values


class MqttResource(ScadaResource):
    """One MQTT source; nothing is opened before a method is called."""

    def read_sensor(self, sensor_id: str, timeout_s: float = 10.0) -> SensorValue:
        """Return the value in the next message on a sensor's topic, the retained one if there is one.

        Raises:
            KeyError: The sensor is not one of this source, or the message held no value for it.
            SourceError: The broker cannot be reached, refuses, or no message came in time.
        """
        return {value.sensor_id: value for value in self._read([sensor_id], timeout_s)}[sensor_id]

    def read_topic(self, topic: str, timeout_s: float = 10.0) -> list[SensorValue]:
        """Return the values in the next message on a topic; raises as `read_sensor`."""
        wanted = [tag.sensor_id for tag in self._config().tags if tag.topic == topic]
        if not wanted:
            raise KeyError(f"no tag of source {self.source} names the topic {topic}")
        return self._read(wanted, timeout_s)

    def _read(self, sensor_ids: list[str], timeout_s: float) -> list[SensorValue]:
        client, catalog = self._client(self._config())
        return sensor_values(asyncio.run(client.read(sensor_ids, timeout_s)).readings, catalog)

    def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> int:
        """Publish; return the broker's reason code (0; 0x10: nobody has subscribed the topic).

        Raises:
            ConfigError: The topic commands a device: `gl write` and the job write_setpoint do that, within bounds.
            SourceError: The broker cannot be reached, or refuses.
        """
        config = self._config()
        if commands_a_device(topic, config):
            raise ConfigError(
                f"source {self.source}: {topic} commands a device, and publishing has no bounds: use `gl write` or the "
                "job write_setpoint"
            )
        client, _ = self._client(config)
        return asyncio.run(client.publish(topic, payload, qos, retain))

    def subscribe_topic(self, topic_filter: str, seconds: float) -> list[SensorValue]:
        """Return the values of all messages that a topic filter brings in `seconds`; raises as `read_sensor`.

        Raises:
            ConfigError: The source is a Sparkplug host.
        """
        config = self._config()
        if config.payload == "sparkplug_b":
            # it would be a second host by our name, and tell edge nodes that we are gone when it ends
            raise ConfigError(
                f"source {self.source}: a Sparkplug host is not listened to topic by topic: use read_sensor"
            )
        changes = {
            "client_id": f"{config.client_id[:50]}-look-{secrets.token_hex(3)}",
            "topic_filters": (TopicFilter(filter=topic_filter),),
            "session_expiry": timedelta(0),
        }
        client, catalog = self._client(config.model_copy(update=changes))
        return sensor_values(asyncio.run(collect(client, seconds)), catalog)

    def _config(self) -> MqttConfig:
        return MqttConfig.model_validate(self.settings)

    def _client(self, config: MqttConfig) -> tuple[MqttClient, SensorCatalog]:
        catalog = self._catalog(config.tags)
        return MqttClient(self.source, config, catalog), catalog


def commands_a_device(topic: str, config: MqttConfig) -> bool:
    """Return whether a message on `topic` sets something: a tag's command topic, or an NCMD or DCMD of Sparkplug."""
    parts = topic.split("/")
    return topic in {tag.command_topic for tag in config.tags} or (len(parts) > 2 and parts[2] in ("NCMD", "DCMD"))
