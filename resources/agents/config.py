"""Configuration of the platform's side of agent coordination."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from resources.core.settings import Duration, StrictModel
from resources.transport.broker import BrokerConfig


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
    default_timeout: Duration = timedelta(seconds=30)
    """timeout_seconds of a command that does not say."""
