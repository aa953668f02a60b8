"""One command to many agents: planned, accepted, sent, and what came of it.

The process that broadcasts orchestrates for that time, or leaves it to the one that already does; either way the
outcome is read from the tables, so it is the same for both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import Self, cast

import psycopg
from pydantic import ValidationError

from resources.agents.config import AgentsConfig
from resources.agents.event_topics import EventTopics
from resources.agents.members.directory import Directory
from resources.agents.orchestration.event_listeners import Callback, EventListeners
from resources.agents.orchestration.events import EventRequest, Published
from resources.agents.orchestration.guard import sending_rules
from resources.agents.orchestration.orchestrator import Orchestrator
from resources.agents.planner import Planner
from resources.agents.record import outbox
from resources.agents.record.release import Release
from resources.agents.requests import Command, Outcome, OutcomeStatus, Request, Result, Skipped
from resources.agents.security.sealing import SendingRules
from resources.agents.wire.declared_commands import refuse_unfit
from resources.agents.wire.message import Formatter, Message
from resources.core.clock import Clock, SystemClock
from resources.core.errors import DataError
from resources.databases.timescale.connection import connect

_TAKE_OVER_S = 1.0
"""How often a process that waits for another's orchestrator looks whether it has to take over."""

_RESULTS = """
SELECT d.agent_id, d.state, d.attempts, d.reason, r.payload->'result', r.latency_ms, d.answered_at, a.performance_score
FROM agents.deliveries d
LEFT JOIN agents.responses r ON r.correlation_id = d.message_id AND r.agent_id = d.agent_id
LEFT JOIN agents.registry a ON a.agent_id = d.agent_id
WHERE d.message_id = %s ORDER BY d.agent_id
"""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A request that is on its way, or was before."""

    message: Message
    repeated: bool
    release: Release
    skipped: tuple[Skipped, ...] = ()


class Broadcaster:
    """Sends commands as the orchestrator; a context manager, for one thread (`cancel` is for any)."""

    def __init__(self, config: AgentsConfig, *, site: str, database_url: str, clock: Clock | None = None) -> None:
        """Prepare; nothing is opened yet."""
        self._config = config
        self._site = site
        self._url = database_url
        self._clock = clock or SystemClock()
        self._formatter = Formatter(config.orchestrator_id, self._clock)
        self._topics = EventTopics(config.topics)
        self._listeners = EventListeners()
        self._planner = Planner(config.targets, config.circuits, self._open_directory)
        self._connection: psycopg.Connection | None = None
        self._orchestrator: Orchestrator | None = None
        self._directory: Directory | None = None
        self._rules: SendingRules | None = None
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        """Connect to the database, and orchestrate if nobody else does."""
        with ExitStack() as on_fault:
            on_fault.callback(self._close)
            self._connection = connect(self._url, autocommit=True)
            self._connection.execute(f"LISTEN {outbox.DONE_CHANNEL}")
            self._rules = sending_rules(self._config)
            self._take_over()
            on_fault.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close everything; what is still open stays in the outbox."""
        self._close()

    def _close(self) -> None:
        self._opened.close()
        self._directory = None
        if self._orchestrator is not None:
            self._orchestrator.stop()
            self._orchestrator = None
        self._listeners.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def orchestrating(self) -> bool:
        """Whether this process is the one that talks to the broker."""
        return self._orchestrator is not None and self._orchestrator.leading

    def run(self, request: Request) -> Outcome:
        """Choose the agents, send them the command, and return when it is done: what each of them said.

        A command whose id was accepted before goes to the agents that were chosen then: nothing is chosen anew, and
        nothing is executed twice.

        Raises:
            DataError: Nobody is left to send it to, or the request or the command can't be accepted.
            UnreachableError: The directory of agents is too old, and the database does not answer.
        """
        if request.dry_run:
            return self._dry_run(request)
        sent = self._find_repeated(request.command) or self._accept_planned(request)
        message_id = sent.message.message_id
        status = self._wait_done(message_id, request.wait_s, known=sent.repeated)
        return self._outcome(sent, status)

    def accept(self, command: Command) -> outbox.Accepted:
        """Put a command into the outbox and have it sent to all its targets at once; from here on it survives a crash.

        Raises:
            DataError: The command can't be stored, its arguments do not fit, or its id was used for another one.
        """
        self._refuse_unfit(command)
        return self._send(*self._store(command, None))

    def broadcast(self, command: Command) -> Outcome:
        """Send a command to all its targets at once; return when every one has answered or the deadline has passed.

        Raises:
            DataError: As `accept`.
        """
        accepted = self.accept(command)
        status = self._wait_done(accepted.message.message_id, known=accepted.repeated)
        return self._outcome(_Sent(accepted.message, accepted.repeated, Release()), status)

    def publish(self, event: EventRequest, *, wait_s: float | None = None) -> Published:
        """Put an event into the outbox, and return when the broker has it, its deadline or `wait_s` has passed.

        From here on it survives a crash: this process or the next one publishes it.

        Raises:
            DataError: There is no such topic, the payload does not fit it, or the event can't be stored.
        """
        make = partial(self._formatter.event, event.topic, event.payload, correlation_id=event.correlation_id)
        message = _made(
            f"event on {event.topic}",
            lambda: make(timeout_s=event.timeout_s, priority=event.priority, message_id=event.message_id),
        )
        self._topics.refuse_sending(message)
        accepted = self._send(*self._store_message(message, None))
        status = self._wait_done(message.message_id, wait_s, known=accepted.repeated)
        return Published(accepted.message, accepted.repeated, status)

    def subscribe(self, topic: str, callback: Callback) -> Callable[[], None]:
        """Have `callback` called with each event of `topic` while this process orchestrates; return what ends that.

        While another process does, that one receives the events: it stores them and notifies EVENT_CHANNEL of each.
        """
        return self._listeners.subscribe(topic, callback)

    def cancel(self, message_id: str) -> bool:
        """Withdraw a command: nothing more is sent of it, and whoever waits for it returns; False if it had ended.

        What the broker has taken over already may still be run; an answer that comes is stored.
        """
        with connect(self._url, autocommit=True) as connection:
            return outbox.cancel(connection, self._config.orchestrator_id, message_id)

    def results(self, message_id: str) -> tuple[Result, ...]:
        """Return what became of a command so far, by agent id."""
        return tuple(Result(*row) for row in self._database.execute(_RESULTS, (message_id,)))

    @property
    def _database(self) -> psycopg.Connection:
        assert self._connection is not None
        return self._connection

    @property
    def _sending(self) -> SendingRules:
        assert self._rules is not None
        return self._rules

    def _open_directory(self) -> Directory:
        if self._directory is None:
            self._directory = self._opened.enter_context(Directory(self._url))
        return self._directory

    def _dry_run(self, request: Request) -> Outcome:
        with self._database.transaction():
            plan = self._planner.plan(self._database, request, now=self._clock.now(), binding=False)
        command = replace(request.command, targets=plan.targets)
        self._refuse_unfit(command)
        message = self._format(command)
        outbox.refuse_unsendable(message)
        self._sending.refuse(message)
        reason = "dry run: nothing was sent"
        results = tuple(Result(agent_id, "queued", 0, reason, None, None, None) for agent_id in sorted(plan.targets))
        return Outcome(message, False, results, plan.skipped, "dry_run", plan.release.needed)

    def _outcome(self, sent: _Sent, status: str) -> Outcome:
        results, needed = self.results(sent.message.message_id), sent.release.needed
        found = Outcome(sent.message, sent.repeated, results, sent.skipped, cast("OutcomeStatus", status), needed)
        if status == "cancelled" or (status == "done" and needed is not None and found.enough):
            left = (replace(result, awaited=result.state != "expired") for result in results)
            return replace(found, results=tuple(left))
        return found

    def _find_repeated(self, command: Command) -> _Sent | None:
        """Return the message of a command whose id was accepted before."""
        if command.message_id is None:
            return None
        stored = outbox.load(self._database, command.message_id)
        if stored is None:
            return None
        # whom it went to was decided then
        self._store(replace(command, targets=stored.target_agents), None)
        release = outbox.load_release(self._database, command.message_id)
        return _Sent(stored, True, release or Release())

    def _accept_planned(self, request: Request) -> _Sent:
        with self._database.transaction():
            # a turn and a trial are taken only together with the command that takes them
            plan = self._planner.plan(self._database, request, now=self._clock.now(), binding=True)
            self._refuse_unfit(replace(request.command, targets=plan.targets))
            release = None if plan.release.plain else plan.release
            stored = self._store(replace(request.command, targets=plan.targets), release)
        accepted = self._send(*stored)
        return _Sent(accepted.message, accepted.repeated, plan.release, plan.skipped)

    def _format(self, command: Command) -> Message:
        make = self._formatter.query if command.kind == "query" else self._formatter.command
        return _made(
            f"{command.kind} {command.name}",
            lambda: make(
                command.name,
                command.args,
                targets=command.targets,
                timeout_s=command.timeout_s,
                priority=command.priority,
                message_id=command.message_id,
            ),
        )

    def _store(self, command: Command, release: Release | None) -> tuple[outbox.Accepted, Release | None]:
        return self._store_message(self._format(command), release)

    def _store_message(self, message: Message, release: Release | None) -> tuple[outbox.Accepted, Release | None]:
        outbox.refuse_unsendable(message)
        self._sending.refuse(message)
        if self._orchestrator is not None and self.orchestrating:
            self._orchestrator.expect(message)
        return outbox.accept(self._database, message, release=release), release

    def _refuse_unfit(self, command: Command) -> None:
        if command.check_args:
            refuse_unfit(self._database, self._format(command), self._sending.role)

    def _send(self, accepted: outbox.Accepted, release: Release | None) -> outbox.Accepted:
        if self._orchestrator is not None and self.orchestrating and not accepted.repeated:
            self._orchestrator.send(accepted.message, release=release)
        return accepted

    def _wait_done(self, message_id: str, wait_s: float | None = None, *, known: bool = False) -> str:
        """Return the status of a message that has ended, or `accepted` after `wait_s`."""
        ends = None if wait_s is None else time.monotonic() + wait_s
        if known and (status := self._status(message_id)) != "accepted":
            return status
        while True:
            left = _TAKE_OVER_S if ends is None else min(_TAKE_OVER_S, max(0.0, ends - time.monotonic()))
            if self.orchestrating:
                assert self._orchestrator is not None
                self._orchestrator.wait_done(message_id, left)
            else:
                self._take_over()
                self._wait_notified(message_id, left)
            status = self._status(message_id)
            if status != "accepted" or (ends is not None and time.monotonic() >= ends):
                return status

    def _wait_notified(self, message_id: str, timeout_s: float) -> None:
        if self.orchestrating or self._status(message_id) != "accepted":
            return
        for notification in self._database.notifies(timeout=timeout_s):
            if notification.payload == message_id:
                return

    def _status(self, message_id: str) -> str:
        status = outbox.status(self._database, message_id)
        if status is None:
            raise DataError(f"command {message_id}: its row was deleted while its answers were awaited")
        return status

    def _take_over(self) -> None:
        """Orchestrate if nobody does."""
        if self._orchestrator is not None:
            self._orchestrator.stop()
            self._orchestrator = None
        orchestrator = Orchestrator(
            self._config, site=self._site, database_url=self._url, clock=self._clock, listeners=self._listeners
        )
        started = False
        try:
            started = orchestrator.try_start()
        finally:
            if not started:
                orchestrator.discard()
        self._orchestrator = orchestrator if started else None


def _made(what: str, make: Callable[[], Message]) -> Message:
    """Return a message of what somebody has typed.

    Raises:
        DataError: A field of it is not of the wire; the message names it.
    """
    try:
        return make()
    except ValidationError as error:
        faults = (f"{'.'.join(map(str, at['loc']))} {repr(at['input'])[:80]}: {at['msg']}" for at in error.errors())
        raise DataError(f"{what}: {'; '.join(faults)}") from error
