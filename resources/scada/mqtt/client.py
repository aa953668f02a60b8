"""The MQTT connector: subscribes with a persistent session, and acknowledges a message once it is durable.

Messages that arrive in one turn of the event loop become one batch; while the driver holds back, batches grow, and
then the socket is no longer read.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from operator import attrgetter

import structlog

from resources.core.clock import Clock, SystemClock, to_micros
from resources.core.errors import AuthError, UnreachableError
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.connector import Address, Emit, Health, SourceFacts, StatusSink
from resources.scada.endpoints import parse_address
from resources.scada.mqtt import reasons
from resources.scada.mqtt.codec import MessageDecoder
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.session import BrokerSession
from resources.scada.mqtt.topics import matches
from resources.scada.mqtt.wire import Connect, Message
from resources.scada.tls import TlsFiles, client_context, explain, peer_certificate

log = structlog.get_logger(__name__)

_MOST_PER_BATCH = 5_000
"""Messages decoded in one go: more would hold the event loop for longer than a tenth of a second."""


class MqttClient:
    """Reads one broker; kept between connections (see `resources.scada.connector`)."""

    kind = "mqtt"

    def __init__(self, name: str, config: MqttConfig, catalog: SensorCatalog, clock: Clock | None = None) -> None:
        """Prepare to read `config`; sensors are numbered by `catalog`."""
        self.name = name
        self._config = config
        self._clock = clock or SystemClock()
        self._decoder = MessageDecoder(name, config.tags, catalog)
        self._addresses = (Address(config.broker.host, config.broker.port), *map(parse_address, config.other_endpoints))
        self._reading: BrokerSession | None = None
        """The session that `run` reads by, or has read by: a closed one says so when it is asked."""

    @property
    def endpoint(self) -> str:
        """The broker that the next connection goes to."""
        broker = self._config.broker
        return f"{'mqtts' if broker.tls else 'mqtt'}://{broker.host}:{broker.port}"

    def addresses(self) -> Sequence[Address]:
        """Return where the broker, or those that stand in for it, are."""
        return self._addresses

    def use(self, position: int) -> None:
        """Let the next connection go to that broker."""
        host, port = self._addresses[position].host, self._addresses[position].port
        broker = self._config.broker.model_copy(update={"host": host, "port": port})
        self._config = self._config.model_copy(update={"broker": broker})

    async def check_health(self) -> Health:
        """Ask the broker for a PINGRESP on the connection of `run`.

        Raises:
            SourceError: There is no connection, or it broke.
        """
        if self._reading is None:
            raise UnreachableError(f"source {self.name}: no connection to ask by", source=self.name)
        await self._reading.ping()
        return Health()

    async def run(self, emit: Emit, status: StatusSink) -> None:
        """Connect, subscribe and emit until cancelled; see `resources.scada.connector.ScadaClient.run`."""
        session, resumed = await self._open(self._config.client_id, clean=False)
        facts = {"endpoint": self.endpoint, "security": self.security, "session": "resumed" if resumed else "new"}
        async with session:
            self._reading = session

            def granted(codes: dict[str, int]) -> None:
                self._note_refusals(codes, status)
                if not resumed:
                    status.connected(facts)

            session.subscribe(self._config.topic_filters, self._config.qos, granted)
            if resumed:
                status.connected(facts)
            while True:
                messages = await session.take(_MOST_PER_BATCH)
                for batch in self._batches(session, messages):
                    if not batch.only_if_newer:
                        status.counted(sent=batch.rows)
                    await emit(batch)

    async def read(self, topic: str, timeout_s: float = 10.0) -> ReadingBatch:
        """Return the readings of the next message on `topic`, the retained one if there is one.

        Uses a short-lived session beside the collector's own, client id `<client_id>-look`.

        Raises:
            UnreachableError: No message came in `timeout_s`.
            SourceError: As `run`.
        """
        session, _ = await self._open(self._config.client_id + "-look", clean=True)
        async with session:
            session.subscribe((topic,), self._config.qos, self._refuse_all_refused)
            try:
                messages = await asyncio.wait_for(session.take(1), timeout_s)
            except TimeoutError as error:
                raise UnreachableError(
                    f"source {self.name}: no message on {topic} at {self.endpoint} in {timeout_s:g} s: check the topic "
                    "and its sender",
                    source=self.name,
                ) from error
            return next(self._batches(session, messages))

    async def probe(self) -> SourceFacts:
        """Return what a connection (session of its own, nothing subscribed) finds.

        Raises:
            SourceError: As `run`.
        """
        session, _ = await self._open(self._config.client_id + "-look", clean=True)
        async with session:
            certificate = peer_certificate(session.transport.get_extra_info("ssl_object"))
            return SourceFacts(
                source=self.name,
                kind=self.kind,
                endpoint=self.endpoint,
                security=self.security,
                certificate_subject=certificate.subject.rfc4514_string() if certificate else None,
                certificate_expires_at=certificate.not_valid_after_utc if certificate else None,
                details={"mqtt": self._config.broker.protocol, "client_id": self._config.client_id},
            )

    @property
    def security(self) -> str:
        """How the connection is secured, in words."""
        broker = self._config.broker
        tls = "plain TCP" if not broker.tls else "TLS 1.2 or 1.3" if broker.allow_tls_1_2 else "TLS 1.3"
        return f"{tls}, {'user ' + broker.username if broker.username else 'anonymous'}"

    async def _open(self, client_id: str, *, clean: bool) -> tuple[BrokerSession, bool]:
        broker, timeout_s = self._config.broker, self._config.connect_timeout.total_seconds()
        connect = Connect(
            client_id=client_id,
            keepalive_s=max(1, round(broker.keepalive.total_seconds())),
            version=5 if broker.protocol == "5" else 4,
            clean_start=clean,
            username=broker.username,
            password=broker.password.reveal() if broker.password is not None else None,
            session_expiry_s=0 if clean else min(0xFFFF_FFFE, int(self._config.session_expiry.total_seconds())),
            receive_maximum=self._config.receive_maximum,
        )
        files = TlsFiles(
            broker.ca_certificate,
            broker.client_certificate,
            broker.client_key,
            broker.allow_tls_1_2,
            broker.pinned_sha256,
        )
        context = client_context(self.name, files) if broker.tls else None
        try:
            async with asyncio.timeout(timeout_s):
                _, session = await asyncio.get_running_loop().create_connection(
                    lambda: BrokerSession(self.name, self.endpoint, connect.version),
                    broker.host,
                    broker.port,
                    ssl=context,
                )
        except OSError as error:
            raise explain(error, source=self.name, peer=self.endpoint) from error
        try:
            return session, await session.handshake(connect, timeout_s)
        except BaseException:
            await session.close()
            raise

    def _refuse_all_refused(self, granted: dict[str, int]) -> None:
        if all(code >= 0x80 for code in granted.values()):
            first, code = next(iter(granted.items()))
            if code == 0x80:  # what a 3.1.1 broker says for lack of a better word
                raise AuthError(
                    f"source {self.name}: {self.endpoint} refuses the subscription to {first}: have the "
                    "broker's administrator allow it",
                    source=self.name,
                )
            raise reasons.error_of(code, source=self.name, tried=f"subscribing to {first} at {self.endpoint}")

    def _note_refusals(self, granted: dict[str, int], status: StatusSink) -> None:
        self._refuse_all_refused(granted)
        for topic_filter, code in granted.items():
            if code < self._config.qos:
                log.warning(
                    "subscription_downgraded",
                    source=self.name,
                    topic_filter=topic_filter,
                    asked=self._config.qos,
                    granted=code,
                )
            if code < 0x80:
                continue
            for tag in self._config.tags:
                if matches(topic_filter, tag.topic):
                    status.item_failed(
                        tag.sensor_id, f"the broker refuses the subscription to {topic_filter} (reason 0x{code:02x})"
                    )

    def _batches(self, session: BrokerSession, messages: Sequence[Message]) -> Iterator[ReadingBatch]:
        """Yield one batch for each run of retained or fresh messages; nearly always one."""
        received_us = to_micros(self._clock.now())
        for retained, run in itertools.groupby(messages, key=attrgetter("retain")):
            same = list(run)
            decoded = self._decoder.decode(same, received_us)
            yield ReadingBatch(
                self.name,
                readings=decoded.readings,
                rejects=decoded.rejects,
                only_if_newer=retained,
                acknowledge=session.owe(same),
            )
