"""Who may send a command or publish on a topic of events, beyond what the wire itself allows.

Three doors stand one behind the other. The wire: commands come from the roles orchestrator and alarm, events from
these and agents. The agent: a command is run only for the roles it was declared with. And the rules here: whoever
receives a message refuses what they do not allow, and the platform does not send it in the first place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator

from resources.agents.wire.message import AgentId, CommandOffer, Message, Role
from resources.agents.wire.refusals import refused
from resources.core.configuration.settings import StrictModel
from resources.core.errors import DataError

CommandName = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class PermissionRule(StrictModel):
    """Whoever has one of these roles, or is one of these agents, may; nobody else."""

    roles: tuple[Role, ...] = ()
    """Roles that may: orchestrator, alarm, agent, observer."""
    agents: tuple[AgentId, ...] = ()
    """Agents that may besides, by their ids."""

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if not self.roles and not self.agents:
            raise ValueError("name at least one role or agent: a rule that allows nobody forbids what it is for")
        return self

    def allows(self, sender: str, role: str) -> bool:
        """Return whether the sender may."""
        return role in self.roles or sender in self.agents


class Permissions(StrictModel):
    """Rules by command and by topic of events; what has none is open to everyone whom the wire allows to send it."""

    commands: dict[CommandName, PermissionRule] = Field(default_factory=dict)
    """Name of a command or query -> who may send it."""
    events: dict[AgentId, PermissionRule] = Field(default_factory=dict)
    """Topic of events, such as emergency -> who may publish on it."""

    def allow(self, message: Message, role: str) -> bool:
        """Return whether a sender of `role` may send `message`."""
        rule = self._rule_of(message)
        return rule is None or rule.allows(message.source_agent, role)

    def refuse_received(self, message: Message, role: str) -> None:
        """Refuse a message whose sender may not send it.

        Raises:
            RefusedError: The rules do not allow it.
        """
        if not self.allow(message, role):
            sender = f"{message.source_agent} with role {role}"
            detail = f"the permissions do not allow {sender} to send this {message.message_type}"
            raise refused("not_permitted", detail, message)

    def refuse_sending(self, message: Message, role: str) -> None:
        """Refuse to send what receivers would refuse.

        Raises:
            DataError: The rules do not allow it.
        """
        rule = self._rule_of(message)
        if rule is None or rule.allows(message.source_agent, role):
            return
        may = ", ".join((*(f"role {r}" for r in rule.roles), *rule.agents))
        raise DataError(
            f"{message.message_type} {_subject(message)}: {message.source_agent} with role {role} may not send it; "
            f"agents.permissions allows {may}"
        )

    def topics_for(self, agent_id: str, role: str, topics: Iterable[str]) -> list[str]:
        """Return the topics of events on which an agent may publish."""
        return [t for t in topics if (rule := self.events.get(t)) is None or rule.allows(agent_id, role)]

    def _rule_of(self, message: Message) -> PermissionRule | None:
        if message.message_type == "event":
            return self.events.get(message.topic or "")
        if message.message_type in {"command", "query"}:
            return self.commands.get(_subject(message))
        return None


def undeclared_role(offers: Iterable[CommandOffer], name: str, role: str) -> str | None:
    """Return why an agent that declared `offers` would refuse command `name` from `role`; None if it would not.

    An agent answers a command it does not know with an error of its own, so that is no refusal.
    """
    roles = next((offer.roles for offer in offers if offer.name == name), None)
    if roles is None or role in roles:
        return None
    return f"the agent takes {name} from {', '.join(roles) or 'nobody'} only, not from {role}"


def _subject(message: Message) -> str:
    if message.message_type == "event":
        return message.topic or ""
    name = message.payload.get("name") if isinstance(message.payload, dict) else None
    return name if isinstance(name, str) else ""
