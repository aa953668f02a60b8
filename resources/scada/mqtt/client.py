"""The MQTT connector: subscribes with a persistent session, and acknowledges a message once it is durable.

Messages that arrive in one turn of the event loop become one batch; while the driver holds back, batches grow, and
then the socket is no longer read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from resources.core.clock import Clock, SystemClock, to_micros
from resources.core.errors import ProtocolError, SourceError, UnreachableError
from resources.core.readings import ReadingBatch
from resources.core.tags import SensorCatalog
from resources.scada.connector import Address, Emit, FoundItem, Health, SourceFacts, StatusSink
from resources.scada.endpoints import parse_address
from resources.scada.mqtt.config import MqttConfig
from resources.scada.mqtt.errands import Errands
from resources.scada.mqtt.grants import Grants, note_refusals, refuse_all_refused
from resources.scada.mqtt.link import reasons
from resources.scada.mqtt.link.dialing import Caller, Dialer, endpoint_of
from resources.scada.mqtt.link.journal import Journal
from resources.scada.mqtt.link.receipts import Receipts, Run
from resources.scada.mqtt.link.session import BrokerSession
from resources.scada.mqtt.payloads import Outgoing, PayloadDecoder, UnreadError
from resources.scada.tls import certificate_facts, peer_certificate
from resources.transport.trust.pinning import fingerprint

_MOST_PER_BATCH = 5_000
"""Messages decoded in one go: more would hold the event loop for longer than a tenth of a second."""

DISCOVERY_S = 10.0
"""How long `discover` listens."""

TAKEN = "qos_2_taken"
"""The source's counter of QoS 2 messages taken (see `journal`)."""


class MqttClient:
    """Reads one broker; kept between connections (see `resources.scada.connector`)."""

    kind = "mqtt"

    def __init__(self, name: str, config: MqttConfig, catalog: SensorCatalog, clock: Clock | None = None) -> None:
        """Prepare to read `config`; sensors are numbered by `catalog`."""
        self.name = name
        self._config = config
        self._clock = clock or SystemClock()
        self._decoder = _decoder(name, config, catalog, self._clock)
        self._dialer = Dialer(name, config)
        self._errands = Errands(name, config, self._dialer, self._clock)
        self._broker = config.broker
        self._addresses = (Address(config.broker.host, config.broker.port), *map(parse_address, config.other_endpoints))
        self._receipts: dict[Address, Receipts] = {}
        """Broker -> what the session there has left from its last connection."""
        self._state: Path | None = None
        self._taken = 0
        """QoS 2 messages ever taken: a durable counter of the source."""
        self._reading: BrokerSession | None = None
        """The session that `run` reads by, or has read by: a closed one says so when it is asked."""

    @property
    def endpoint(self) -> str:
        """The broker that the next connection goes to."""
        return endpoint_of(self._broker)

    @property
    def security(self) -> str:
        """How the connection is secured, in words."""
        broker = self._broker
        tls = "plain TCP" if not broker.tls else "TLS 1.2 or 1.3" if broker.allow_tls_1_2 else "TLS 1.3"
        return f"{tls}, {'user ' + broker.username if broker.username else 'anonymous'}"

    def addresses(self) -> Sequence[Address]:
        """Return where the broker, or those that stand in for it, are."""
        return self._addresses

    def use(self, position: int) -> None:
        """Let the next connection go to that broker."""
        host, port = self._addresses[position].host, self._addresses[position].port
        self._broker = self._broker.model_copy(update={"host": host, "port": port})

    def keep_state_in(self, folder: Path) -> None:
        """Keep in `folder` what must outlive the process; see `resources.scada.connector.KeepsState`."""
        self._state = folder
        self._decoder.keep_state_in(folder)

    def recall(self, counts: Mapping[str, int]) -> None:
        """Go on from the source's durable counters; see `resources.scada.connector.RecallsCounts`."""
        self._taken = counts.get(TAKEN, 0)

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
        opening = self._decoder.opening()
        receipts = self._receipts_there()
        caller = Caller(self._config.client_id, opening.clean, opening.will, receipts)
        session, broker = await self._dialer.open(caller, self._broker)
        async with session:
            self._reading = session
            facts = self._facts(session, resumed=broker.resumed)

            def granted(grants: Grants) -> None:
                refuse_all_refused(grants, source=self.name, peer=self.endpoint)
                note_refusals(grants, self._config.tags, status, source=self.name)
                if not broker.resumed:
                    status.connected(facts)
                    self._decoder.connected(session, status)

            session.subscribe(opening.subscriptions, granted)
            if broker.resumed:
                # it is subscribed already; its grant comes behind all that the broker has kept
                status.connected(facts)
                self._decoder.connected(session, status)
            try:
                while True:
                    messages = await session.take(_MOST_PER_BATCH, self._decoder.due_in_s())
                    run = session.accept(messages)
                    try:
                        if run.second:
                            await asyncio.to_thread(receipts.note, run.second, self._taken + 1)
                        await self._hand_on(run, emit, status)
                    finally:
                        run.abandon_unless_taken()
            except asyncio.CancelledError:
                for message in self._decoder.closing():
                    session.publish(message, _unheard)
                raise
            finally:
                self._decoder.lost()

    async def _hand_on(self, run: Run, emit: Emit, status: StatusSink) -> None:
        """Emit what comes of `run`; it is acknowledged when all of it is durable."""
        decoded = self._decoder.decode(run.fresh, to_micros(self._clock.now()))
        parts = [part for part in decoded if part.rows]
        acknowledge = _after(len(parts), run.durable) if run.owes else None
        for number, part in enumerate(parts, 1):
            batch = ReadingBatch(self.name, part.readings, part.texts, part.rejects, part.only_if_newer, acknowledge)
            if not batch.only_if_newer:
                status.counted(sent=batch.rows)
            if number == len(parts):
                # a driver takes what it is given, even while it is cancelled
                self._taken_over(run, status)
            await emit(batch)
        if not parts:
            self._taken_over(run, status)
            run.durable()

    def _taken_over(self, run: Run, status: StatusSink) -> None:
        """Note that nothing of `run` is left; its QoS 2 messages are known as taken once its last part is durable."""
        run.taken = True
        if run.second:
            self._taken += len(run.second)
            status.counted(**{TAKEN: len(run.second)})

    def _receipts_there(self) -> Receipts:
        if not self._receipts:
            # all at once: what a journal lists is judged by the counter as it was when the process began
            self._receipts = {address: Receipts(self._journal(address)) for address in self._addresses}
        return self._receipts[Address(self._broker.host, self._broker.port)]

    def _journal(self, address: Address) -> Journal | None:
        if self._state is None or not any((each.qos or self._config.qos) == 2 for each in self._config.topic_filters):
            return None
        name = re.sub(r"[^A-Za-z0-9.]", "_", f"{address.host}_{address.port}")
        return Journal(self._state / f"qos2_{name}.journal", self._taken)

    async def read(self, sensor_ids: Iterable[str] | None = None, timeout_s: float = 10.0) -> ReadingBatch:
        """Return the present values of some sensors: what the broker has retained, or the next message.

        Uses a short-lived session beside the collector's own, client id `<client_id>-look-...`. A sensor that says
        nothing in `timeout_s` has no row.

        Raises:
            UnreachableError: No sensor said anything in `timeout_s`.
            KeyError: A sensor is not one of this source.
            SourceError: As `run`.
        """
        wanted = [tag.sensor_id for tag in self._config.tags] if sensor_ids is None else list(sensor_ids)
        found = await self._errands.look(self._broker, self._decoder.reader(wanted), timeout_s)
        if found is None:
            topics = sorted({tag.topic for tag in self._config.tags if tag.sensor_id in wanted and tag.topic})
            where = ", ".join(topics[:5]) or ", ".join(wanted[:5])
            raise UnreachableError(
                f"source {self.name}: no message on {where} at {self.endpoint} in {timeout_s:g} s: check the topic "
                "and its sender",
                source=self.name,
            )
        return found

    async def discover(self, seconds: float = DISCOVERY_S) -> Sequence[FoundItem]:
        """Return what the topic filters bring in `seconds`, retained messages included; see `CanDiscover`."""
        return await self._errands.look(self._broker, self._decoder.explorer(), seconds) or ()

    async def publish(self, topic: str, payload: bytes, qos: int = 1, retain: bool = False) -> int:
        """Publish over a connection of its own; return the reason code (0; 0x10: nobody has subscribed the topic).

        Returns when the broker has taken the message over (QoS 1 and 2).

        Raises:
            ProtocolError: The broker refuses the message.
            SourceError: As `run`.
        """
        return await self._errands.publish(self._broker, Outgoing(topic, payload, qos, retain))

    async def write(self, sensor_id: str, value: float | str) -> None:
        """Publish an engineering value on a tag's command topic; see `resources.scada.connector.CanWrite`.

        Raises:
            ProtocolError: The tag takes no commands, the broker refuses, or nobody listens there.
            SourceError: As `run`.
        """
        try:
            message = self._decoder.command(sensor_id, value)
        except UnreadError:
            await self.read([sensor_id])
            message = self._decoder.command(sensor_id, value)
        code = await self.publish(message.topic, message.payload, message.qos, message.retain)
        if code == reasons.NO_MATCHING_SUBSCRIBERS and not message.retain:
            raise ProtocolError(
                f"source {self.name}: writing {sensor_id}: nobody has subscribed {message.topic} at {self.endpoint}, "
                "so no device took the value: check command_topic and the device",
                source=self.name,
            )

    async def probe(self) -> SourceFacts:
        """Return what a connection (session of its own, nothing subscribed) finds.

        Raises:
            SourceError: As `run`.
        """
        session = await self._errands.session(self._broker, "look")
        async with session:
            certificate = peer_certificate(session.transport.get_extra_info("ssl_object"))
            return SourceFacts(
                source=self.name,
                kind=self.kind,
                endpoint=self.endpoint,
                security=self.security,
                certificate_subject=certificate.subject.rfc4514_string() if certificate else None,
                certificate_expires_at=certificate.not_valid_after_utc if certificate else None,
                certificate_sha256=fingerprint(certificate) if certificate else None,
                details={"mqtt": _spoken(session), "client_id": self._config.client_id},
            )

    def _facts(self, session: BrokerSession, *, resumed: bool) -> dict[str, str]:
        certificate = peer_certificate(session.transport.get_extra_info("ssl_object"))
        return {
            "endpoint": self.endpoint,
            "security": self.security,
            "session": "resumed" if resumed else "new",
            "mqtt": _spoken(session),
        } | certificate_facts(certificate)


def _decoder(name: str, config: MqttConfig, catalog: SensorCatalog, clock: Clock) -> PayloadDecoder:
    if config.payload == "sparkplug_b":
        from resources.scada.mqtt.sparkplug.decoder import SparkplugDecoder

        return SparkplugDecoder(name, config, catalog, clock)
    from resources.scada.mqtt.forms.tag_decoder import TagDecoder

    return TagDecoder(name, config, catalog, clock)


def _unheard(_: int | SourceError) -> None:
    """Do not wait for what becomes of a farewell: the connection is closed behind it."""


def _spoken(session: BrokerSession) -> str:
    return "5" if session.version == 5 else "3.1.1"


def _after(parts: int, durable: Callable[[], None]) -> Callable[[], None]:
    """Return what calls `durable` when it has been called itself `parts` times."""
    left = parts

    def one_more() -> None:
        nonlocal left
        left -= 1
        if not left:
            durable()

    return one_more
