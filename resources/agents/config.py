"""Configuration of the platform's side of agent coordination."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from resources.agents.coordination_config import AgentLimits, CircuitRules, EfficiencyQuery
from resources.agents.security.encryption import EncryptPayloads
from resources.agents.wire.permissions import Permissions
from resources.agents.wire.schemas import not_a_schema
from resources.core.configuration.settings import Duration, StrictModel
from resources.core.errors import ConfigError
from resources.transport.broker import BrokerConfig

EVENT_TOPICS = ("heat_optimization", "energy_efficiency", "system_status", "emergency")
"""Topics of events that every site has."""


def _json_schema(value: dict[str, Any]) -> dict[str, Any]:
    fault = not_a_schema(value)
    if fault is not None:
        raise ValueError(f"not a JSON Schema (2020-12): {fault}")
    return value


class TopicConfig(StrictModel):
    """One topic of events."""

    payload_schema: Annotated[dict[str, Any], AfterValidator(_json_schema)] | None = None
    """JSON Schema (2020-12) that the payload of each event has to fit; any payload if absent."""


class AgentsConfig(StrictModel):
    """The broker of the agents, the keys, and who is addressed by default."""

    broker: BrokerConfig
    """Where the agents are."""
    orchestrator_id: str = Field("GL-001", pattern=r"^[A-Za-z0-9_.\-]{1,64}$")
    """Agent id the platform sends as."""
    private_key: Path
    """`<orchestrator_id>.jwk`, mode 0600."""
    public_keys: Path
    """JWKS of everyone's public keys, each with `gl_agent` and `gl_role`."""
    targets: tuple[str, ...] = tuple(f"GL-{n:03d}" for n in range(2, 101))
    """Agents a broadcast addresses unless it names others."""
    roster: Path | None = None
    """agents.yaml: name, type and capabilities of every agent of the site; only who is heard of is known if absent."""
    score_half_life: Duration = Field(timedelta(hours=1), gt=timedelta(0))
    """What an agent did loses half its weight in its performance score in this time."""
    score_latency: Duration = Field(timedelta(seconds=1), gt=timedelta(0))
    """An answer after this time loses half of the 30 % of the score that latency decides."""
    default_timeout: Duration = timedelta(seconds=30)
    """timeout_seconds of a command that does not say."""
    topics: dict[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.\-]{1,64}$")], TopicConfig] = Field(
        default_factory=dict
    )
    """Topics of events beside the four of every site (EVENT_TOPICS), and what the payloads of either must be."""
    rate_limit: int | None = Field(1000, ge=1)
    """Most messages the platform sends in a second, the most urgent first; null: as fast as the broker takes them."""
    permissions: Permissions = Permissions()
    """Who may send which command, and publish on which topic of events, beyond what the wire allows."""
    encrypt_payloads: EncryptPayloads = "never"
    """Whether commands go encrypted: never, where_possible (to agents with a key for it), always."""
    encryption_keys: Path | None = None
    """`<orchestrator_id>.enc.jwks`, mode 0600: reads answers that agents encrypt; if absent, the file of that name
    beside the private key, where there is one."""
    circuits: CircuitRules = CircuitRules()
    """When an agent that is silent is left alone."""
    limits: AgentLimits = AgentLimits()
    """Beyond these the checks of the agents' assets warn."""
    efficiency_query: EfficiencyQuery = EfficiencyQuery()
    """The query that follows the efficiency of each new hour; off unless it is enabled."""


def required(agents: AgentsConfig | None) -> AgentsConfig:
    """Return the block `agents` of a configuration, for whatever cannot do without.

    Raises:
        ConfigError: It has none.
    """
    if agents is None:
        raise ConfigError("the configuration has no block `agents`: add it (integrations.example.yaml shows how)")
    return agents
