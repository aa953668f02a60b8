"""The topics of the agents' wire, and which message may travel on which."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from resources.agents.wire.message import ROLES, Message

Channel = Literal["command", "response", "heartbeat", "event"]

_AGENT_TOPIC = re.compile(r"gl/([A-Za-z0-9_.\-]{1,64})/agents/([A-Za-z0-9_.\-]{1,64})/(command|response|heartbeat)")
_EVENT_TOPIC = re.compile(r"gl/([A-Za-z0-9_.\-]{1,64})/events/([A-Za-z0-9_.\-]{1,64})")
_SENDERS = {
    "command": ("orchestrator", "alarm"),
    "query": ("orchestrator", "alarm"),
    "response": ("agent",),
    "heartbeat": ROLES,
    "event": ("orchestrator", "agent", "alarm"),
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic taken apart: `name` is the agent's id, or an event's topic."""

    site: str
    channel: Channel
    name: str


def agent_topic(site: str, agent_id: str, channel: Literal["command", "response", "heartbeat"]) -> str:
    """Return the topic of one agent's channel; `+` as the agent_id makes the filter for all."""
    return f"gl/{site}/agents/{agent_id}/{channel}"


def event_topic(site: str, topic: str) -> str:
    """Return the topic of the wire that carries the events of `topic`."""
    return f"gl/{site}/events/{topic}"


def parse_topic(topic: str) -> Topic | None:
    """Return the parts of a topic of this wire, None for any other."""
    if match := _AGENT_TOPIC.fullmatch(topic):
        return Topic(match[1], match[3], match[2])  # type: ignore[arg-type]  # the pattern allows exactly the channels
    if match := _EVENT_TOPIC.fullmatch(topic):
        return Topic(match[1], "event", match[2])
    return None


def misfit(topic: Topic, message: Message, role: str) -> str | None:
    """Return why `message`, sent by a key of `role`, must not travel on `topic`; None if it may."""
    kind = "command" if message.message_type in {"command", "query"} else message.message_type
    if kind != topic.channel:
        return "wrong_topic"
    if role not in _SENDERS[message.message_type]:
        return "role_not_allowed"
    if topic.channel == "command":
        return None if topic.name in message.target_agents else "not_a_target"
    if topic.channel == "event":
        return None if topic.name == message.topic else "wrong_topic"
    return None if topic.name == message.source_agent else "wrong_topic"
