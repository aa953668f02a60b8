"""MQTT client: subscribed topics to readings, acknowledged after they are durable."""
