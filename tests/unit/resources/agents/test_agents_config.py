"""The block `agents` of a configuration, for those that cannot do without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from resources.agents.config import AgentsConfig, required
from resources.agents.resource import AgentsResource
from resources.core.errors import ConfigError
from resources.transport.broker import BrokerConfig

AGENTS = AgentsConfig(broker=BrokerConfig(host="127.0.0.1"), private_key=Path("k.jwk"), public_keys=Path("p.jwks"))


def test_agents_block_when_there_is_none_then_said_what_to_add() -> None:
    for missing in (lambda: required(None), lambda: AgentsResource.from_config("north", None).config):
        with pytest.raises(ConfigError, match="no block `agents`: add it"):
            missing()


def test_agents_block_when_it_is_there_then_returned() -> None:
    assert required(AGENTS) is AGENTS
    assert AgentsResource.from_config("north", AGENTS).config == AGENTS
