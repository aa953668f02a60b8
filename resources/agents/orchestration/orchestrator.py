"""The platform's side of the wire: sends what the outbox holds, stores answers and misses, keeps the registry.

At most one process orchestrates at a time, since the persistent session at the broker has one client id: whoever holds
an advisory lock in the database. All others accept into the outbox and wait for the rows to change.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import psycopg
import structlog

from resources.agents.config import AgentsConfig
from resources.agents.event_topics import EventTopics
from resources.agents.mqtt.bus import Arrived, Bus, BusCallbacks
from resources.agents.mqtt.network import Network
from resources.agents.mqtt.pace import Pace
from resources.agents.orchestration.answers import Answers
from resources.agents.orchestration.desk import Desk
from resources.agents.orchestration.dispatcher import Dispatcher
from resources.agents.orchestration.event_listeners import Callback, EventListeners
from resources.agents.orchestration.events import Events
from resources.agents.orchestration.guard import guard_of
from resources.agents.orchestration.registry_keeper import RegistryKeeper
from resources.agents.orchestration.schedule import Overdue, Schedule
from resources.agents.record import outbox
from resources.agents.record.entries import Miss
from resources.agents.record.recorder import Recorder
from resources.agents.record.refusal_book import forget_refusals
from resources.agents.record.release import Release
from resources.agents.record.seen_ids import SeenIds
from resources.agents.security.judge import Verdict
from resources.agents.security.tokens import Received
from resources.agents.wire.message import Message
from resources.agents.wire.refusals import RefusedError, refused
from resources.agents.wire.topics import agent_topic, event_topic
from resources.core.clock import Clock, SystemClock
from resources.core.errors import UnreachableError
from resources.databases.timescale.connection import connect

log = structlog.get_logger(__name__)

_LOCK = 0x474C_4F52_4348
"""First half of the advisory lock's name: the letters GLORCH."""

_PAUSE_S = 0.25
_RETRY_S = 1.0
_NOT_SENT = (
    "not sent before the deadline: its turn did not come, agents.rate_limit held it back, "
    "or the broker was away or refused it"
)


class Orchestrator:
    """GL-001 on the wire; `try_start` says whether this process is the one."""

    def __init__(
        self,
        config: AgentsConfig,
        *,
        site: str,
        database_url: str,
        clock: Clock | None = None,
        listeners: EventListeners | None = None,
    ) -> None:
        """Read the keys; nothing is opened yet. `listeners` that are given outlive this orchestrator.

        Raises:
            ConfigError: A key file is missing or wrong.
        """
        self._config = config
        self._site = site
        self._url = database_url
        self._clock = clock or SystemClock()
        guard = guard_of(config, site, self._clock)
        self._judge, self._refusals, self._book = guard.judge, guard.refusals, guard.book
        recorder = Recorder(database_url)
        self._desk = Desk(
            config.orchestrator_id,
            site,
            self._clock,
            Schedule(self._clock),
            recorder,
            RegistryKeeper(config, site=site, recorder=recorder, clock=self._clock),
            SeenIds(guard.judge, self._clock),
        )
        self._listeners = listeners or EventListeners()
        self._owns_listeners = listeners is None
        self._events = Events(EventTopics(config.topics), self._desk.seen, recorder, self._listeners)
        self._stopping = threading.Event()
        self._leading = False
        self._network = Network()
        self._bus = Bus(
            config.broker,
            f"gl-{site}-{config.orchestrator_id}",
            [agent_topic(site, "+", "response"), agent_topic(site, "+", "heartbeat"), event_topic(site, "+")],
            BusCallbacks(self._on_message, self._on_connected, lambda: None),
            self._network,
            pace=Pace(config.rate_limit),
        )
        self._dispatcher = Dispatcher(self._desk, self._bus, guard.sealer)
        self._answers = Answers(self._desk, self._dispatcher.send_due)
        self._connection: psycopg.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="agents-orchestrator", daemon=True)

    def try_start(self) -> bool:
        """Begin to orchestrate and return True; False if another process does.

        Everything open is signed anew and sent again.

        Raises:
            UnreachableError, AuthError: The database cannot be reached. Nothing is held then; `discard` frees the rest.
        """
        if not self._take_lead():
            return False
        self._desk.recorder.start()
        self._bus.start()
        self._thread.start()
        return True

    @property
    def leading(self) -> bool:
        """Whether this process orchestrates; false again after another one took over."""
        return self._leading

    def wait_connected(self, timeout_s: float = 30.0) -> None:
        """Return when the broker is connected; UnreachableError if that takes longer."""
        self._bus.wait_connected(timeout_s)

    def stop(self) -> None:
        """Disconnect, write what is there and give up the lead. What is open stays in the outbox."""
        self._stopping.set()
        self._bus.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._desk.registry.write_scores()
        self._desk.recorder.close()
        if self._owns_listeners:
            self._listeners.close()
        self._network.close()
        if self._connection is not None:
            with contextlib.suppress(psycopg.OperationalError):
                # each refusal is a line of security.log in any case
                self._book.write(self._connection)
        self._leave()

    def discard(self) -> None:
        """Free what a `try_start` that returned False, or raised, has left."""
        self._network.close()

    def expect(self, message: Message) -> None:
        """Say that this process is about to accept `message` and to `send` it: the notification is then no news."""
        self._answers.expect(message)

    def send(self, message: Message, *, release: Release | None = None) -> None:
        """Send what was just accepted, without waiting for the notification."""
        targets = [outbox.BROKER] if message.message_type == "event" else message.target_agents
        self._desk.schedule.add(message, dict.fromkeys(targets, 0), release=release)
        self._dispatcher.send_due()

    def withdraw(self, message_id: str) -> None:
        """Send nothing more of a message that was cancelled, and wake who waits for it."""
        self._desk.schedule.withdraw(message_id)
        self._desk.ended.tell(message_id)

    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Have `callback` called, in a thread of its own, with each event of `topic`; return what ends that."""
        return self._listeners.subscribe(topic, callback)

    def wait_done(self, message_id: str, timeout_s: float) -> bool:
        """Return whether a message came to its end here, and that is in the database, in time."""
        return self._desk.ended.wait(message_id, timeout_s)

    def refused(self) -> dict[str, int]:
        """Return reason -> how many received messages were refused."""
        return self._refusals.counts()

    def _on_message(self, arrived: Arrived) -> None:
        try:
            received = self._judge.who(arrived.payload, arrived.topic)
            kind = received.message.message_type
            if kind == "response" and self._is_for_an_alarm(received.message):
                # the collector that sent the alarm's command hears it on the same topic
                arrived.ack()
                return
            take = {"heartbeat": self._on_heartbeat, "event": self._events.take}.get(kind, self._answers.take)
            take(received, arrived)
        except RefusedError as refused:
            if self._judge.role_of(refused.sealed_for) == "alarm":
                # the same, encrypted
                arrived.ack()
            else:
                self._refuse(refused, arrived)

    def _is_for_an_alarm(self, message: Message) -> bool:
        return len(message.target_agents) == 1 and self._judge.role_of(message.target_agents[0]) == "alarm"

    def _refuse(self, refused: RefusedError, arrived: Arrived) -> None:
        self._refusals.add(refused, arrived.topic)
        arrived.ack()

    def _on_connected(self) -> None:
        if self._bus.session_lost:
            self._desk.schedule.everyone_returned()
        self._dispatcher.send_due()

    def _on_heartbeat(self, received: Received, arrived: Arrived) -> None:
        if self._judge.verdict(received, None) is Verdict.EXPIRED:
            raise refused("expired", "the heartbeat came after its expiry", received.message)
        agent_id, returned = self._desk.registry.heard(received, arrived.ack)
        if returned:
            self._desk.schedule.agent_returned(agent_id)
            self._dispatcher.send_due()

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            try:
                if self._connection is None and not self._take_lead():
                    log.error("orchestrator_replaced", site=self._site)
                    break
                if failures:
                    log.info("orchestrator_database_back", failures=failures)
                    failures = 0
                self._guarded_turn()
            except (psycopg.OperationalError, UnreachableError) as error:
                failures += 1
                say = log.warning if failures == 1 else log.debug
                say("orchestrator_database_lost", error=str(error).strip())
                self._leave()
                self._stopping.wait(_RETRY_S)
        self._leading = False
        if not self._stopping.is_set():
            # two sessions of one client id would throw each other out for ever
            self._bus.stop()

    def _guarded_turn(self) -> None:
        try:
            self._turn()
        except (psycopg.OperationalError, UnreachableError):
            raise
        except Exception:
            # the lead is held as long as this process lives: a fault must not leave it held by nobody at work
            log.exception("orchestrator_turn_failed")
            self._stopping.wait(_RETRY_S)

    def _turn(self) -> None:
        connection = self._connection
        assert connection is not None
        # without a connection what is due stays due: to look again at once would be a busy loop
        pause = self._desk.schedule.pause_s(_PAUSE_S) if self._bus.connected else _PAUSE_S
        # listed first: the generator holds the connection as long as it lives
        for notification in list(connection.notifies(timeout=pause, stop_after=1)):
            if notification.channel == outbox.CANCELLED_CHANNEL:
                self.withdraw(notification.payload)
            elif not self._answers.knows(notification.payload):
                self._take_open(outbox.load_open(connection, self._config.orchestrator_id, notification.payload))
        self._answers.look_up(connection, self._refuse)
        for overdue in self._desk.schedule.take_overdue():
            self._note_overdue(overdue)
        self._desk.registry.look_around(connected=self._bus.connected)
        if self._desk.seen.forget(connection):
            forget_refusals(connection, self._clock.now())
        self._book.write(connection)
        self._dispatcher.send_due()

    def _note_overdue(self, overdue: Overdue) -> None:
        desk, message_id = self._desk, overdue.message.message_id
        after = [desk.ended.teller(message_id)]
        if overdue.message.message_type == "event":
            desk.recorder.published(message_id, lapsed=True, after=after)
            return
        for agent_id in overdue.sent:
            desk.registry.missed(agent_id)
        reasons = {agent: self._miss_reason(agent) if agent in overdue.sent else _NOT_SENT for agent in overdue.agents}
        misses = [Miss(message_id, agent, reason) for agent, reason in reasons.items()]
        desk.recorder.missed(misses, done=[message_id], after=after)

    def _miss_reason(self, agent_id: str) -> str:
        state = self._desk.registry.get(agent_id)
        if state is None:
            return "no answer before the deadline; the agent was never heard of"
        return f"no answer before the deadline; the agent is {state.status}"

    def _take_lead(self) -> bool:
        connection = connect(self._url, autocommit=True)
        try:
            leads = self._lock(connection)
            if leads:
                self._catch_up(connection)
                self._connection, self._leading = connection, True
        finally:
            if self._connection is not connection:
                # left open after a fault it would hold the lock, and nobody could orchestrate
                connection.close()
        return leads

    def _lock(self, connection: psycopg.Connection) -> bool:
        name = f"{self._site}/{self._config.orchestrator_id}"
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK & 0x7FFF_FFFF, name)
        ).fetchone()
        return row is not None and bool(row[0])

    def _catch_up(self, connection: psycopg.Connection) -> None:
        """Listen, and take over what is in the database."""
        connection.execute(f"LISTEN {outbox.OUTBOX_CHANNEL}")
        connection.execute(f"LISTEN {outbox.CANCELLED_CHANNEL}")
        self._desk.registry.restore(connection)
        self._desk.seen.restore(connection)
        # what was cancelled while nobody listened; a message comes here only once its row is there
        scheduled = self._desk.schedule.open_ids()
        for message_id in scheduled - outbox.still_open(connection, scheduled):
            self.withdraw(message_id)
        self._take_open(outbox.load_open(connection, self._config.orchestrator_id))

    def _take_open(self, found: list[outbox.Open]) -> None:
        for item in found:
            self._answers.expect(item.message)
            self._desk.schedule.add(item.message, item.attempts, release=item.release, good=item.good)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
