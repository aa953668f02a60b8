"""A paho client as the bus uses it: a session that outlives connections, acknowledgements by hand, verified TLS.

paho asks its socket for each packet four times, for a byte or two at first; here it is asked once for many packets.
That overrides one private method of paho (`_sock_recv`, 2.x); should it go, packets are read as paho does it.
"""

from __future__ import annotations

import ssl

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from resources.transport.broker import BrokerConfig
from resources.transport.trust.tls import client_context

SESSION_EXPIRY_S = 604_800
"""How long the broker keeps the session and its messages."""

_CONNECT_TIMEOUT_S = 10.0
_RECEIVE_MAXIMUM = 1000
_READ_AHEAD = 16 * 1024


class SessionClient(paho.Client):
    """Reads ahead of the packets that it takes apart."""

    _ahead = b""
    _taken = 0

    def read(self) -> None:
        """Take apart all that has come; with TLS, also what is already decrypted."""
        self.loop_read()
        while (sock := self.socket()) is not None and (
            self._taken < len(self._ahead) or (isinstance(sock, ssl.SSLSocket) and sock.pending())
        ):
            self.loop_read()

    def reconnect(self) -> MQTTErrorCode:
        """Connect again; what was left of the former connection's bytes is nobody's."""
        self._ahead, self._taken = b"", 0
        return super().reconnect()

    def _sock_recv(self, bufsize: int) -> bytes:
        if self._taken == len(self._ahead):
            if bufsize >= _READ_AHEAD:
                return super()._sock_recv(bufsize)
            self._ahead, self._taken = super()._sock_recv(_READ_AHEAD), 0
        piece = self._ahead[self._taken : self._taken + bufsize]
        self._taken += len(piece)
        return piece


def make_client(
    broker: BrokerConfig, client_id: str, protocol: MQTTProtocolVersion, tls: ssl.SSLContext | None
) -> SessionClient:
    """Return a client with user, password and TLS set, and without callbacks."""
    client = SessionClient(
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
