"""What a GL agent embeds: it connects, says it is alive, runs each command once and answers.

::

    agent = Agent(AgentSettings(...), SeenStore(folder / "agent.sqlite"))

    @agent.command("optimize", schema={"type": "object", "required": ["load"]})
    def optimize(args, call):
        return {"excess_air": 0.12}

    agent.start()
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import structlog
from jsonschema.protocols import Validator

from resources.agents.bus import Arrived, Bus, BusCallbacks, Will
from resources.agents.judge import Judge, Verdict
from resources.agents.keys import PublicKeys, load_private_key
from resources.agents.message import CommandPayload, Formatter, Message, ResponseStatus
from resources.agents.network import Network
from resources.agents.refusals import Refusals, RefusedError
from resources.agents.seen_store import SeenStore
from resources.agents.tokens import Received, sign
from resources.agents.topics import agent_topic
from resources.core.clock import Clock, SystemClock
from resources.core.errors import ConfigError, DataError
from resources.transport.broker import BrokerConfig

log = structlog.get_logger(__name__)

HEARTBEAT_S = 30.0
"""A heartbeat is sent at every connect and then this often."""

EXPIRED_AGAIN_S = 10.0
"""An expired message is answered with `expired` at most this often."""


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler may want to know beside the arguments."""

    message_id: str
    sender: str
    role: str
    priority: str
    deadline: datetime


Handler = Callable[[dict[str, Any], Call], Any]
"""A command's handler: arguments in, result out (anything orjson can write). Raise CommandError to answer an error."""


class CommandError(Exception):
    """A handler's way to say that the command could not be done; the text is the answer's `error`."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """Who an agent is and where its broker and keys are."""

    site: str
    broker: BrokerConfig
    private_key: Path
    """`<agent_id>.jwk`; the file name is the agent's id."""
    public_keys: Path | PublicKeys
    """The JWKS file, or keys that several agents of a process share."""
    agent_name: str
    agent_type: str
    capabilities: Sequence[str] = ()
    orchestrator_id: str = "GL-001"


@dataclass(frozen=True, slots=True)
class AgentRuntime:
    """What several agents of one process share; each agent makes its own where it is absent."""

    network: Network
    executor: ThreadPoolExecutor


@dataclass(frozen=True, slots=True)
class _Offer:
    handler: Handler
    roles: tuple[str, ...]
    schema: dict[str, Any]
    validator: Validator


class Agent:
    """One agent on the wire of `docs/reference/agents-wire.md`."""

    def __init__(
        self,
        settings: AgentSettings,
        store: SeenStore,
        *,
        clock: Clock | None = None,
        runtime: AgentRuntime | None = None,
    ) -> None:
        """Read the keys; nothing is opened yet.

        Raises:
            ConfigError: A key file is missing or wrong.
        """
        self._settings = settings
        self._clock = clock or SystemClock()
        self._key = load_private_key(settings.private_key)
        self.agent_id = self._key.agent_id
        keys = settings.public_keys
        self._judge = Judge(keys if isinstance(keys, PublicKeys) else PublicKeys(keys), settings.site, self._clock)
        self._refusals = Refusals(self.agent_id)
        self._store = store
        self._created_at = store.created_at(self.agent_id)
        self._formatter = Formatter(self.agent_id, self._clock)
        self._owned = AgentRuntime(Network(), ThreadPoolExecutor(4)) if runtime is None else None
        self._runtime = runtime or self._owned
        assert self._runtime is not None
        self._offers: dict[str, _Offer] = {}
        self._expired_told: dict[str, float] = {}
        self._session = ""
        self._stopping = False
        self._unasked: list[Message] = []
        self.status = "online"
        self._bus = Bus(
            settings.broker,
            f"gl-{settings.site}-{self.agent_id}",
            [agent_topic(settings.site, self.agent_id, "command")],
            BusCallbacks(self._on_message, self._on_connected, self._make_will),
            self._runtime.network,
        )

    def command(
        self, name: str, *, schema: dict[str, Any] | None = None, roles: Sequence[str] = ("orchestrator",)
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated function as the handler of a command; before `start`.

        Args:
            name: The command's name.
            schema: JSON Schema (2020-12) of the arguments; other arguments are answered with an error.
            roles: Roles of the keys that may send it.

        Raises:
            ConfigError: The schema is not a JSON Schema, or the name is taken.
        """
        given = schema or {"type": "object"}
        try:
            jsonschema.Draft202012Validator.check_schema(given)
        except jsonschema.SchemaError as error:
            raise ConfigError(f"agent {self.agent_id}: command {name}: not a JSON Schema: {error.message}") from error
        if name in self._offers:
            raise ConfigError(f"agent {self.agent_id}: command {name} is declared twice")

        def declare(handler: Handler) -> Handler:
            self._offers[name] = _Offer(handler, tuple(roles), given, jsonschema.Draft202012Validator(given))
            return handler

        return declare

    def start(self) -> None:
        """Connect, and stay connected until `stop`; what a crash left unanswered is answered `in_doubt`, not run."""
        for seen in self._store.unanswered(self.agent_id):
            response = self._formatter.response(seen.command, "in_doubt", error="the agent stopped while it ran this")
            self._store.finish(self.agent_id, response, lambda: None)
            self._unasked.append(response)
        self._bus.start()

    def wait_connected(self, timeout_s: float = 30.0) -> None:
        """Return when connected; UnreachableError if that takes longer."""
        self._bus.wait_connected(timeout_s)

    def stop(self) -> None:
        """Leave cleanly: say offline, disconnect."""
        self._stopping = True
        farewell = None
        if self._session:
            token = self._sign(self._heartbeat("offline"))
            farewell = Will(self._topic("heartbeat"), token)
        self._bus.stop(farewell)
        if self._owned is not None:
            self._owned.executor.shutdown(wait=True)
            self._owned.network.close()

    def drop_connection(self) -> None:
        """Cut the connection as a fault of the network does; it comes back by itself, as a new session."""
        self._bus.drop()

    @property
    def connected(self) -> bool:
        """Whether the broker has this agent connected."""
        return self._bus.connected

    def refused(self) -> dict[str, int]:
        """Return reason -> how many received messages were refused."""
        return self._refusals.counts()

    def _on_message(self, arrived: Arrived) -> None:
        try:
            received = self._judge.who(arrived.payload, arrived.topic)
            self._refuse_unallowed(received)
            seen = self._store.find(self.agent_id, received.message.message_id)
            verdict = self._judge.verdict(received, seen.content_hash if seen is not None else None)
            if verdict is Verdict.NEW:
                self._begin(received, arrived)
            elif verdict is Verdict.EXPIRED:
                self._answer_expired(received.message)
                arrived.ack()
            else:
                assert seen is not None
                self._answer_again(seen.response, arrived)
        except RefusedError as refused:
            self._refusals.add(refused, arrived.topic)
            arrived.ack()

    def _refuse_unallowed(self, received: Received) -> None:
        payload = received.message.payload
        name = payload.get("name") if isinstance(payload, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= 128 or not isinstance(payload.get("args"), dict):
            raise RefusedError("malformed", "a command needs name and args", claimed=received.message.source_agent)
        offer = self._offers.get(name)
        allowed = offer.roles if offer is not None else ("orchestrator",)
        if received.role not in allowed:
            raise RefusedError(
                "role_not_allowed", "this command may not come from that role", claimed=received.message.source_agent
            )

    def _begin(self, received: Received, arrived: Arrived) -> None:
        # iat is in whole seconds, so the second in which the store was made is given the benefit of the doubt
        if received.issued_at.timestamp() < math.floor(self._created_at.timestamp()):
            raise RefusedError(
                "issued_before_store",
                "issued before this agent's store was made: it may have been run already, and forgotten",
                claimed=received.message.source_agent,
            )

        def run_when_durable() -> None:
            arrived.ack()
            assert self._runtime is not None
            self._runtime.executor.submit(self._run, received)

        self._store.begin(self.agent_id, received.message, received.content_hash, run_when_durable)

    def _answer_again(self, response: Message | None, arrived: Arrived) -> None:
        """Send the stored answer once more; while the handler still runs there is none, and nothing is sent."""

        def when_durable() -> None:
            if response is not None:
                self._publish(response)
            arrived.ack()

        self._store.barrier(when_durable)

    def _answer_expired(self, message: Message) -> None:
        now = time.monotonic()
        if now - self._expired_told.get(message.message_id, -math.inf) < EXPIRED_AGAIN_S:
            return
        self._expired_told = {k: at for k, at in self._expired_told.items() if now - at < EXPIRED_AGAIN_S}
        self._expired_told[message.message_id] = now
        self._publish(self._formatter.response(message, "expired", error="the message came after its expiry"))

    def _run(self, received: Received) -> None:
        """Run the handler and answer; in the executor."""
        command = received.message
        status, result, error = self._outcome(received)
        response = self._formatter.response(command, status, result=result, error=error)
        try:
            token = self._sign(response)
        except DataError as fault:
            response = self._formatter.response(command, "error", error=str(fault))
            token = self._sign(response)
        self._store.finish(self.agent_id, response, lambda: self._bus.publish(self._topic("response"), token))

    def _outcome(self, received: Received) -> tuple[ResponseStatus, Any, str | None]:
        command = received.message
        payload = CommandPayload.model_validate(command.payload)
        offer = self._offers.get(payload.name)
        if offer is None:
            return (
                "error",
                None,
                f"{self.agent_id} has no command {payload.name}; it has {', '.join(sorted(self._offers))}",
            )
        fault = jsonschema.exceptions.best_match(offer.validator.iter_errors(payload.args))
        if fault is not None:
            return "error", None, f"args{fault.json_path[1:]}: {fault.message}"
        call = Call(command.message_id, command.source_agent, received.role, command.priority, command.deadline)
        try:
            # through bytes and back: what is stored and sent is plain JSON, or an error now
            return "ok", orjson.loads(orjson.dumps(offer.handler(payload.args, call))), None
        except CommandError as error:
            return "error", None, str(error)
        except Exception as error:
            # the handler is the embedding program's code: whatever it raises must become an answer
            log.exception("command_failed", agent=self.agent_id, command=payload.name, message_id=command.message_id)
            return "error", None, f"{type(error).__name__} in the handler of {payload.name}"

    def _on_connected(self) -> None:
        self._beat(self._session)
        unasked, self._unasked = self._unasked, []
        for response in unasked:
            self._store.barrier(lambda response=response: self._publish(response))  # type: ignore[misc]

    def _beat(self, session: str) -> None:
        """Send a heartbeat and arrange for the next, as long as the connection is the same."""
        if self._stopping or session != self._session or not self._bus.connected:
            return
        self._bus.publish(self._topic("heartbeat"), self._sign(self._heartbeat(self.status)), qos=0)
        assert self._runtime is not None
        self._runtime.network.call_after(HEARTBEAT_S, lambda: self._beat(session))

    def _make_will(self) -> Will:
        self._session = self._store.next_session(self.agent_id)
        return Will(self._topic("heartbeat"), self._sign(self._heartbeat("offline"), will=True))

    def _heartbeat(self, status: str) -> Message:
        payload = {
            "status": status,
            "agent_name": self._settings.agent_name,
            "agent_type": self._settings.agent_type,
            "capabilities": list(self._settings.capabilities),
            "commands": [
                {"name": name, "roles": list(offer.roles), "schema": offer.schema}
                for name, offer in self._offers.items()
            ],
        }
        return self._formatter.heartbeat(
            payload, session_id=self._session, orchestrator_id=self._settings.orchestrator_id
        )

    def _publish(self, response: Message) -> None:
        self._bus.publish(self._topic("response"), self._sign(response))

    def _sign(self, message: Message, *, will: bool = False) -> bytes:
        return sign(message, self._key, self._settings.site, now=self._clock.now(), will=will).encode()

    def _topic(self, channel: Any) -> str:
        return agent_topic(self._settings.site, self.agent_id, channel)
