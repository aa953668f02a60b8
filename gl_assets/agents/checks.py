"""Checks of the agents' assets: judgements, so they warn and never block. The limits are `agents.limits`."""

from typing import Any

import dagster as dg

from gl_assets.agents.assets import COMMAND_RESULTS, REGISTRY
from resources.agents.coordination_config import AgentLimits
from resources.agents.members.agent_list import list_agents

_MOST_NAMED = 20
_RECENT = 20
"""Materialisations among which a run looks for its own."""

_NOTHING_YET = "no command was sent yet"


@dg.asset_check(
    asset=COMMAND_RESULTS,
    description="Enough of the agents that were waited for answered the last command well.",
    required_resource_keys={"agents"},
)
def agents_answer_commands(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Return whether enough agents answered the command that was reported last."""
    told = _last_report(context)
    limit = _limits(context).least_answered_share
    # whom nobody waited for, because enough had answered, did not fail to
    awaited = told.get("targeted", 0) - told.get("not_awaited", 0)
    share = told.get("answered", 0) / awaited if awaited > 0 else 0.0
    return _judged(
        bool(told) and share >= limit,
        {
            **{name: told[name] for name in ("message_id", "command", "targeted", "answered") if name in told},
            "share": share,
            "limit": limit,
            "note": "" if told else _NOTHING_YET,
        },
    )


@dg.asset_check(
    asset=COMMAND_RESULTS,
    description="Of the answers to the last command, 99 in 100 came fast enough.",
    required_resource_keys={"agents"},
)
def agents_answer_fast(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Return whether the 99th percentile of the latency is below its limit; without an answer there is none."""
    told = _last_report(context)
    limit_ms = _limits(context).slowest_answer.total_seconds() * 1000
    p99 = told.get("latency_p99_ms")
    note = "" if p99 is not None else "nobody answered" if told else _NOTHING_YET
    return _judged(p99 is None or p99 < limit_ms, {"latency_p99_ms": p99, "limit_ms": limit_ms, "note": note})


@dg.asset_check(
    asset=COMMAND_RESULTS,
    description="The answers to the last command come to a value, as its aggregation asks.",
    required_resource_keys={"agents"},
)
def answers_come_to_a_value(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Return whether the last command's aggregation succeeded."""
    told = _last_report(context)
    return _judged(
        bool(told.get("aggregated", False)),
        {
            **{name: told[name] for name in ("message_id", "aggregation", "support") if name in told},
            "note": told.get("not_aggregated_because", "") if told else _NOTHING_YET,
        },
    )


@dg.asset_check(
    asset=REGISTRY,
    description="No more of the agents that are known are offline than may be.",
    required_resource_keys={"agents", "timescale"},
)
def agents_are_online(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Return whether too many agents are offline, or were never heard of; a degraded one is there."""
    with context.resources.timescale.connection() as connection:
        agents = list_agents(connection)
    away = [agent.agent_id for agent in agents if agent.status not in ("online", "degraded")]
    limit = _limits(context).most_offline
    return _judged(
        len(away) <= limit,
        {
            "agents": len(agents),
            "offline": len(away),
            "degraded": sum(agent.status == "degraded" for agent in agents),
            "limit": limit,
            "first": away[:_MOST_NAMED],
        },
    )


def _limits(context: dg.AssetCheckExecutionContext) -> AgentLimits:
    limits: AgentLimits = context.resources.agents.limits
    return limits


def _last_report(context: dg.AssetCheckExecutionContext) -> dict[str, Any]:
    """Return what this run's materialisation of the results says, or else the last one; nothing if there was none."""
    records = context.instance.fetch_materializations(COMMAND_RESULTS, limit=_RECENT).records
    # another run may have reported since
    own = (record for record in records if record.run_id == context.run.run_id)
    found = next(own, records[0] if records else None)
    made = None if found is None else found.asset_materialization
    return {} if made is None else {name: value.value for name, value in made.metadata.items()}


def _judged(passed: bool, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    told = {name: value for name, value in metadata.items() if value is not None and value != ""}
    return dg.AssetCheckResult(passed=passed, severity=dg.AssetCheckSeverity.WARN, metadata=told)


CHECKS = (agents_answer_commands, agents_answer_fast, answers_come_to_a_value, agents_are_online)
