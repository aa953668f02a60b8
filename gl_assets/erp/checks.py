"""The checks of ERP assets: sentences true when they pass, judged on what is stored, day by day.

Each result is also a row of `quality.gate_results`. What must never be stored is refused before: a pull that brings
fewer records than the server counted leaves the stored day as it was (`resources.erp.landing`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import psycopg

from gl_assets.erp.datasets import FACTS
from gl_assets.erp.feeds import feeds_of, landed_key, standard_key
from gl_assets.erp.schedules import RANGE_END, RANGE_START
from resources.databases.timescale.gate_results import GateResult, record_results
from resources.erp.facts import EnergyFacts, PullFacts, energy_facts, last_pulled_day, pull_facts, recent_days
from resources.integrations import Integrations

PARTITION = "dagster/partition"
RECENT_DAYS = 35
"""Days judged when checks run by themselves, without a run's range."""
BULK_SHARE = 0.5
"""Above this share of a day's records vanishing at once, a fault of permissions is likelier than deletions."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of one day."""

    passed: bool
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class DayCheck:
    """One check: its sentence, whether a failure stops what follows in the run, and the function that judges a day."""

    name: str
    description: str
    judge: Callable[[Any], Verdict]
    blocking: bool = False

    @property
    def severity(self) -> dg.AssetCheckSeverity:
        """Structural checks are errors, checks of judgement warn."""
        return dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN


def _counted(pull: PullFacts) -> Verdict:
    return Verdict(pull.rows == pull.server_count, {"rows": pull.rows, "server_count": pull.server_count})


def _once(pull: PullFacts) -> Verdict:
    return Verdict(pull.duplicates == 0, {"duplicates": pull.duplicates})


def _no_bulk(pull: PullFacts) -> Verdict:
    return Verdict(
        pull.vanished <= BULK_SHARE * (pull.rows + pull.vanished) or pull.vanished < 10,
        {"vanished": pull.vanished, "rows": pull.rows},
    )


LANDED_CHECKS = (
    DayCheck(
        "landed_rows_equal_the_servers_count",
        "Each day has as many records as the server counted ($count) when it was pulled.",
        _counted,
    ),
    DayCheck("every_record_was_sent_once", "No record came twice in a pull: the server's paging is stable.", _once),
    DayCheck(
        "records_do_not_vanish_in_bulk",
        "At most half of a day's records vanished at once; more is likelier a lost permission than deletions.",
        _no_bulk,
    ),
)
FRESHNESS = "yesterday_is_landed"


def _same_time(facts: EnergyFacts) -> Verdict:
    return Verdict(facts.same_time == 0, {"rows": facts.rows, "same_meter_and_time": facts.same_time})


def _units(facts: EnergyFacts) -> Verdict:
    return Verdict(facts.mixed_units == 0, {"meters_with_more_than_one_unit": facts.mixed_units})


def _rejected_within(limit: float) -> Callable[[EnergyFacts], Verdict]:
    def judge(facts: EnergyFacts) -> Verdict:
        share = facts.rejected / max(1, facts.rows + facts.rejected)
        return Verdict(share <= limit, {"rejected": facts.rejected, "share": round(share, 6), "limit": limit})

    return judge


def standard_checks(config: Integrations) -> tuple[DayCheck, ...]:
    """Return the checks of `erp/energy_consumption`, with the configured limits."""
    return (
        DayCheck(
            "each_meter_is_booked_once_per_time",
            "No meter has two documents of the same time: its energy would count twice.",
            _same_time,
            blocking=True,
        ),
        DayCheck("each_meter_keeps_its_unit", "No meter has amounts in more than one unit.", _units),
        DayCheck(
            "rejected_records_are_below_the_limit",
            "The share of rejected records is at most quality.warn_rejected_share.",
            _rejected_within(config.quality.warn_rejected_share),
        ),
    )


def build_erp_checks(config: Integrations) -> list[dg.AssetChecksDefinition]:
    """Return the checks of every ERP asset of the configuration."""
    checks = [
        _landed_checks(config, name, dataset)
        for name, system in config.erp.systems.items()
        for dataset in system.datasets
    ]
    return checks + [_standard_checks(config, dataset) for dataset in FACTS if feeds_of(config, dataset)]


def _landed_checks(config: Integrations, system: str, dataset: str) -> dg.AssetChecksDefinition:
    key, zone = landed_key(system, dataset), config.erp.systems[system].time_zone
    fresh = dg.AssetCheckSpec(FRESHNESS, asset=key, description=f"The latest business day of {zone} was pulled.")

    @dg.multi_asset_check(
        name=f"erp_{system}_{dataset}_checks".replace("-", "_"),
        specs=[*_specs(LANDED_CHECKS, key), fresh],
        required_resource_keys={"timescale"},
    )
    def landed(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with context.resources.timescale.connection() as connection:
            days = days_of_run(context) or recent_days(connection, dataset, RECENT_DAYS)
            facts = pull_facts(connection, system, dataset, days)
            yield from _judged(connection, LANDED_CHECKS, key, facts, context.run.run_id)
            last = last_pulled_day(connection, system, dataset)
        yesterday = datetime.now(UTC).astimezone(ZoneInfo(zone)).date() - timedelta(days=1)
        yield dg.AssetCheckResult(
            check_name=FRESHNESS,
            asset_key=key,
            passed=last is not None and last >= yesterday,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"latest_day": str(last or "none"), "expected": str(yesterday)},
        )

    return landed


def _standard_checks(config: Integrations, dataset: str) -> dg.AssetChecksDefinition:
    key, checks = standard_key(dataset), standard_checks(config)

    @dg.multi_asset_check(name=f"erp_{dataset}_checks", specs=_specs(checks, key), required_resource_keys={"timescale"})
    def standard(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        with context.resources.timescale.connection() as connection:
            days = days_of_run(context) or recent_days(connection, dataset, RECENT_DAYS)
            yield from _judged(connection, checks, key, energy_facts(connection, days), context.run.run_id)

    return standard


def days_of_run(context: dg.AssetCheckExecutionContext) -> list[date]:
    """Return the business days that the run was asked for; none if it has no partitions."""
    tags = context.run.tags
    first, last = tags.get(RANGE_START) or tags.get(PARTITION), tags.get(RANGE_END) or tags.get(PARTITION)
    if not first or not last:
        return []
    start, count = date.fromisoformat(first), (date.fromisoformat(last) - date.fromisoformat(first)).days + 1
    return [start + timedelta(days=n) for n in range(count)]


def _specs(checks: Sequence[DayCheck], key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    return [
        dg.AssetCheckSpec(check.name, asset=key, description=check.description, blocking=check.blocking)
        for check in checks
    ]


def _judged(
    connection: psycopg.Connection,
    checks: Sequence[DayCheck],
    key: dg.AssetKey,
    facts: Sequence[PullFacts] | Sequence[EnergyFacts],
    run_id: str,
) -> list[dg.AssetCheckResult]:
    """Judge every day by every check: rows for `quality.gate_results`, and one result a check for the run."""
    results, rows = [], []
    for check in checks:
        verdicts = {fact.day.isoformat(): check.judge(fact) for fact in facts}
        rows += [
            GateResult(key.to_user_string(), day, 1, check.name, v.passed, check.blocking, v.figures, run_id)
            for day, v in verdicts.items()
        ]
        red = {day: verdict.figures for day, verdict in verdicts.items() if not verdict.passed}
        shown = dict(list(red.items())[:10])
        results.append(
            dg.AssetCheckResult(
                check_name=check.name,
                asset_key=key,
                passed=not red,
                severity=check.severity,
                metadata={"days": len(verdicts), "failed_days": len(red), "first_failed": dg.MetadataValue.json(shown)},
            )
        )
    with connection.transaction():
        record_results(connection, rows)
    return results
