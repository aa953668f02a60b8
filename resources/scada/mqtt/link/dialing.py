"""Opening a connection to a broker: TCP or TLS, the greeting, and the version of MQTT that the broker speaks."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from resources.core.errors import SourceError
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.link.packets import Connect, Will
from resources.scada.mqtt.link.reasons import Granted, UnansweredError, VersionRefusedError
from resources.scada.mqtt.link.receipts import Receipts
from resources.scada.mqtt.link.session import BrokerSession
from resources.scada.tls import TlsFiles, client_context, explain
from resources.transport.broker import BrokerConfig

log = structlog.get_logger(__name__)

_FOREVER = 0xFFFF_FFFF
_TOPIC_ALIASES = 65_535


@dataclass(frozen=True, slots=True)
class Caller:
    """Who connects, and what for."""

    client_id: str
    clean: bool = True
    """True: the broker forgets us with the connection."""
    will: Will | None = None
    receipts: Receipts | None = None
    """What the last connection of this session has left."""


def endpoint_of(broker: BrokerConfig) -> str:
    """Return a broker's address as people write it."""
    return f"{'mqtts' if broker.tls else 'mqtt'}://{broker.host}:{broker.port}"


class Dialer:
    """Opens connections of one source, to whichever broker it is told; remembers who speaks 3.1.1 only."""

    def __init__(self, source: str, config: MqttConfig) -> None:
        """Connect as `config` says."""
        self._source, self._config = source, config
        self._old: set[str] = set()
        """Brokers that have said, or shown by silence, that they do not speak MQTT 5."""

    async def open(self, caller: Caller, broker: BrokerConfig | None = None) -> tuple[BrokerSession, Granted]:
        """Return an open session and what the broker grants it.

        A broker that refuses MQTT 5, or leaves the greeting unanswered, is greeted again in 3.1.1.

        Raises:
            SourceError: The broker cannot be reached, or refused.
            ConfigError: A file or a variable is missing.
        """
        broker = broker or self._config.broker
        peer = endpoint_of(broker)
        if broker.protocol != "5" or peer in self._old:
            return await self._attempt(caller, broker, 4)
        try:
            return await self._attempt(caller, broker, 5)
        except (VersionRefusedError, UnansweredError) as error:
            refused = error
        opened = await self._second(caller, broker, refused)
        # a broker that closes is asked for 5 again next time, which costs nothing: it may just have been starting
        if isinstance(refused, VersionRefusedError) or refused.silent:
            self._old.add(peer)
        return opened

    async def _second(
        self, caller: Caller, broker: BrokerConfig, refused: VersionRefusedError | UnansweredError
    ) -> tuple[BrokerSession, Granted]:
        try:
            opened = await self._attempt(caller, broker, 4)
        except SourceError as error:
            # what the second greeting met says more only if it was understood
            raise (refused if isinstance(error, VersionRefusedError | UnansweredError) else error) from error
        log.warning(
            "broker_speaks_mqtt_3_1_1",
            source=self._source,
            broker=endpoint_of(broker),
            mqtt_5=str(refused),
            remedy='set broker.protocol: "3.1.1" to leave the first greeting out',
        )
        return opened

    async def _attempt(self, caller: Caller, broker: BrokerConfig, version: int) -> tuple[BrokerSession, Granted]:
        timeout_s = self._config.connect_timeout.total_seconds()
        connect = self._connect(caller, broker, version)
        peer = endpoint_of(broker)
        files = TlsFiles(
            broker.ca_certificate,
            broker.client_certificate,
            broker.client_key,
            broker.allow_tls_1_2,
            broker.pinned_sha256,
        )
        context = client_context(self._source, files) if broker.tls else None
        try:
            async with asyncio.timeout(timeout_s):
                _, session = await asyncio.get_running_loop().create_connection(
                    lambda: BrokerSession(self._source, peer, connect, caller.receipts),
                    broker.host,
                    broker.port,
                    ssl=context,
                )
        except OSError as error:
            raise explain(error, source=self._source, peer=peer) from error
        try:
            # half of the time is left for the other version, should this one not be answered
            granted = await session.handshake(timeout_s / 2 if version == 5 else timeout_s)
            self._warn_of_short_memory(connect, granted, peer)
            return session, granted
        except BaseException:
            await session.close()
            raise

    def _warn_of_short_memory(self, connect: Connect, granted: Granted, peer: str) -> None:
        if granted.session_expiry_s is not None and granted.session_expiry_s < connect.session_expiry_s:
            log.warning(
                "session_expiry_shortened",
                source=self._source,
                broker=peer,
                asked_s=connect.session_expiry_s,
                granted_s=granted.session_expiry_s,
                remedy="what comes while the collector is away for longer is lost: let the broker keep sessions longer",
            )

    def _connect(self, caller: Caller, broker: BrokerConfig, version: int) -> Connect:
        expiry_s = int(self._config.session_expiry.total_seconds())
        return Connect(
            client_id=caller.client_id,
            keepalive_s=min(65_535, max(1, round(broker.keepalive.total_seconds()))),
            version=version,
            clean_start=caller.clean,
            username=broker.username,
            password=broker.password.reveal() if broker.password is not None else None,
            session_expiry_s=0 if caller.clean else min(_FOREVER - 1, expiry_s),
            receive_maximum=self._config.receive_maximum,
            topic_alias_maximum=_TOPIC_ALIASES,
            will=caller.will,
        )
