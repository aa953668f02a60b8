"""`agents.yaml`: the agents a site has, whether or not they have ever been heard of.

::

    agents:
      GL-002:
        name: Boiler house 1, boiler 2
        type: boiler
        capabilities: [status, optimize, excess_air]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import structlog
from pydantic import AfterValidator, Field

from resources.agents.config import AgentsConfig
from resources.agents.security.watched_file import WatchedFile
from resources.agents.wire.message import AgentId
from resources.core.configuration.settings import StrictModel, load_yaml
from resources.core.errors import ConfigError

log = structlog.get_logger(__name__)

Capability = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/\-]{1,64}$")]
"""What an agent can do, in one word."""

Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{1,256}$")]
"""A text for people, without control characters."""


def _without_repetition(value: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in value if value.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} stands there twice: name each capability once")
    return value


class DeclaredAgent(StrictModel):
    """One agent of the site; what its signed heartbeat says of itself goes before what stands here."""

    name: Line
    """What people call it."""
    type: Line
    """What kind of equipment it is for, such as boiler."""
    capabilities: Annotated[tuple[Capability, ...], AfterValidator(_without_repetition)] = ()
    """What it can do: the search by capability goes by these words."""


class Roster(StrictModel):
    """All agents of a site."""

    agents: dict[AgentId, DeclaredAgent] = Field(min_length=1)
    """Agent id -> what it is."""


def load_roster(path: Path) -> Roster:
    """Return the roster in `path`.

    Raises:
        ConfigError: The file is missing or wrong; one line per fault, naming file, line and key.
    """
    if not path.is_file():
        raise ConfigError(
            f"agents.roster: {path} does not exist: write it (docs/how-to/agents.md), or leave the key out"
        )
    return load_yaml(path, Roster)


def everyone(agents: AgentsConfig) -> tuple[str, ...]:
    """Return the ids of all that have a part in a site: the orchestrator, the targets, and whom the roster declares.

    Raises:
        ConfigError: As `load_roster`.
    """
    declared = load_roster(agents.roster).agents if agents.roster is not None else ()
    return tuple(dict.fromkeys((agents.orchestrator_id, *agents.targets, *declared)))


class RosterFile:
    """The file of a running orchestrator: read again when it changes; while it is broken, the last good one counts."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            ConfigError: As `load_roster`.
        """
        self._file = WatchedFile(path, load_roster, unreadable="agents_roster_unreadable")
        self.roster = self._file.content

    def take_changed(self) -> Roster | None:
        """Return the roster if it is another one than at the last call, else None."""
        self._file.look()
        found = self._file.content
        if found == self.roster:
            return None
        log.info("agents_roster_read_again", agents=len(found.agents))
        self.roster = found
        return found
