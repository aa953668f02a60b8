"""The assets of the agents: what came of the last command, and who is there. Neither is partitioned.

`agents/command_results` is made by the job `broadcast_command`: one run sends one command to all its targets at once,
waits until each has answered or the deadline has passed, and reports. The rows themselves are written by the
orchestrator as they arrive; running again with the same message id executes nothing twice.
"""

from datetime import datetime
from typing import Any, Literal

import dagster as dg
import uuid_utils
from pydantic import Field

from gl_assets.agents.results import latency_percentile, latency_plot, result_table, state_counts
from resources.agents.agent_list import list_agents
from resources.agents.requests import Command, Outcome
from resources.core.errors import ConfigError, DataError

COMMAND_RESULTS = dg.AssetKey(["agents", "command_results"])
REGISTRY = dg.AssetKey(["agents", "registry"])
OWNERS = ["team:data-engineering"]

_RESULT_COLUMNS = dg.TableSchema(
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
        dg.TableColumn("status", "text", description="online, offline, or what the agent says of itself"),
        dg.TableColumn("last_heartbeat", "timestamptz", description="when it was last heard, UTC"),
        dg.TableColumn("performance_score", "float8", description="null until measured"),
    ]
)


class BroadcastConfig(dg.Config):
    """One command to many agents."""

    command: str = Field("status", min_length=1, max_length=128, description="Name of the command.")
    args: dict[str, Any] = Field({}, description="Its arguments, as the agents' schema of the command says.")
    targets: list[str] = Field([], description="Agent ids; empty: all agents of the configuration.")
    timeout_seconds: float | None = Field(
        None, gt=0, le=604_800, description="How long answers are awaited; the configuration's default if absent."
    )
    priority: Literal["low", "normal", "high", "critical"] = Field("normal", description="Urgency.")
    message_id: str | None = Field(
        None, description="UUIDv7 of the command, for repeating it safely; derived from the run if absent."
    )


@dg.multi_asset(
    name="send_command",
    specs=[
        dg.AssetSpec(
            COMMAND_RESULTS,
            group_name="agents",
            owners=OWNERS,
            kinds={"python", "mqtt", "timescaledb"},
            description="What the agents answered to the last command: one row of `agents.responses` per answer, the "
            "state of every delivery in `agents.deliveries`. Made by the job `broadcast_command`.",
            metadata={"dagster/column_schema": _RESULT_COLUMNS, "dagster/table_name": "agents.responses"},
        )
    ],
    required_resource_keys={"agents"},
)
def command_results(context: dg.AssetExecutionContext, config: BroadcastConfig) -> dg.MaterializeResult[Any]:
    """Broadcast one command and report what came of it."""
    agents = context.resources.agents
    try:
        settings = agents.config
        command = Command(
            config.command,
            config.args,
            config.targets or settings.targets,
            config.timeout_seconds or settings.default_timeout.total_seconds(),
            config.priority,
            config.message_id or _message_id_of(context),
        )
        with agents.broadcaster() as broadcaster:
            outcome = broadcaster.broadcast(command)
    except (ConfigError, DataError) as error:
        # trying again changes neither a configuration nor a command
        raise dg.Failure(str(error), allow_retries=False) from error
    context.log.info(f"{outcome.answered} of {len(outcome.results)} agents answered {config.command}")
    return dg.MaterializeResult(asset_key=COMMAND_RESULTS, metadata=_metadata(config, outcome))


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
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(agents),
            "online": len(online),
            "not_online": away[:50],
            "agent_types": sorted({agent.agent_type for agent in agents}),
        }
    )


def _message_id_of(context: dg.AssetExecutionContext) -> str:
    """Return the same UUIDv7 for every attempt of a run, and for the runs that repeat it after a failure."""
    root = context.run.root_run_id or context.run.run_id
    record = context.instance.get_run_record_by_id(root)
    begun: datetime | None = record.create_timestamp if record is not None else None
    if begun is None:
        raise ConfigError(f"run {root} is not in Dagster's storage: give the command a message_id")
    tail = uuid_utils.UUID(root).int & ((1 << 62) - 1)
    millis = int(begun.timestamp() * 1000)
    middle = (uuid_utils.UUID(root).int >> 64) & 0xFFF
    return str(uuid_utils.UUID(int=millis << 80 | 0x7 << 76 | middle << 64 | 0b10 << 62 | tail))


def _metadata(config: BroadcastConfig, outcome: Outcome) -> dict[str, Any]:
    counts = state_counts(outcome.results)
    return {
        "dagster/row_count": len(outcome.latencies_ms),
        "command": config.command,
        "message_id": outcome.message.message_id,
        "repeated": outcome.repeated,
        "targeted": len(outcome.results),
        **counts,
        "latency_p50_ms": latency_percentile(outcome, 50),
        "latency_p99_ms": latency_percentile(outcome, 99),
        "not_answered": dg.MetadataValue.md(result_table(outcome.results)),
        "latencies": dg.MetadataValue.md(latency_plot(outcome)),
    }


ASSETS = (command_results, registry)
