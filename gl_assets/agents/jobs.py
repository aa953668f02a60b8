"""Jobs over the agents. One run sends one command to all its targets; nothing fans out into runs of its own."""

import dagster as dg

from gl_assets.agents.assets import COMMAND_RESULTS, REGISTRY

broadcast_command = dg.define_asset_job(
    "broadcast_command",
    selection=dg.AssetSelection.assets(COMMAND_RESULTS),
    executor_def=dg.in_process_executor,
    description="Send one command to many agents at once and store what they answer.",
)

agent_registry_job = dg.define_asset_job(
    "agent_registry_job",
    selection=dg.AssetSelection.assets(REGISTRY),
    executor_def=dg.in_process_executor,
    description="Take a snapshot of who is there.",
)

JOBS = (broadcast_command, agent_registry_job)
