"""A paho client as the bus uses it: a session that outlives connections, acknowledgements by hand, verified TLS."""

from __future__ import annotations

import ssl

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from resources.transport.broker import BrokerConfig
from resources.transport.tls import client_context

SESSION_EXPIRY_S = 604_800
"""How long the broker keeps the session and its messages."""

_CONNECT_TIMEOUT_S = 10.0
_RECEIVE_MAXIMUM = 1000


def make_client(
    broker: BrokerConfig, client_id: str, protocol: MQTTProtocolVersion, tls: ssl.SSLContext | None
) -> paho.Client:
    """Return a client with user, password and TLS set, and without callbacks."""
    client = paho.Client(
        CallbackAPIVersion.VERSION2,
        client_id=client_id,
        clean_session=None if protocol is MQTTProtocolVersion.MQTTv5 else False,
        protocol=protocol,
        manual_ack=True,
        reconnect_on_failure=False,
    )
    if broker.username is not None:
        password = broker.password.reveal() if broker.password is not None else None
        client.username_pw_set(broker.username, password)
    if tls is not None:
        client.tls_set_context(tls)
    client.connect_timeout = _CONNECT_TIMEOUT_S
    # no limits of its own: it is never given more than it may send at once
    client.max_inflight_messages_set(0)
    client.max_queued_messages_set(0)
    return client


def open_connection(client: paho.Client, broker: BrokerConfig) -> None:
    """Connect and greet the broker; its answer comes as a callback.

    Raises:
        OSError: Nobody listens, or TLS fails.
    """
    keepalive = max(1, int(broker.keepalive.total_seconds()))
    if client.protocol is MQTTProtocolVersion.MQTTv5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = SESSION_EXPIRY_S
        properties.ReceiveMaximum = _RECEIVE_MAXIMUM
        client.connect_async(broker.host, broker.port, keepalive, clean_start=False, properties=properties)
    else:
        client.connect_async(broker.host, broker.port, keepalive)
    client.reconnect()


def tls_context(broker: BrokerConfig) -> ssl.SSLContext | None:
    """Return the TLS context for a broker, None where TLS is off."""
    if not broker.tls:
        return None
    return client_context(
        ca_certificate=broker.ca_certificate,
        allow_tls_1_2=broker.allow_tls_1_2,
        client_certificate=broker.client_certificate,
        client_key=broker.client_key,
        pinned_sha256=broker.pinned_sha256,
    )
