"""The agents as a Dagster resource: commands through the outbox, and what is known of the agents."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg

from resources.agents.broadcaster import Broadcaster
from resources.agents.config import AgentsConfig, required
from resources.agents.coordination_config import AgentLimits
from resources.databases.timescale.connection import database_url


class AgentsResource(dg.ConfigurableResource[Any]):
    """Agent coordination of one site; keys and passwords are read when a run asks for it."""

    site: str
    """The site, part of every topic."""
    settings: str = ""
    """The block `agents` of the configuration as JSON, in which null is a value too; empty: coordination is off."""
    url: str = ""
    """The database; empty: what GL_DATABASE_URL says when a run starts."""

    @classmethod
    def from_config(cls, site: str, config: AgentsConfig | None, url: str = "") -> "AgentsResource":
        """Return the resource of a site."""
        return cls(site=site, settings="" if config is None else config.model_dump_json(), url=url)

    @property
    def config(self) -> AgentsConfig:
        """The configuration.

        Raises:
            ConfigError: The configuration has no block `agents`.
        """
        return required(AgentsConfig.model_validate(json.loads(self.settings)) if self.settings else None)

    @property
    def limits(self) -> AgentLimits:
        """The limits of the checks; the defaults where coordination is off."""
        return self.config.limits if self.settings else AgentLimits()

    @contextmanager
    def broadcaster(self) -> Iterator[Broadcaster]:
        """Yield an open broadcaster.

        Raises:
            ConfigError: Coordination is off, or a key is missing.
            UnreachableError, AuthError: The database cannot be reached.
        """
        with Broadcaster(self.config, site=self.site, database_url=self.url or database_url()) as broadcaster:
            yield broadcaster
