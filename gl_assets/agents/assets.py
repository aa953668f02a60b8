"""The assets of the agents: what came of the last command, and who is there. Neither is partitioned.

`agents/command_results` is made by the jobs `broadcast_command` and `query_agents`: one run sends one message, waits
until each agent has answered, enough have, or the deadline has passed, puts the answers together and reports. The rows
themselves are written by the orchestrator as they arrive; running again with the same message id executes nothing
twice.
"""

from typing import Any

import dagster as dg

from gl_assets.agents.asking import ask, metadata_of, permanent
from gl_assets.agents.run_config import BroadcastConfig
from gl_assets.agents.run_identity import message_id_of
from resources.agents.members.agent_list import list_agents
from resources.core.errors import ConfigError, DataError

COMMAND_RESULTS = dg.AssetKey(["agents", "command_results"])
REGISTRY = dg.AssetKey(["agents", "registry"])
OWNERS = ["team:data-engineering"]

RESULT_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("message_id", "text", description="id of the answer"),
        dg.TableColumn("correlation_id", "text", description="id of the command"),
        dg.TableColumn("agent_id", "text", description="who answered"),
        dg.TableColumn("payload", "jsonb", description="status, result, error"),
        dg.TableColumn("received_at", "timestamptz", description="when it arrived, UTC"),
        dg.TableColumn("latency_ms", "float8", description="from accepting the command to this answer"),
    ]
)
_REGISTRY_COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("agent_id", "text"),
        dg.TableColumn("agent_name", "text"),
        dg.TableColumn("agent_type", "text"),
        dg.TableColumn("capabilities", "text[]"),
        dg.TableColumn("status", "text", description="online, degraded or offline"),
        dg.TableColumn("last_heartbeat", "timestamptz", description="when it was last heard, UTC"),
        dg.TableColumn("performance_score", "float8", description="0 to 1; null until measured"),
    ]
)


@dg.multi_asset(
    name="send_command",
    specs=[
        dg.AssetSpec(
            COMMAND_RESULTS,
            group_name="agents",
            owners=OWNERS,
            kinds={"python", "mqtt", "timescaledb"},
            description="What the agents answered to the last command or query, and what the answers come to: one row "
            "of `agents.responses` per answer, the state of every delivery in `agents.deliveries`. Made by the jobs "
            "`broadcast_command` and `query_agents`.",
            metadata={"dagster/column_schema": RESULT_COLUMNS, "dagster/table_name": "agents.responses"},
        )
    ],
    required_resource_keys={"agents"},
)
def command_results(context: dg.AssetExecutionContext, config: BroadcastConfig) -> dg.MaterializeResult[Any]:
    """Send one command or query to many agents and report what came of it."""
    agents = context.resources.agents
    try:
        request = config.request(agents.config, message_id_of(context, config.message_id))
        aggregation = config.aggregation.build()
    except (ConfigError, DataError) as error:
        raise permanent(error) from error
    asked = ask(agents, request, aggregation, context.log)
    context.log.info(f"{asked.outcome.answered} of {len(asked.outcome.results)} agents answered {config.command}")
    return dg.MaterializeResult(asset_key=COMMAND_RESULTS, metadata=metadata_of(asked))


@dg.asset(
    key=REGISTRY,
    group_name="agents",
    owners=OWNERS,
    kinds={"timescaledb", "mqtt"},
    description="Who is there: a snapshot of `agents.registry`, which the agents' signed heartbeats keep up to date.",
    metadata={"dagster/column_schema": _REGISTRY_COLUMNS, "dagster/table_name": "agents.registry"},
    required_resource_keys={"timescale"},
)
def registry(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
    """Report how many agents are online, and which are not."""
    with context.resources.timescale.connection() as connection:
        agents = list_agents(connection)
    online = [agent for agent in agents if agent.status == "online"]
    away = [agent.agent_id for agent in agents if agent.status != "online"]
    scores = [agent.performance_score for agent in agents if agent.performance_score is not None]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(agents),
            "online": len(online),
            "degraded": sum(agent.status == "degraded" for agent in agents),
            "not_online": away[:50],
            "agent_types": sorted({agent.agent_type for agent in agents}),
            "capabilities": sorted({name for agent in agents for name in agent.capabilities}),
            "least_score": min(scores, default=None),
        }
    )


ASSETS = (command_results, registry)
