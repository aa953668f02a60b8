"""The checks of ERP assets: sentences true when they pass, judged on what is stored, part by part.

Each result is also a row of `quality.gate_results`. What must never be stored is refused before: a pull that brings
fewer records than the server counted leaves the stored day as it was (`resources.erp.landed.landing`), and a row that
breaks a rule of its table is rejected with the reason.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import psycopg

from gl_assets.erp.check_results import told
from gl_assets.erp.feeds import Feed, feeds, feeds_of, standard_key, tables_fed
from gl_assets.erp.judging.drift import drift, is_taken_over, passes
from gl_assets.erp.judging.judgements import table_checks
from gl_assets.erp.judging.model import Check, Verdict, Verdicts, in_force
from gl_assets.erp.judging.pull_checks import PULL_CHECKS
from gl_assets.erp.judging.scope import Scope, part_named, stored_as
from gl_assets.erp.schedules import RANGE_END, RANGE_START
from gl_assets.erp.tables import TABLES, FactTable, MasterTable
from resources.core.configuration.gates import setting_of
from resources.databases.timescale.quality.gate_results import list_results
from resources.erp.auditing.audit import Days, last_pull, pull_audits, recent_days
from resources.erp.auditing.observed import found_properties, known_properties, remember_properties
from resources.erp.cursors import touched_days
from resources.integrations import Integrations

PARTITION = "dagster/partition"
RECENT_DAYS = 35
"""Days judged when checks run by themselves, without a run's range."""
FRESH_SNAPSHOT = timedelta(days=2)
"""A snapshot of master data is taken daily: one that is older was missed."""

FRESHNESS = "yesterday_is_landed"
FRESH_MASTER = "the_snapshot_is_fresh"
DRIFT = "records_have_the_known_properties"
_ALL = 1_000_000
"""More results than there ever are."""


def build_erp_checks(config: Integrations) -> list[dg.AssetChecksDefinition]:
    """Return the checks of every ERP asset of the configuration."""
    return [
        *(checks for feed in feeds(config) for checks in _landed_checks(config, feed)),
        *(checks for table in tables_fed(config) for checks in _standard_checks(config, table)),
    ]


def _landed_checks(config: Integrations, feed: Feed) -> list[dg.AssetChecksDefinition]:
    asset = feed.key.to_user_string()
    checks = in_force([*PULL_CHECKS, _fresh_check(feed), _drift_check(feed)], asset, config.quality.gates)
    if not checks:
        return []

    @dg.multi_asset_check(
        name=f"erp_{feed.system}_{feed.dataset}_checks".replace("-", "_"),
        specs=_specs(checks, feed.key),
        required_resource_keys={"timescale"},
    )
    def landed(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with context.resources.timescale.connection() as connection:
            days = _days(context, connection, [feed])
            table = TABLES.get(feed.table)
            audits = pull_audits(connection, feed.system, feed.dataset, days, stored_as(table) if table else None)
            found: dict[Check, Verdicts] = {
                check: {pull.day: check.judge(pull) for pull in audits}
                for check in checks
                if check.name in {pull_check.name for pull_check in PULL_CHECKS}
            }
            for check in checks:
                if check.name == DRIFT:
                    found[check] = _judge_drift(connection, feed, _with_touched(context, connection, feed, days))
            yield from told(connection, found, feed.key, context.run.run_id)
            for check in checks:
                if check.name in (FRESHNESS, FRESH_MASTER):
                    within = setting_of(config.quality.gates, asset, "freshness", check.name).within
                    yield _judge_freshness(connection, feed, check, within)

    return [landed]


def _fresh_check(feed: Feed) -> Check:
    if feed.declared.is_master:
        return Check(FRESH_MASTER, "The snapshot was taken in the last two days.", _judge_freshness, kind="freshness")
    zone = feed.settings.time_zone
    return Check(FRESHNESS, f"The latest business day of {zone} was pulled.", _judge_freshness, kind="freshness")


def _drift_check(feed: Feed) -> Check:
    contract = feed.declared.contract
    return Check(
        DRIFT,
        "Records have the properties they had, of the types they had; none that is read has gone. "
        f"The contract is {contract}: a change "
        + {
            "evolve": "is taken as it comes.",
            "warn": "is told once and known from then on.",
            "freeze": "blocks until a run with another contract takes it over.",
        }[contract],
        _judge_drift,
        effect="block" if contract == "freeze" else "warn",
    )


def _judge_drift(connection: psycopg.Connection, feed: Feed, days: Days) -> Verdicts:
    """Compare what records have with what is remembered, and remember it where the contract lets it in."""
    contract, names = feed.declared.contract, (feed.system, feed.dataset)
    records, found = found_properties(connection, *names, days)
    if not records:
        return {}
    with connection.transaction():
        # two runs at once would each take the other's finds for news
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"erp.observed/{'/'.join(names)}",)
        )
        changed = drift(known_properties(connection, *names), found, records, feed.declared.properties)
        if is_taken_over(changed, contract):
            remember_properties(connection, *names, found, now=datetime.now(UTC))
    figures: dict[str, Any] = {"records": records, "properties": len(found), "contract": contract}
    told = {"new": changed.new, "missing": changed.missing, "retyped": changed.retyped}
    figures |= {name: list(held) for name, held in told.items() if held}
    verdict = Verdict(passes(changed, contract), figures)
    parts: list[date | None] = [*days] if days else [None]
    if contract == "freeze":
        # each part is held by a gate of its own
        return dict.fromkeys(parts, verdict)
    # what changed is told once, of the last part that it was found in
    return {**_taken_over(connection, feed, parts), max(days) if days else None: verdict}


def _taken_over(connection: psycopg.Connection, feed: Feed, parts: Sequence[date | None]) -> Verdicts:
    """Return that the parts pass which a frozen contract holds, where all that their records have is known by now."""
    names, verdicts = (feed.system, feed.dataset), Verdicts()
    red = list_results(connection, red_only=True, asset=feed.key.to_user_string(), limit=_ALL)
    frozen = [gate for gate in red if gate.check == DRIFT and gate.blocking]
    known = known_properties(connection, *names) if frozen else {}
    for gate in frozen:
        day = part_named(gate.partition)
        records, found = found_properties(connection, *names, None if day is None else [day])
        if day in parts or not drift(known, found, records, feed.declared.properties):
            verdicts[day] = Verdict(True, {"records": records, "contract": feed.declared.contract})
    return verdicts


def _with_touched(
    context: dg.AssetCheckExecutionContext, connection: psycopg.Connection, feed: Feed, days: Days
) -> Days:
    """Return the days of a run, and those beyond its range whose records it changed: a read of changes has any days."""
    if days is None or feed.declared.contract != "freeze":
        return days
    touched = touched_days(connection, feed.system, feed.dataset, run_id=context.run.run_id)
    return sorted({*days, *(day for day in touched if day is not None)})


def _judge_freshness(
    connection: psycopg.Connection, feed: Feed, check: Check, within: timedelta | None
) -> dg.AssetCheckResult:
    """Judge whether the latest part is there; `within` is how old it may be in place of what the check says."""
    last = last_pull(connection, feed.system, feed.dataset)
    now = datetime.now(UTC)
    if feed.declared.is_master:
        allowed = within or FRESH_SNAPSHOT
        passed = last is not None and now - last[1] <= allowed
        figures = {"taken_at": last[1].isoformat(timespec="seconds") if last else "never"}
        figures["limit"] = f"{allowed / timedelta(hours=1):g} h"
    else:
        # what is asked for is the day that was over so long ago; without a setting, yesterday
        over = now.astimezone(ZoneInfo(feed.settings.time_zone)) - (within or timedelta(0))
        expected = over.date() - timedelta(days=1)
        latest = last[0] if last else None
        passed = latest is not None and latest >= expected
        figures = {"latest_day": str(latest or "none"), "expected": str(expected)}
    return dg.AssetCheckResult(
        check_name=check.name,
        asset_key=feed.key,
        passed=passed,
        severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
        metadata=figures,
    )


def _standard_checks(config: Integrations, table: MasterTable) -> list[dg.AssetChecksDefinition]:
    key, fed_by = standard_key(table.name), feeds_of(config, table.name)
    checks = in_force(table_checks(table), key.to_user_string(), config.quality.gates)
    if not checks:
        return []

    @dg.multi_asset_check(
        name=f"erp_{table.name}_checks", specs=_specs(checks, key), required_resource_keys={"timescale"}
    )
    def standard(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with context.resources.timescale.connection() as connection:
            days = _days(context, connection, fed_by) if isinstance(table, FactTable) else None
            scope = Scope(connection, table, fed_by, days, config.quality.warn_rejected_share, config.site)
            found = {check: check.judge(scope) for check in checks}
            yield from told(connection, found, key, context.run.run_id, scope)

    return [standard]


def _days(context: dg.AssetCheckExecutionContext, connection: psycopg.Connection, fed_by: Sequence[Feed]) -> Days:
    """Return the business days of the run, else the latest ones that were pulled; None for master data."""
    if fed_by[0].declared.is_master:
        return None
    latest = {day for feed in fed_by for day in recent_days(connection, feed.dataset, RECENT_DAYS)}
    return days_of_run(context) or sorted(latest)[-RECENT_DAYS:]


def days_of_run(context: dg.AssetCheckExecutionContext) -> list[date]:
    """Return the business days that the run was asked for; none if it has no partitions."""
    tags = context.run.tags
    first, last = tags.get(RANGE_START) or tags.get(PARTITION), tags.get(RANGE_END) or tags.get(PARTITION)
    if not first or not last:
        return []
    start, count = date.fromisoformat(first), (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    return [start + timedelta(days=n) for n in range(count)]


def _specs(checks: Sequence[Check], key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(check.name, asset=key, description=check.description, blocking=check.blocking)
        for check in checks
    ]
