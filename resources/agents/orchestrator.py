"""The platform's side of the wire: sends what the outbox holds, stores answers and misses, keeps the registry.

At most one process orchestrates at a time, since the persistent session at the broker has one client id: whoever holds
an advisory lock in the database. All others accept into the outbox and wait for the rows to change.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any

import psycopg
import structlog
from pydantic import ValidationError

from resources.agents import outbox
from resources.agents.bus import Arrived, Bus, BusCallbacks
from resources.agents.config import AgentsConfig
from resources.agents.event_listeners import Callback, EventListeners
from resources.agents.event_topics import EventTopics
from resources.agents.events import Events
from resources.agents.guard import guard_of
from resources.agents.judge import Verdict
from resources.agents.message import Message, ResponsePayload
from resources.agents.network import Network
from resources.agents.outgoing import Publication
from resources.agents.pace import Pace
from resources.agents.recorder import Answer, Miss, Recorder, Sent
from resources.agents.refusal_book import forget_refusals
from resources.agents.refusals import RefusedError
from resources.agents.registry_keeper import RegistryKeeper
from resources.agents.release import Release
from resources.agents.schedule import Schedule, Sending
from resources.agents.seen_ids import SeenIds
from resources.agents.tokens import LIFETIME_S, Received
from resources.agents.topics import agent_topic, event_topic
from resources.core.clock import Clock, SystemClock
from resources.core.errors import UnreachableError
from resources.databases.timescale.connection import connect

log = structlog.get_logger(__name__)

_LOCK = 0x474C_4F52_4348
"""First half of the advisory lock's name: the letters GLORCH."""

_PAUSE_S = 0.25
_RETRY_S = 1.0
_OLD_AFTER_S = LIFETIME_S / 2
"""A token that has waited so long for its turn is not sent any more, but signed anew."""

_MOST_TARGETS_KEPT = 10_000
_STATES = {"ok": "answered", "error": "failed", "in_doubt": "in_doubt"}


@dataclass(frozen=True, slots=True)
class _Question:
    """A response whose command is not in memory: its targets are looked up in the database."""

    received: Received
    arrived: Arrived


class Orchestrator:
    """GL-001 on the wire; `try_start` says whether this process is the one."""

    def __init__(self, config: AgentsConfig, *, site: str, database_url: str, clock: Clock | None = None) -> None:
        """Read the keys; nothing is opened yet.

        Raises:
            ConfigError: A key file is missing or wrong.
        """
        self._config = config
        self._site = site
        self._url = database_url
        self._clock = clock or SystemClock()
        guard = guard_of(config, site, self._clock)
        self._judge, self._sealer = guard.judge, guard.sealer
        self._refusals, self._book = guard.refusals, guard.book
        self._schedule = Schedule(self._clock)
        self._recorder = Recorder(database_url)
        self._registry = RegistryKeeper(config, site=site, recorder=self._recorder, clock=self._clock)
        self._seen = SeenIds(self._judge, self._clock)
        self._listeners = EventListeners()
        self._events = Events(EventTopics(config.topics), self._seen, self._recorder, self._listeners)
        self._targets: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._questions: SimpleQueue[_Question] = SimpleQueue()
        self._waiters: dict[str, threading.Event] = {}
        self._sending = threading.Lock()
        self._stopping = threading.Event()
        self._leading = False
        self._network = Network()
        self._bus = Bus(
            config.broker,
            f"gl-{site}-{config.orchestrator_id}",
            [agent_topic(site, "+", "response"), agent_topic(site, "+", "heartbeat"), event_topic(site, "+")],
            BusCallbacks(self._on_message, self._send_due, lambda: None),
            self._network,
            pace=Pace(config.rate_limit),
        )
        self._connection: psycopg.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="agents-orchestrator", daemon=True)

    def try_start(self) -> bool:
        """Begin to orchestrate and return True; False if another process does.

        Everything open is signed anew and sent again.

        Raises:
            UnreachableError, AuthError: The database cannot be reached.
        """
        if not self._take_lead():
            return False
        self._recorder.start()
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
        self._registry.write_scores()
        self._recorder.close()
        self._listeners.close()
        self._network.close()
        if self._connection is not None:
            with contextlib.suppress(psycopg.OperationalError):
                # each refusal is a line of security.log in any case
                self._book.write(self._connection)
        self._leave()

    def discard(self) -> None:
        """Free what a `try_start` that returned False has left."""
        self._network.close()

    def expect(self, message: Message) -> None:
        """Say that this process is about to accept `message` and to `send` it: the notification is then no news."""
        self._remember(message)

    def send(self, message: Message, *, release: Release | None = None) -> None:
        """Send what was just accepted, without waiting for the notification."""
        self._waiters.setdefault(message.message_id, threading.Event())
        targets = [outbox.BROKER] if message.message_type == "event" else message.target_agents
        self._schedule.add(message, dict.fromkeys(targets, 0), release=release)
        self._send_due()

    def withdraw(self, message_id: str) -> None:
        """Send nothing more of a message that was cancelled, and wake who waits for it."""
        self._schedule.withdraw(message_id)
        self._tell_done(message_id)

    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Have `callback` called, in a thread of its own, with each event of `topic`; return what ends that."""
        return self._listeners.subscribe(topic, callback)

    def wait_done(self, message_id: str, timeout_s: float) -> bool:
        """Return whether a message given to `send` came to its end, in the database, in time."""
        waiter = self._waiters.setdefault(message_id, threading.Event())
        done = waiter.wait(timeout_s)
        if done:
            self._waiters.pop(message_id, None)
        return done

    def refused(self) -> dict[str, int]:
        """Return reason -> how many received messages were refused."""
        return self._refusals.counts()

    def _on_message(self, arrived: Arrived) -> None:
        try:
            received = self._judge.who(arrived.payload, arrived.topic)
            kind = received.message.message_type
            take = {"heartbeat": self._on_heartbeat, "event": self._events.take}.get(kind, self._on_response)
            take(received, arrived)
        except RefusedError as refused:
            self._refusals.add(refused, arrived.topic)
            arrived.ack()

    def _on_heartbeat(self, received: Received, arrived: Arrived) -> None:
        if self._judge.verdict(received, None) is Verdict.EXPIRED:
            raise _refused("expired", "the heartbeat came after its expiry", received)
        agent_id, returned = self._registry.heard(received, arrived.ack)
        if returned:
            self._schedule.agent_returned(agent_id)
            self._send_due()

    def _on_response(self, received: Received, arrived: Arrived) -> None:
        message = received.message
        if message.correlation_id is None or self._config.orchestrator_id not in message.target_agents:
            raise _refused("not_a_target", "the response is not addressed to the orchestrator", received)
        try:
            payload = ResponsePayload.model_validate(message.payload)
        except ValidationError as error:
            raise _refused("malformed", "the response's payload is not of the fixed form", received) from error
        targets = self._targets.get(message.correlation_id)
        if targets is None:
            self._questions.put(_Question(received, arrived))
            return
        if message.source_agent not in targets:
            raise _refused("not_a_target", "the sender is not a target of the command it answers", received)
        self._decide(received, payload, arrived)

    def _decide(self, received: Received, payload: ResponsePayload, arrived: Arrived) -> None:
        message = received.message
        verdict = self._seen.verdict(received)
        if verdict is Verdict.REPEATED:
            self._recorder.barrier(arrived.ack)
            return
        if verdict is Verdict.EXPIRED:
            # the agent keeps the answer: it comes again when its command does
            raise _refused("expired", "the response came after its expiry", received)
        seen = self._seen.keep(received)
        assert message.correlation_id is not None
        if payload.status == "expired":
            self._schedule.send_again(message.correlation_id, message.source_agent)
            self._recorder.saw(seen, arrived.ack)
            return
        answer = Answer(
            message.message_id,
            message.correlation_id,
            message.source_agent,
            _STATES[payload.status],
            message.payload,
            self._clock.now(),
            None if payload.error is None else str(payload.error).replace("\0", "")[:1000],
        )
        latency_ms = self._schedule.latency_ms(message.correlation_id, message.source_agent)
        if latency_ms is not None:
            self._registry.answered(message.source_agent, latency_ms, well=answer.state == "answered")
        closed = self._schedule.close(message.correlation_id, message.source_agent, good=answer.state == "answered")
        after = [arrived.ack, *([self._teller(message.correlation_id)] if closed.done else [])]
        self._recorder.answered(answer, seen, done=closed.done, after=after, enough=bool(closed.not_awaited))
        if closed.frees:
            self._send_due()

    def _teller(self, message_id: str) -> Any:
        return lambda: self._tell_done(message_id)

    def _tell_done(self, message_id: str) -> None:
        waiter = self._waiters.get(message_id)
        if waiter is not None:
            waiter.set()

    def _remember(self, message: Message) -> None:
        self._targets[message.message_id] = frozenset(message.target_agents)
        while len(self._targets) > _MOST_TARGETS_KEPT:
            self._targets.popitem(last=False)

    def _send_due(self) -> None:
        if not self._bus.connected:
            return
        with self._sending:
            for sending in self._schedule.take_due():
                self._send(sending)

    def _send(self, sending: Sending) -> None:
        message = sending.message
        if message.message_type == "event":
            topic = event_topic(self._site, message.topic or "")
            self._put(message, outbox.BROKER, topic, self._sealer.token(message))
            return
        for agents, token in self._sealer.tokens(message, sending.agents):
            for agent_id in agents:
                self._put(message, agent_id, agent_topic(self._site, agent_id, "command"), token)

    def _put(self, message: Message, target: str, topic: str, token: bytes) -> None:
        old_at = self._clock.monotonic() + _OLD_AFTER_S
        self._bus.put(
            Publication(
                topic,
                token,
                message.priority,
                on_sent=partial(self._note_sent, message.message_id, target),
                # a broker's quota passes, a wrong access list is put right: again later, until the deadline
                on_refused=partial(self._schedule.send_again, message.message_id, target),
                wanted=partial(self._is_wanted, message.message_id, target, old_at),
            )
        )

    def _is_wanted(self, message_id: str, target: str, old_at: float) -> bool:
        """Return whether a token whose turn has come is still to be sent; one that is too old is signed anew."""
        if not self._schedule.is_open(message_id, target):
            return False
        if self._clock.monotonic() < old_at:
            return True
        self._schedule.send_now(message_id, target)
        return False

    def _note_sent(self, message_id: str, target: str) -> None:
        if target != outbox.BROKER:
            self._recorder.sent(Sent(message_id, target, self._clock.now()))
        elif self._schedule.close(message_id, target).done:
            self._recorder.published(message_id, after=[self._teller(message_id)])

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
                self._turn()
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

    def _turn(self) -> None:
        connection = self._connection
        assert connection is not None
        pause = self._schedule.pause_s(_PAUSE_S)
        # listed first: the generator holds the connection as long as it lives
        for notification in list(connection.notifies(timeout=pause, stop_after=1)):
            if notification.channel == outbox.CANCELLED_CHANNEL:
                self.withdraw(notification.payload)
            elif notification.payload not in self._targets:
                self._take_open(outbox.load_open(connection, self._config.orchestrator_id, notification.payload))
        while not self._questions.empty():
            self._look_up(connection, self._questions.get())
        self._note_missed()
        self._registry.look_around()
        if self._seen.forget(connection):
            forget_refusals(connection, self._clock.now())
        self._book.write(connection)
        self._send_due()

    def _look_up(self, connection: psycopg.Connection, question: _Question) -> None:
        received, arrived = question.received, question.arrived
        assert received.message.correlation_id is not None
        command = outbox.load(connection, received.message.correlation_id)
        try:
            if command is None or command.source_agent != self._config.orchestrator_id:
                raise _refused("not_a_target", "the response answers no command of this orchestrator", received)
            self._remember(command)
            self._on_response(received, arrived)
        except RefusedError as refused:
            self._refusals.add(refused, arrived.topic)
            arrived.ack()

    def _note_missed(self) -> None:
        for overdue in self._schedule.take_overdue():
            message_id = overdue.message.message_id
            if overdue.message.message_type == "event":
                self._recorder.published(message_id, lapsed=True, after=[self._teller(message_id)])
                continue
            for agent_id in overdue.sent:
                self._registry.missed(agent_id)
            misses = [Miss(message_id, agent, self._miss_reason(agent)) for agent in overdue.agents]
            self._recorder.missed(misses, done=[message_id], after=[self._teller(message_id)])

    def _miss_reason(self, agent_id: str) -> str:
        state = self._registry.get(agent_id)
        if state is None:
            return "no answer before the deadline; the agent was never heard of"
        return f"no answer before the deadline; the agent is {state.status}"

    def _take_lead(self) -> bool:
        connection = connect(self._url, autocommit=True)
        name = f"{self._site}/{self._config.orchestrator_id}"
        row = connection.execute(
            "SELECT pg_try_advisory_lock(%s, hashtext(%s))", (_LOCK & 0x7FFF_FFFF, name)
        ).fetchone()
        if row is None or not row[0]:
            connection.close()
            return False
        connection.execute(f"LISTEN {outbox.OUTBOX_CHANNEL}")
        connection.execute(f"LISTEN {outbox.CANCELLED_CHANNEL}")
        self._connection = connection
        self._registry.restore(connection)
        self._seen.restore(connection)
        self._take_open(outbox.load_open(connection, self._config.orchestrator_id))
        self._leading = True
        return True

    def _take_open(self, found: list[outbox.Open]) -> None:
        for item in found:
            self._remember(item.message)
            self._schedule.add(item.message, item.attempts, release=item.release, good=item.good)

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _refused(reason: str, detail: str, received: Received) -> RefusedError:
    return RefusedError(reason, detail, claimed=received.message.source_agent)
