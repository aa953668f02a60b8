"""What an agent does with what arrives: judges it, runs it once and in its turn, answers.

A command is recorded as started, durably, before the broker hears that it arrived; its answer is durable before it is
sent. What a crash left in between is answered `in_doubt` and not run again.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import structlog

from resources.agents.mqtt.bus import Arrived
from resources.agents.sdk.executor import Jobs
from resources.agents.sdk.offers import Offers
from resources.agents.sdk.subscriptions import Subscriptions
from resources.agents.sdk.voice import Voice
from resources.agents.security.judge import SKEW, Judge, Verdict
from resources.agents.security.tokens import Received
from resources.agents.seen_store import Seen, SeenStore
from resources.agents.wire.message import Message
from resources.agents.wire.refusals import Refusals, RefusedError, refused
from resources.core.errors import DataError

log = structlog.get_logger(__name__)

EXPIRED_AGAIN_S = 10.0
"""An expired message is answered with `expired` at most this often."""


class Inbox:
    """The receiving side of one agent."""

    def __init__(
        self, voice: Voice, store: SeenStore, judge: Judge, jobs: Jobs, does: tuple[Offers, Subscriptions]
    ) -> None:
        """Judge by `judge`, remember in `store`, run in `jobs` what the agent `does`, and answer with `voice`."""
        self._voice = voice
        self._store = store
        self._judge = judge
        self._jobs = jobs
        self._offers, self._subscriptions = does
        self._created_at = store.created_at(voice.agent_id)
        self._expired_told: dict[str, float] = {}
        self._telling = threading.Lock()
        self._leaving = False
        self._unasked: list[Message] = []
        self.refusals = Refusals(voice.agent_id)

    def settle_unfinished(self) -> None:
        """Record as in doubt what was begun and not finished when the agent stopped; before it connects."""
        agent_id = self._voice.agent_id
        for seen in self._store.unfinished(agent_id):
            message = seen.command
            if message.message_type == "event":
                log.warning("event_in_doubt", agent=agent_id, topic=message.topic, message_id=message.message_id)
                self._store.finish_unanswered(agent_id, message.message_id)
                continue
            response = self._voice.formatter.response(message, "in_doubt", error="the agent stopped while it ran this")
            self._store.finish(agent_id, response, lambda: None)
            self._unasked.append(response)

    def answer_unasked(self) -> None:
        """Send what `settle_unfinished` has found, once; connected."""
        unasked, self._unasked = self._unasked, []
        for response in unasked:
            self._store.barrier(lambda response=response: self._voice.respond(response))  # type: ignore[misc]

    def leave(self, timeout_s: float) -> bool:
        """Take nothing more and let the handlers end; return whether they did, and their answers are durable."""
        self._leaving = True
        ended = self._jobs.leave(timeout_s)
        durable = threading.Event()
        self._store.barrier(durable.set)
        return durable.wait(timeout_s) and ended

    def take(self, arrived: Arrived) -> None:
        """Do what an arrived message asks for, or refuse it."""
        if self._leaving:
            # not acknowledged: the broker keeps it for the next session
            return
        try:
            received = self._judge.who(arrived.payload, arrived.topic)
            is_event = received.message.message_type == "event"
            (self._subscriptions.refuse_unfit if is_event else self._offers.refuse_unallowed)(received)
            seen = self._store.find(self._voice.agent_id, received.message.message_id)
            verdict = self._judge.verdict(received, seen.content_hash if seen is not None else None)
            if verdict is Verdict.NEW:
                self._begin(received, arrived, self._run_event if is_event else self._run_command)
            elif verdict is Verdict.EXPIRED:
                self._on_expired(received)
                arrived.ack()
            else:
                self._answer_again(seen, arrived)
        except RefusedError as refused:
            self.refusals.add(refused, arrived.topic)
            arrived.ack()

    def _begin(self, received: Received, arrived: Arrived, run: Callable[[Received], None]) -> None:
        message = received.message
        # iat is in whole seconds, so the second in which the store was made is given the benefit of the doubt
        if received.issued_at.timestamp() < math.floor(self._created_at.timestamp()):
            detail = "issued before this agent's store was made: it may have been run already, and forgotten"
            raise refused("issued_before_store", detail, message)
        clock, latest = self._voice.clock, message.deadline
        if clock.now() > latest:
            # taken although its deadline is over here: the two clocks differ, by no more than the skew
            latest += SKEW

        def in_turn() -> None:
            if clock.now() <= latest:
                run(received)
            else:
                self._expire_in_queue(message)

        # only the orchestrator sends again what is open when an agent returns: all else is run before the agent leaves
        comes_again = message.message_type != "event" and received.role == "orchestrator"

        def give_back() -> None:
            self._store.forget(self._voice.agent_id, message.message_id)

        def when_durable() -> None:
            arrived.ack()
            self._jobs.submit(message.priority, in_turn, give_back if comes_again else in_turn)

        self._store.begin(self._voice.agent_id, message, received.content_hash, when_durable)

    def _run_command(self, received: Received) -> None:
        outcome = self._offers.run(received)
        command, voice = received.message, self._voice
        response = voice.formatter.response(command, outcome.status, result=outcome.result, error=outcome.error)
        try:
            token = voice.sign(response)
        except DataError as fault:
            response = voice.formatter.response(command, "error", error=str(fault))
            token = voice.sign(response)
        self._store.finish(voice.agent_id, response, lambda: voice.respond_signed(token, response))

    def _run_event(self, received: Received) -> None:
        self._subscriptions.run(received)
        self._store.finish_unanswered(self._voice.agent_id, received.message.message_id)

    def _answer_again(self, seen: Seen | None, arrived: Arrived) -> None:
        """Send the stored answer once more; while the handler still runs there is none, and nothing is sent."""
        response = seen.response if seen is not None else None

        def when_durable() -> None:
            if response is not None:
                self._voice.respond(response)
            arrived.ack()

        self._store.barrier(when_durable)

    def _on_expired(self, received: Received) -> None:
        message = received.message
        if message.message_type == "event":
            raise refused("expired", "the event came after its expiry", message)
        self._answer_expired(message, "the message came after its expiry")

    def _expire_in_queue(self, message: Message) -> None:
        """Do not act on what had to wait here until its deadline was over, and do not keep its id."""
        agent_id = self._voice.agent_id
        log.warning("expired_in_queue", agent=agent_id, type=message.message_type, message_id=message.message_id)

        def when_durable() -> None:
            if message.message_type != "event":
                self._answer_expired(message, "the deadline passed while this waited for its turn in the agent")

        self._store.forget(agent_id, message.message_id, when_durable)

    def _answer_expired(self, message: Message, error: str) -> None:
        now = self._voice.clock.monotonic()
        with self._telling:
            if now - self._expired_told.get(message.message_id, -math.inf) < EXPIRED_AGAIN_S:
                return
            self._expired_told = {k: at for k, at in self._expired_told.items() if now - at < EXPIRED_AGAIN_S}
            self._expired_told[message.message_id] = now
        self._voice.respond(self._voice.formatter.response(message, "expired", error=error))
