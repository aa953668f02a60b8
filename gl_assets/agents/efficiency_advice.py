"""The asset `agents/efficiency_advice`: what the agents would do about the efficiency of an hour.

It is downstream of `process_heat/boiler_efficiency` and partitioned like it; there only where `agents.efficiency_query`
is enabled. A query changes nothing, so asking about an hour twice, or about an old one by a backfill, does no harm.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from gl_assets.agents.asking import ask, metadata_of
from gl_assets.agents.assets import OWNERS, RESULT_COLUMNS
from gl_assets.agents.run_identity import message_id_of
from gl_assets.asset_keys import BOILER_EFFICIENCY
from gl_assets.checks.holding import why_held
from gl_assets.partitions import hour_partitions, quiet_beta
from resources.agents.coordination_config import EfficiencyQuery
from resources.agents.members.directory import CapabilityQuery
from resources.agents.requests import Command, Request
from resources.agents.resource import AgentsResource
from resources.agents.strategies.capability import ByCapability
from resources.core.windows import parse_partition_key
from resources.databases.timescale.derived.process_heat import read_boiler_efficiency
from resources.databases.timescale.quality.gate_results import red_gates
from resources.integrations import Integrations
from resources.wiring import TimescaleResource

EFFICIENCY_ADVICE = dg.AssetKey(["agents", "efficiency_advice"])

JOB_NAME = "efficiency_advice_job"

_BALANCE = ("boiler", "efficiency", "steam_power_kw", "fuel_power_kw")


def why_not_asked(settings: EfficiencyQuery, balance: list[dict[str, Any]]) -> str | None:
    """Return why there is nothing to ask about an hour, None if there is."""
    known = [row["efficiency"] for row in balance if row["efficiency"] is not None]
    if not known:
        return "the hour has no efficiency of any boiler"
    if settings.below is not None and min(known) >= settings.below:
        return f"no boiler's efficiency was below {settings.below:g}"
    return None


def request_of(settings: EfficiencyQuery, balance: list[dict[str, Any]], message_id: str) -> Request:
    """Return the query about an hour with this balance."""
    args = dict(settings.args)
    if settings.balance_argument is not None:
        args[settings.balance_argument] = [{name: row[name] for name in _BALANCE} for row in balance]
    command = Command(settings.query, args, (), settings.timeout.total_seconds(), "normal", message_id, "query")
    return Request(command, ByCapability(), CapabilityQuery(all=settings.capabilities))


def efficiency_query(config: Integrations) -> EfficiencyQuery | None:
    """Return what the agents are asked about each new hour; None where the query is off."""
    if config.agents is None or not config.agents.efficiency_query.enabled:
        return None
    return config.agents.efficiency_query


def build_efficiency_advice(config: Integrations) -> list[dg.AssetsDefinition]:
    """Return the asset, in a list that is empty where the query is off."""
    settings = efficiency_query(config)
    if settings is None:
        return []
    with quiet_beta():

        @dg.asset(
            key=EFFICIENCY_ADVICE,
            group_name="agents",
            deps=[BOILER_EFFICIENCY],
            partitions_def=hour_partitions(config),
            backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
            output_required=False,  # an hour that there is nothing to ask about has no advice
            owners=OWNERS,
            kinds={"python", "mqtt", "timescaledb"},
            description=f"What the agents that can {', '.join(settings.capabilities)} answer to the query "
            f"`{settings.query}` about the efficiency of an hour, put together by {settings.method} of "
            f"`{settings.path or 'the result'}`. The answers are in `agents.responses`.",
            metadata={"dagster/column_schema": RESULT_COLUMNS, "dagster/table_name": "agents.responses"},
        )
        def efficiency_advice(
            context: dg.AssetExecutionContext, agents: AgentsResource, timescale: TimescaleResource
        ) -> Iterator[dg.MaterializeResult[Any]]:
            """Ask the agents about one hour."""
            hour = parse_partition_key(context.partition_key)
            with timescale.connection() as connection:
                red = red_gates(connection, BOILER_EFFICIENCY.to_user_string(), [context.partition_key])
                balance = read_boiler_efficiency(connection, hour, site=config.site)
            reason = why_held(red) if red else why_not_asked(settings, balance)
            if reason is not None:
                context.log.info(f"{context.partition_key}: {reason}: the agents are not asked")
                return
            request = request_of(settings, balance, message_id_of(context))
            asked = ask(agents, request, settings.aggregation, context.log)
            yield dg.MaterializeResult(asset_key=EFFICIENCY_ADVICE, metadata=metadata_of(asked))

    return [efficiency_advice]


def build_efficiency_job(config: Integrations) -> list[Any]:
    """Return the job of the asset, in a list that is empty where the query is off."""
    if efficiency_query(config) is None:
        return []
    return [
        dg.define_asset_job(
            JOB_NAME,
            selection=dg.AssetSelection.assets(EFFICIENCY_ADVICE),
            executor_def=dg.in_process_executor,
            description="Ask the agents about the efficiency of an hour; asked for by efficiency_sensor.",
        )
    ]
