"""Run requests for what a plan asks for."""

from collections.abc import Sequence
from dataclasses import replace

import dagster as dg
from dagster import DagsterInstance

from sensors.triggers.active_runs import (
    ATTEMPT_TAG,
    LANE_TAG,
    PRIORITY_TAG,
    RANGE_END_TAG,
    RANGE_START_TAG,
    REVISION_TAG,
    run_key_is_taken,
)
from sensors.triggers.planning import Ask


def run_requests(instance: DagsterInstance, name: str, asks: Sequence[Ask]) -> list[dg.RunRequest]:
    """Return one request per ask, live ones with priority in the queue.

    Dagster never starts a second run with a run key, not even after a failure. The attempt in the key comes from the
    cursor, and a cursor can be reset by hand: so a key that is taken gets the next free attempt.
    """
    return [_request(_free(instance, name, ask), name) for ask in asks]


def _free(instance: DagsterInstance, name: str, ask: Ask) -> Ask:
    while run_key_is_taken(instance, ask.run_key(name)):
        ask = replace(ask, attempt=ask.attempt + 1)
    return ask


def _request(ask: Ask, name: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=ask.run_key(name),
        tags={
            RANGE_START_TAG: ask.first_key,
            RANGE_END_TAG: ask.last_key,
            REVISION_TAG: str(ask.revision),
            ATTEMPT_TAG: str(ask.attempt),
            LANE_TAG: "live" if ask.live else "backlog",
            PRIORITY_TAG: "10" if ask.live else "0",
        },
    )
