"""The orchestrator's inbox for responses: who may answer, what an answer decides, and what is asked of the database."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from queue import PriorityQueue

import psycopg

from resources.agents.mqtt.bus import Arrived
from resources.agents.orchestration.desk import Desk
from resources.agents.record import outbox
from resources.agents.record.entries import Answer
from resources.agents.security.judge import Verdict, response_of
from resources.agents.security.tokens import Received
from resources.agents.wire.message import URGENCY, Message, ResponsePayload
from resources.agents.wire.refusals import RefusedError, refused
from resources.core.errors import DataError

_MOST_TARGETS_KEPT = 10_000
_STATES = {"ok": "answered", "error": "failed", "in_doubt": "in_doubt"}


class Answers:
    """Takes the responses of agents; `look_up` is for the orchestrator's thread, the rest for any."""

    def __init__(self, desk: Desk, send_due: Callable[[], None]) -> None:
        """Call `send_due` when an answer has made room for the next target."""
        self._desk = desk
        self._send_due = send_due
        self._targets: OrderedDict[str, frozenset[str]] = OrderedDict()
        self._numbers = itertools.count()
        self._questions: PriorityQueue[tuple[int, int, Received, Arrived]] = PriorityQueue()
        """Responses whose command is not in memory, the most urgent first."""

    def knows(self, message_id: str) -> bool:
        """Return whether the targets of a message are in memory."""
        return message_id in self._targets

    def expect(self, message: Message) -> None:
        """Keep who may answer a message."""
        self._targets[message.message_id] = frozenset(message.target_agents)
        while len(self._targets) > _MOST_TARGETS_KEPT:
            self._targets.popitem(last=False)

    def take(self, received: Received, arrived: Arrived) -> None:
        """Store a response and acknowledge it once it is durable; one whose command is not in memory waits.

        Raises:
            RefusedError: It is not of the fixed form, of nobody who was asked, forged or expired.
        """
        message = received.message
        if message.correlation_id is None or self._desk.orchestrator_id not in message.target_agents:
            raise refused("not_a_target", "the response is not addressed to the orchestrator", received.message)
        payload = response_of(message)
        targets = self._targets.get(message.correlation_id)
        if targets is None:
            self._questions.put((URGENCY[message.priority], next(self._numbers), received, arrived))
            return
        if message.source_agent not in targets:
            raise refused("not_a_target", "the sender is not a target of the command it answers", received.message)
        self._decide(received, payload, arrived)

    def look_up(self, connection: psycopg.Connection, refuse: Callable[[RefusedError, Arrived], None]) -> None:
        """Take the responses that wait for the database to say who was asked; `refuse` gets what may not be."""
        while not self._questions.empty():
            _, _, received, arrived = self._questions.get()
            try:
                self._expect_stored(connection, received)
                self.take(received, arrived)
            except RefusedError as refused:
                refuse(refused, arrived)

    def _expect_stored(self, connection: psycopg.Connection, received: Received) -> None:
        assert received.message.correlation_id is not None
        try:
            command = outbox.load(connection, received.message.correlation_id)
        except DataError as error:
            raise refused(
                "not_a_target", "the row of the command it answers cannot be read", received.message
            ) from error
        if command is None or command.source_agent != self._desk.orchestrator_id:
            raise refused("not_a_target", "the response answers no command of this orchestrator", received.message)
        self.expect(command)

    def _decide(self, received: Received, payload: ResponsePayload, arrived: Arrived) -> None:
        desk, message = self._desk, received.message
        verdict = desk.seen.verdict(received)
        if verdict is Verdict.REPEATED:
            desk.recorder.barrier(arrived.ack)
            return
        if verdict is Verdict.EXPIRED:
            # the agent keeps the answer: it comes again when its command does
            raise refused("expired", "the response came after its expiry", received.message)
        seen = desk.seen.keep(received)
        assert message.correlation_id is not None
        if payload.status == "expired":
            desk.schedule.send_again(message.correlation_id, message.source_agent)
            desk.recorder.saw(seen, arrived.ack)
            return
        answer = Answer(
            message.message_id,
            message.correlation_id,
            message.source_agent,
            _STATES[payload.status],
            message.payload,
            desk.clock.now(),
            None if payload.error is None else str(payload.error).replace("\0", "")[:1000],
        )
        well = answer.state == "answered"
        latency_ms = desk.schedule.latency_ms(answer.correlation_id, answer.agent_id)
        if latency_ms is not None:
            desk.registry.answered(answer.agent_id, latency_ms, well=well)
        closed = desk.schedule.close(answer.correlation_id, answer.agent_id, good=well)
        after = [arrived.ack, *([desk.ended.teller(answer.correlation_id)] if closed.done else [])]
        desk.recorder.answered(answer, seen, done=closed.done, after=after, enough=bool(closed.not_awaited))
        if closed.frees:
            self._send_due()
