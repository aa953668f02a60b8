"""Results of the checks of ERP tables: one a check for the run, one row a check and part in `quality.gate_results`."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import psycopg

from gl_assets.checks.reports import DRAWN, markdown_table, measured_chart, severity_of
from gl_assets.erp.judging.model import REVISION, Check, Verdicts
from gl_assets.erp.judging.scope import MOST_SHOWN, Scope, name_of
from resources.databases.timescale.quality.gate_results import GateResult, measured_until, record_results


def told(
    connection: psycopg.Connection[Any],
    found: Mapping[Check, Verdicts],
    key: dg.AssetKey,
    run_id: str,
    scope: Scope | None = None,
) -> list[dg.AssetCheckResult]:
    """Keep what checks say of each part, and return one result a check for the run.

    Args:
        connection: To the platform's database.
        found: Check, as configured -> what it says of each part.
        key: The asset.
        run_id: The run.
        scope: Where the first failing rows are looked for; None: the checks are not of rows.
    """
    asset = key.to_user_string()
    with connection.transaction():
        results = {}
        for check, verdicts in found.items():
            held = {part: check.held(verdict) for part, verdict in verdicts.items()}
            first = _examples(check, held, scope)
            rows = [
                GateResult(asset, name_of(part), REVISION, check.name, v.passed, check.blocking, figures, run_id)
                for (part, v), figures in zip(held.items(), _figures(check, held, first), strict=True)
            ]
            results[check] = record_results(connection, rows)
    return [_result(connection, check, rows, key) for check, rows in results.items()]


def _examples(check: Check, verdicts: Verdicts, scope: Scope | None) -> list[list[dict[str, Any]]]:
    """Return the first failing rows of the first parts that are red, nothing of the others."""
    examples = check.examples
    if scope is None or examples is None:
        return [[] for _ in verdicts]
    red = [part for part, verdict in verdicts.items() if not verdict.passed][:MOST_SHOWN]
    return [[dict(row) for row in examples(scope, part)] if part in red else [] for part in verdicts]


def _figures(check: Check, verdicts: Verdicts, first: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return what is kept of each verdict: its figures, what was measured against which limit, the failing rows."""
    found = []
    for verdict, rows in zip(verdicts.values(), first, strict=True):
        figures = dict(verdict.figures)
        if verdict.measured is not None:
            limit = check.limit if check.limit is not None else figures.get("limit", 0)
            figures |= {"measured": round(float(verdict.measured), 6), "limit": limit}
        found.append({**figures, "first": rows} if rows else figures)
    return found


def _result(
    connection: psycopg.Connection[Any], check: Check, results: Sequence[GateResult], key: dg.AssetKey
) -> dg.AssetCheckResult:
    red = [result for result in results if not result.passed]
    held = [result for result in red if severity_of(result) is dg.AssetCheckSeverity.ERROR]
    shown = red or list(results)
    metadata: dict[str, Any] = {
        "days": len(results),
        "failed_days": len(red),
        "first_failed" if red else "figures": dg.MetadataValue.json(
            {result.partition: result.metadata for result in shown[:MOST_SHOWN]}
        ),
    }
    if len(held) < len(red):
        metadata["released"] = len(red) - len(held)
    first = next((result.metadata["first"] for result in red if "first" in result.metadata), None)
    if first:
        metadata["first_failing_rows"] = dg.MetadataValue.md(markdown_table(first))
    plot = _plot(connection, check, key, max((result.partition for result in results), default=None))
    if plot is not None:
        metadata["plot"] = plot
    error = check.blocking and (bool(held) or not red)
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=key,
        passed=not red,
        severity=dg.AssetCheckSeverity.ERROR if error else dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


def _plot(
    connection: psycopg.Connection[Any], check: Check, key: dg.AssetKey, last: str | None
) -> dg.MarkdownMetadataValue | None:
    """Return what a check measured of the last parts, drawn; None where it measures nothing."""
    if last is None:
        return None
    with connection.transaction():
        judged = measured_until(connection, key.to_user_string(), check.name, last=last, limit=DRAWN)
    return measured_chart(judged, check.name) if judged else None
