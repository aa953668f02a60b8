"""One look at the agents, and how it is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from resources.agents.members.agent_list import ListedAgent, RecentCommand, list_agents, recent_commands
from resources.agents.members.health import DEGRADED, OFFLINE, ONLINE
from resources.agents.members.score import NEUTRAL
from resources.transport.text.foreign_text import foreign_text

COLOURS = {ONLINE: "green", DEGRADED: "yellow", OFFLINE: "red"}
"""Status -> how it is shown."""

_AROUND_THE_ROWS = 8
"""Lines of a screen that borders, headings and counts take."""
_FEWEST_ROWS = 5
_LONGEST_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Look:
    """What was so at one instant."""

    at: datetime
    agents: Sequence[ListedAgent]
    commands: Sequence[RecentCommand]


def take_look(connection: psycopg.Connection) -> Look:
    """Return what is so now."""
    return Look(datetime.now(UTC), list_agents(connection), recent_commands(connection))


def changes(before: Sequence[ListedAgent], now: Sequence[ListedAgent]) -> Iterator[dict[str, Any]]:
    """Yield one object for each agent whose status is another than before, or that is new or gone."""
    known = {agent.agent_id: agent for agent in before}
    for agent in now:
        earlier = known.pop(agent.agent_id, None)
        was = None if earlier is None else earlier.status
        if was != agent.status:
            yield {"agent_id": agent.agent_id, "was": was, "status": agent.status, "reason": agent.status_reason}
    for gone in known.values():
        yield {"agent_id": gone.agent_id, "was": gone.status, "status": None, "reason": "no longer in the registry"}


def shown(text: str | None) -> Text:
    """Return a text that an agent chose, as text: nothing of it steers the terminal or the table."""
    return Text(foreign_text(text or "", limit=_LONGEST_SHOWN))


def shown_status(status: str) -> Text:
    """Return a status in its colour."""
    return Text(status, style=COLOURS[status])


def view(look: Look, height: int) -> Group:
    """Return a screen: counts, the last commands, and the agents, those that need attention first."""
    counts = Counter(agent.status for agent in look.agents)
    head = Text.assemble(
        f"{look.at:%H:%M:%S} UTC   {len(look.agents)} agents:",
        *((f"  {counts[status]} {status}", colour) for status, colour in COLOURS.items()),
    )
    room = max(_FEWEST_ROWS, height - _AROUND_THE_ROWS - len(look.commands))
    ordered = sorted(look.agents, key=_attention)
    parts: list[RenderableType] = [
        head,
        *([_commands(look.commands)] if look.commands else []),
        _agents(ordered[:room], look.at),
    ]
    if len(ordered) > room:
        rest = Counter(agent.status for agent in ordered[room:])
        words = ", ".join(f"{rest[status]} {status}" for status in COLOURS if rest[status])
        parts.append(Text(f"… and {len(ordered) - room} more: {words}", style="dim"))
    return Group(*parts)


def _attention(agent: ListedAgent) -> tuple[int, float, str]:
    rank = (OFFLINE, DEGRADED, ONLINE).index(agent.status)
    return rank, NEUTRAL if agent.performance_score is None else agent.performance_score, agent.agent_id


def _commands(commands: Sequence[RecentCommand]) -> Table:
    # whole on every terminal: `gl agents cancel` takes the id
    sent_at, identity = Column("sent", no_wrap=True, min_width=8), Column("id", no_wrap=True, min_width=36)
    table = Table(sent_at, "command", "answered", "open", "slowest ms", "state", identity, box=None, pad_edge=False)
    for item in commands:
        slowest = "" if item.slowest_ms is None else f"{item.slowest_ms:.0f}"
        answered = f"{item.answered} of {item.targeted}"
        sent, name = f"{item.sent_at:%H:%M:%S}", shown(item.name)
        table.add_row(sent, name, answered, str(item.open), slowest, item.status, item.message_id)
    return table


def _agents(agents: Sequence[ListedAgent], at: datetime) -> Table:
    table = Table("agent", "name", "status", "score", "heard", "why", box=None, pad_edge=False)
    for agent in agents:
        score = "" if agent.performance_score is None else f"{agent.performance_score:.2f}"
        heard = "" if agent.last_heartbeat is None else f"{max(0.0, (at - agent.last_heartbeat).total_seconds()):.0f} s"
        name, why = shown(agent.agent_name), shown(agent.status_reason)
        table.add_row(agent.agent_id, name, shown_status(agent.status), score, heard, why)
    return table
