"""Checks of the agents' assets: judgements, so they warn and never block."""

from typing import Any

import dagster as dg

from gl_assets.agents.assets import COMMAND_RESULTS, REGISTRY
from resources.agents.agent_list import list_agents

LEAST_ANSWERED_SHARE = 0.9
"""Below this share of answers to the last command the check warns."""

_LAST = """
SELECT m.message_id, m.payload->>'name', count(*), count(*) FILTER (WHERE d.state = 'answered'),
       array_agg(d.agent_id ORDER BY d.agent_id) FILTER (WHERE d.state <> 'answered')
FROM (SELECT * FROM agents.messages WHERE message_type = 'command' AND status = 'done'
      ORDER BY sent_at DESC LIMIT 1) m
JOIN agents.deliveries d USING (message_id) GROUP BY 1, 2
"""


@dg.asset_check(
    asset=COMMAND_RESULTS,
    description=f"At least {LEAST_ANSWERED_SHARE:.0%} of the agents answered the last command.",
    required_resource_keys={"timescale"},
)
def agents_answer_commands(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Return whether enough agents answered the command that was finished last."""
    with context.resources.timescale.connection() as connection:
        row = connection.execute(_LAST).fetchone()
    message_id, command, targeted, answered, missed = row or (None, None, 0, 0, None)
    share = answered / targeted if targeted else 0.0
    return dg.AssetCheckResult(
        passed=share >= LEAST_ANSWERED_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=_without_none(
            {
                "message_id": message_id,
                "command": command,
                "targeted": targeted,
                "answered": answered,
                "share": share,
                "limit": LEAST_ANSWERED_SHARE,
                "not_answered": (missed or [])[:20],
            }
        ),
    )


@dg.asset_check(
    asset=REGISTRY,
    description="Every agent that was ever heard of is online.",
    required_resource_keys={"timescale"},
)
def agents_are_online(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Return whether an agent is offline or unwell."""
    with context.resources.timescale.connection() as connection:
        agents = list_agents(connection)
    away = [agent.agent_id for agent in agents if agent.status != "online"]
    return dg.AssetCheckResult(
        passed=not away,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"agents": len(agents), "not_online": len(away), "first": away[:20]},
    )


def _without_none(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if value is not None}


CHECKS = (agents_answer_commands, agents_are_online)
