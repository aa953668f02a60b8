"""Sending one request within a run, and what is reported of it."""

import json
from dataclasses import dataclass
from typing import Any

import dagster as dg

from gl_assets.agents.results import (
    latency_percentile,
    latency_plot,
    provenance_table,
    result_table,
    skipped_table,
    state_counts,
)
from resources.agents.aggregation.aggregate import aggregate
from resources.agents.aggregation.model import Aggregate, Aggregation
from resources.agents.requests import Outcome, Request
from resources.agents.resource import AgentsResource
from resources.core.errors import ConfigError, DataError

_LARGEST_SHOWN = 20_000
"""Characters of JSON that the event log takes of one value; the answers themselves are in agents.responses."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a request, at each agent and put together."""

    outcome: Outcome
    aggregate: Aggregate


def ask(agents: AgentsResource, request: Request, aggregation: Aggregation) -> Asked:
    """Send a request and put the answers together.

    Raises:
        dagster.Failure: The configuration or the request is wrong; not to be tried again.
        UnreachableError, AuthError: The database cannot be reached.
    """
    try:
        with agents.broadcaster() as broadcaster:
            outcome = broadcaster.run(request)
        return Asked(outcome, aggregate(outcome.results, aggregation, deadline=outcome.message.deadline))
    except (ConfigError, DataError) as error:
        raise permanent(error) from error


def permanent(error: Exception) -> dg.Failure:
    """Return the failure for what trying again does not change: a configuration, or a message."""
    return dg.Failure(str(error), allow_retries=False)


def metadata_of(asked: Asked) -> dict[str, Any]:
    """Return what the materialisation of an asset of answers says."""
    outcome, found = asked.outcome, asked.aggregate
    message = outcome.message
    told = {
        "dagster/row_count": len(outcome.latencies_ms),
        "command": message.payload["name"],
        "kind": message.message_type,
        "message_id": message.message_id,
        "repeated": outcome.repeated,
        "targeted": len(outcome.results),
        "not_awaited": sum(not result.awaited for result in outcome.results),
        "skipped": len(outcome.skipped),
        **state_counts(outcome.results),
        "latency_p50_ms": latency_percentile(outcome, 50),
        "latency_p99_ms": latency_percentile(outcome, 99),
        "aggregation": found.method,
        "aggregated": found.succeeded,
        "support": round(found.support, 4),
        "value": shown(found.value),
        "aggregation_details": shown(dict(found.details)),
        "not_answered": dg.MetadataValue.md(result_table(outcome.results)),
        "provenance": dg.MetadataValue.md(provenance_table(found.provenance)),
        "latencies": latency_plot(outcome),
    }
    if found.reason is not None:
        told["not_aggregated_because"] = found.reason
    if outcome.skipped:
        told["who_was_skipped"] = dg.MetadataValue.md(skipped_table(outcome.skipped))
    return told


def shown(value: Any) -> Any:
    """Return a JSON value as metadata: a number is drawn over time; what is too large only says where it is."""
    if len(json.dumps(value)) > _LARGEST_SHOWN:
        return dg.MetadataValue.text("too large to be shown here; the answers are in agents.responses")
    return value if isinstance(value, str | int | float) else dg.MetadataValue.json(value)
