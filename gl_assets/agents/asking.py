"""Sending one request within a run, and what is reported of it."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg

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
from resources.agents.broadcaster import Broadcaster
from resources.agents.requests import Outcome, Request
from resources.agents.resource import AgentsResource
from resources.core.errors import ConfigError, DataError, PlatformError

_LARGEST_SHOWN = 20_000
"""Characters of JSON that the event log takes of one value; the answers themselves are in agents.responses."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What came of a request, at each agent and put together."""

    outcome: Outcome
    aggregate: Aggregate


def ask(agents: AgentsResource, request: Request, aggregation: Aggregation, log: logging.Logger) -> Asked:
    """Send a request and put the answers together; a run that is terminated meanwhile withdraws it.

    Raises:
        dagster.Failure: The configuration or the request is wrong, or it was withdrawn before; not to be tried again.
        UnreachableError, AuthError: The database cannot be reached.
    """
    command = request.command
    what = f"{command.kind} {command.name}"
    try:
        with agents.broadcaster() as broadcaster, withdrawn_with_the_run(broadcaster, command.message_id, what, log):
            outcome = broadcaster.run(request)
        if outcome.repeated and outcome.status == "cancelled":
            raise DataError(
                f"{what}: {command.message_id} was withdrawn, and nothing is sent under that id again; launch a new "
                "run (one that is re-executed keeps the id), or give another message_id"
            )
        return Asked(outcome, aggregate(outcome.results, aggregation, deadline=outcome.message.deadline))
    except (ConfigError, DataError) as error:
        raise permanent(error) from error


@contextmanager
def withdrawn_with_the_run(
    broadcaster: Broadcaster, message_id: str | None, what: str, log: logging.Logger
) -> Iterator[None]:
    """Say under which id a message is sent, and withdraw it if the run is terminated in this context."""
    assert message_id is not None
    log.info(f"{what}: its id is {message_id}; `gl agents cancel {message_id}`, or terminating this run, withdraws it")
    try:
        yield
    except (KeyboardInterrupt, dg.DagsterExecutionInterruptedError):
        # without this the orchestrator that serves would go on sending it to whoever has not got it yet
        try:
            if broadcaster.cancel(message_id):
                log.warning(f"{what}: {message_id} is withdrawn: what the broker has may still be run")
        except (PlatformError, psycopg.Error) as error:
            log.error(f"{what}: {message_id} could not be withdrawn ({error}): `gl agents cancel {message_id}`")
        raise


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
