"""The commands an agent declares: who may send them, what arguments they take, and what their handlers answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import structlog
from jsonschema.protocols import Validator

from resources.agents.security.tokens import Received
from resources.agents.wire.message import ROLES, CommandPayload, ResponseStatus
from resources.agents.wire.refusals import refused
from resources.agents.wire.schemas import not_a_schema, schema_fault, validator_of
from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)

DEFAULT_ROLES = ("orchestrator",)
"""Who may send a command that does not say."""

_LONGEST_NAME = 128


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler may want to know beside the arguments."""

    message_id: str
    sender: str
    role: str
    priority: str
    deadline: datetime
    message_type: str = "command"
    """`command`, or `query`: a query must change nothing."""


Handler = Callable[[dict[str, Any], Call], Any]
"""A command's handler: arguments in, result out (anything orjson can write). Raise CommandError to answer an error."""


class CommandError(Exception):
    """A handler's way to say that the command could not be done; the text is the answer's `error`."""


@dataclass(frozen=True, slots=True)
class _Offer:
    handler: Handler
    roles: tuple[str, ...]
    schema: dict[str, Any]
    validator: Validator


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What is to be answered to a command."""

    status: ResponseStatus
    result: Any = None
    error: str | None = None


class Offers:
    """The declared commands of one agent."""

    def __init__(self, agent_id: str) -> None:
        """Begin with none."""
        self._agent_id = agent_id
        self._offers: dict[str, _Offer] = {}

    def declare(self, name: str, schema: dict[str, Any] | None, roles: Sequence[str]) -> Callable[[Handler], Handler]:
        """Return the decorator that declares a command.

        Raises:
            ConfigError: The schema is not a JSON Schema, a role is unknown, or the name is taken or too long.
        """
        where = f"agent {self._agent_id}: command {name}"
        validator = schema_validator(schema or {"type": "object"}, where)
        unknown = set(roles) - set(ROLES)
        if unknown:
            raise ConfigError(f"{where}: no such role {', '.join(sorted(unknown))}; roles are {', '.join(ROLES)}")
        if not 0 < len(name) <= _LONGEST_NAME:
            raise ConfigError(f"{where}: a name has 1 to {_LONGEST_NAME} characters")
        if name in self._offers:
            raise ConfigError(f"{where} is declared twice")

        def declare(handler: Handler) -> Handler:
            self._offers[name] = _Offer(handler, tuple(roles), schema or {"type": "object"}, validator)
            return handler

        return declare

    def to_wire(self) -> list[dict[str, Any]]:
        """Return the field `commands` of a heartbeat."""
        return [
            {"name": name, "roles": list(offer.roles), "schema": offer.schema} for name, offer in self._offers.items()
        ]

    def refuse_unallowed(self, received: Received) -> None:
        """Check that a command has its form and that its sender's role may send it.

        Raises:
            RefusedError: It has not, or may not.
        """
        message, payload = received.message, received.message.payload
        name = payload.get("name") if isinstance(payload, dict) else None
        if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME or not isinstance(payload.get("args"), dict):
            raise refused("malformed", "a command needs name and args", message)
        offer = self._offers.get(name)
        if received.role not in (offer.roles if offer is not None else DEFAULT_ROLES):
            raise refused("role_not_allowed", "this command may not come from that role", message)

    def run(self, received: Received) -> CommandOutcome:
        """Return what a command's handler makes of it; whatever goes wrong becomes an answer."""
        command = received.message
        payload = CommandPayload.model_validate(command.payload)
        offer = self._offers.get(payload.name)
        if offer is None:
            known = ", ".join(sorted(self._offers))
            return CommandOutcome("error", error=f"{self._agent_id} has no command {payload.name}; it has {known}")
        fault = schema_fault(offer.validator, payload.args, name="args", quoted=True)
        if fault is not None:
            return CommandOutcome("error", error=fault)
        call = Call(
            command.message_id,
            command.source_agent,
            received.role,
            command.priority,
            command.deadline,
            command.message_type,
        )
        try:
            # through bytes and back: what is stored and sent is plain JSON, or an error now
            return CommandOutcome("ok", orjson.loads(orjson.dumps(offer.handler(payload.args, call))))
        except CommandError as error:
            return CommandOutcome("error", error=str(error))
        except Exception as error:
            # the handler is the embedding program's code: whatever it raises must become an answer
            log.exception("command_failed", agent=self._agent_id, command=payload.name, message_id=command.message_id)
            return CommandOutcome("error", error=f"{type(error).__name__} in the handler of {payload.name}")


def schema_validator(schema: dict[str, Any], where: str) -> Validator:
    """Return what values are judged by.

    Raises:
        ConfigError: `schema` is none; the message begins with `where`.
    """
    fault = not_a_schema(schema)
    if fault is not None:
        raise ConfigError(f"{where}: not a JSON Schema: {fault}")
    return validator_of(schema)
