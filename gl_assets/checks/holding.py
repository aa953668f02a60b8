"""What a red gate holds back: an asset that is made from a partition looks here before it begins."""

from collections.abc import Sequence

import dagster as dg
import psycopg

from resources.core.errors import DataError
from resources.databases.timescale.quality.gate_results import RecordedGate, red_gates


class HeldBackError(DataError):
    """A blocking gate of what is read is red, and nobody has released it."""


def refuse_held(connection: psycopg.Connection, upstream: dg.AssetKey, partitions: Sequence[str], what: str) -> None:
    """Refuse to make `what` from partitions that a red gate holds back.

    Raises:
        HeldBackError: At least one is held; the message names gate and command.
    """
    red = red_gates(connection, upstream.to_user_string(), partitions)
    if red:
        raise HeldBackError(f"{what} is not made: {why_held(red)}")


def why_held(red: Sequence[RecordedGate]) -> str:
    """Return the sentence that names red gates, and the commands that show and release them."""
    names = ", ".join(sorted({f"{gate.check} of {gate.partition}" for gate in red}))
    first = red[0]
    return (
        f"a blocking gate of {first.asset} is red: {names}; look at `gl gates list`, then "
        f'`gl gates release {first.partition} --asset {first.asset} --because "..."`'
    )
