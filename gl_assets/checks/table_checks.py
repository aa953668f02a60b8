"""Dagster checks of gated tables, made by one function: partition by partition as a run stores them, and by hand.

They are a step of their own behind the asset's: what is made from the asset in the same run waits for them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import psycopg

from gl_assets.checks.model import Gate, in_force, specs
from gl_assets.checks.reports import evaluation, plot_of, summary
from gl_assets.checks.table_gates import GatedTable, Part, TableFacts, facts_of, gates_of_table
from gl_assets.partition_range import told_in_words
from resources.databases.timescale.quality.gate_results import GateResult, record_results
from resources.integrations import Integrations

RANGE_START, RANGE_END, PARTITION = (
    "dagster/asset_partition_range_start",
    "dagster/asset_partition_range_end",
    "dagster/partition",
)

Keys = Callable[[str, str], Sequence[str]]
"""(first, last) -> the partition keys from first to last."""


@dataclass(frozen=True, slots=True)
class Judging:
    """How the partitions of a table are found and read."""

    table: GatedTable
    read: Callable[[psycopg.Connection, str], Part]
    """Reads one partition by its key."""
    keys: Keys | None = None
    """None: the table has no partitions."""
    newest: Callable[[psycopg.Connection], str | None] = lambda _: None
    """Key of the newest part there is, which is judged where a run names none; None: there is none."""


def build_table_checks(judging: Judging, config: Integrations) -> list[dg.AssetChecksDefinition]:
    """Return the checks of a table, in a list that is empty where all of its gates are off."""
    table = judging.table
    gates = in_force(gates_of_table(table), table.name, config.quality.gates)
    if not gates:
        return []

    @dg.multi_asset_check(
        name=f"{table.noun}_gates",
        specs=specs(gates, table.asset),
        required_resource_keys={"timescale"},
    )
    def table_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with told_in_words(), context.resources.timescale.connection() as connection:
            connection.autocommit = True  # one transaction per partition
            keys = _keys(context, judging, connection)
            results = [
                result for key in keys for result in _judge(connection, judging, gates, (key, context.run.run_id))
            ]
            if judging.keys is not None:
                for result in results:
                    context.op_execution_context.log_event(evaluation(result))  # type: ignore[arg-type] # taken, though not declared
            last = max(keys, default=None)
            yield from [
                summary(
                    gate,
                    table.asset,
                    results,
                    drawn=lambda gate=gate: plot_of(connection, gate, table.name, last),  # type: ignore[misc]
                    # what is made from these partitions looks which are held back
                    stops=False,
                )
                for gate in gates
            ]

    return [table_checks]


def _judge(
    connection: psycopg.Connection, judging: Judging, gates: Sequence[Gate[TableFacts]], of: tuple[str, str]
) -> list[GateResult]:
    key, run_id = of
    with connection.transaction():
        facts = facts_of(judging.table, judging.read(connection, key))
        verdicts = [(gate, gate.judge(facts, gate.limit)) for gate in gates]
        name = judging.table.name
        return record_results(
            connection,
            [
                GateResult(name, key, facts.revision, gate.name, v.passed, gate.blocking, v.metadata, run_id)
                for gate, v in verdicts
            ],
        )


def _keys(context: dg.AssetCheckExecutionContext, judging: Judging, connection: psycopg.Connection) -> list[str]:
    """Return the partitions of the run; without any, the newest one."""
    tags = context.run.tags
    first, last = tags.get(RANGE_START) or tags.get(PARTITION), tags.get(RANGE_END) or tags.get(PARTITION)
    if first and last and judging.keys is not None:
        return list(judging.keys(first, last))
    newest = judging.newest(connection)
    return [] if newest is None else [newest]


def partition_keys(step: Any, parse: Callable[[str], Any], name: Callable[[Any], str]) -> Keys:
    """Return how keys of equal steps are listed: from first to last, both included."""

    def keys(first: str, last: str) -> list[str]:
        start, end = parse(first), parse(last)
        return [name(start + n * step) for n in range((end - start) // step + 1)]

    return keys
