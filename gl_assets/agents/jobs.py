"""Jobs over the agents. One run sends one message to all its targets; nothing fans out into runs of its own."""

from typing import Any

import dagster as dg

from gl_assets.agents.asking import permanent, withdrawn_with_the_run
from gl_assets.agents.assets import COMMAND_RESULTS, REGISTRY
from gl_assets.agents.run_config import EventConfig, query_config
from gl_assets.agents.run_identity import message_id_of
from resources.core.errors import ConfigError, DataError

broadcast_command = dg.define_asset_job(
    "broadcast_command",
    selection=dg.AssetSelection.assets(COMMAND_RESULTS),
    executor_def=dg.in_process_executor,
    description="Send one command to many agents, store what they answer, and put the answers together.",
)

query_agents = dg.define_asset_job(
    "query_agents",
    selection=dg.AssetSelection.assets(COMMAND_RESULTS),
    config=query_config,
    executor_def=dg.in_process_executor,
    description="Ask many agents something that changes nothing, and put the answers together.",
)

agent_registry_job = dg.define_asset_job(
    "agent_registry_job",
    selection=dg.AssetSelection.assets(REGISTRY),
    executor_def=dg.in_process_executor,
    description="Take a snapshot of who is there.",
)


@dg.op(required_resource_keys={"agents"}, out=dg.Out(dg.Nothing))
def send_event(context: dg.OpExecutionContext, config: EventConfig) -> None:
    """Publish one event; done when the broker has it. The row is in `agents.messages`."""
    agents = context.resources.agents
    try:
        message_id = message_id_of(context, config.message_id)
        request = config.request(agents.config, message_id)
        what = f"event on {config.topic}"
        with agents.broadcaster() as broadcaster, withdrawn_with_the_run(broadcaster, message_id, what, context.log):
            published = broadcaster.publish(request)
    except (ConfigError, DataError) as error:
        raise permanent(error) from error
    told: dict[str, Any] = {
        "topic": config.topic,
        "message_id": published.message.message_id,
        "repeated": published.repeated,
        "status": published.status,
    }
    context.add_output_metadata(told)
    if published.status != "done":
        raise dg.Failure(
            f"event {published.message.message_id} on {config.topic} is {published.status}: the broker had not taken "
            "it over before its deadline; give it a longer timeout_seconds, or see `gl doctor` about the broker",
            metadata=told,
        )


@dg.job(
    executor_def=dg.in_process_executor,
    description="Publish one event on a topic, for whoever has subscribed to it.",
)
def publish_event() -> None:
    """One event, accepted by the outbox before it is sent."""
    send_event()


JOBS = (broadcast_command, query_agents, publish_event, agent_registry_job)
