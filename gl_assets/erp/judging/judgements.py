"""What the checks of a standard table say of a part: a business day, or the snapshot of master data. No Dagster."""

from datetime import date
from typing import Any

from gl_assets.erp.feeds import Feed
from gl_assets.erp.judging.model import Check, Rows, Verdict, Verdicts
from gl_assets.erp.judging.rule_judgements import check_of
from gl_assets.erp.judging.schema_judgement import keep_the_schema, rows_that_break_it
from gl_assets.erp.judging.scope import MOST_SHOWN, Scope, name_of
from gl_assets.erp.tables import MasterTable
from gl_assets.schemas.erp_columns import AMOUNT
from gl_assets.transforms.erp.meters import UNKNOWN
from gl_assets.transforms.erp.row_rules import YEARS, dated_columns
from gl_assets.transforms.erp.scoring import weights
from gl_assets.transforms.quality import quality_level
from resources.databases.timescale.quality.partition_scores import scores_of
from resources.erp.auditing.audit import PartAccount, amount_accounts, part_accounts
from resources.erp.auditing.audit_rows import first_rows, lowest, outside, rejected_rows
from resources.erp.auditing.audit_tables import mean_completeness, rows_outside

LEAST_KNOWN = 0.3
"""Mean completeness of a part below which a field that matters is likelier mapped wrong than missing."""
LEAST_SCORE = 60.0
"""Score of a part below which it is worth looking at: FAIR."""


def accounted(scope: Scope) -> Verdicts:
    """Judge whether every landed record is a row, rejected or withdrawn; not of parts that are held back."""
    held = set[date | None]().union(*scope.held().values())
    return {
        part.day: Verdict(
            part.landed == part.rows + part.rejected + part.withdrawn,
            {"landed": part.landed, "rows": part.rows, "rejected": part.rejected, "withdrawn": part.withdrawn},
            abs(part.landed - part.rows - part.rejected - part.withdrawn),
        )
        for part in _accounts(scope)
        if part.day not in held
    }


def up_to_date(scope: Scope) -> Verdicts:
    """Judge whether what was pulled has been standardised since."""
    return {
        part.day: Verdict(part.behind == 0, {"datasets_behind": part.behind}, part.behind) for part in _accounts(scope)
    }


def rejected_within(scope: Scope) -> Verdicts:
    """Judge whether the share of rejected records is within the limit."""
    verdicts: Verdicts = {}
    for part in _accounts(scope):
        share = part.rejected / max(1, part.rows + part.rejected)
        figures = {"rejected": part.rejected, "share": round(share, 6), "limit": scope.warn_rejected_share}
        verdicts[part.day] = Verdict(share <= scope.warn_rejected_share, figures, share)
    return verdicts


def _accounts(scope: Scope) -> list[PartAccount]:
    return part_accounts(scope.connection, scope.stored, scope.named_feeds, scope.days)


def _rejected(scope: Scope, part: date | None) -> Rows:
    return rejected_rows(scope.connection, scope.named_feeds, part, MOST_SHOWN)


def amounts_accounted(scope: Scope) -> Verdicts:
    """Judge whether the amounts of the records that became rows are those of the rows, feed by feed.

    A feed that a red gate holds back is not judged: its rows are those of before.
    """
    wrong: dict[date | None, dict[str, Any]] = {}
    fine: dict[str, Any] = {}
    held = scope.held()
    for feed in scope.feeds:
        path, column = totals_of(feed, scope.table)
        if path is None or column is None:
            continue
        named = (feed.system, feed.dataset)
        for found in amount_accounts(scope.connection, scope.stored, named, scope.days, path=path, column=column):
            if found.day in held[str(feed)]:
                continue
            figures = {"landed": str(found.landed), "standard": str(found.standard), "left_out": str(found.left_out)}
            if found.unreadable:
                figures["unreadable"] = str(found.unreadable)
            # each row is rounded at the ninth place
            if abs(found.landed - found.standard) * 1_000_000_000 > found.rows:
                wrong.setdefault(found.day, {})[str(feed)] = figures
            elif scope.days is None or len(scope.days) == 1:
                fine[str(feed)] = figures
    verdicts = scope.all_passed_but(wrong, fine, {part: len(found) for part, found in wrong.items()})
    # of a part of which a feed was not judged, nothing says that all is well
    unknown = set[date | None]().union(*held.values())
    return {part: verdict for part, verdict in verdicts.items() if not verdict.passed or part not in unknown}


def totals_of(feed: Feed, table: MasterTable) -> tuple[str | None, str | None]:
    """Return the path of the amount that is reconciled and the column it becomes; None where there is no such pair."""
    path, fields = feed.declared.totals, feed.declared.fields.items()
    if path is None:
        return None, None
    amounts = [name for name, rule in fields if path in (rule.path, rule.debit, rule.credit, *rule.paths)]
    columns = table.schema.columns
    return path, next((name for name in amounts if name in columns and columns[name].dtype.type == AMOUNT), None)


def known_enough(scope: Scope) -> Verdicts:
    """Judge whether rows have what they should have, on the whole."""
    known = mean_completeness(scope.connection, scope.stored, weights(scope.table.schema), scope.days, unknown=UNKNOWN)
    return {
        part: Verdict(
            part not in known or known[part][1] >= LEAST_KNOWN,
            {"rows": known[part][0], "completeness": round(known[part][1], 4), "limit": LEAST_KNOWN}
            if part in known
            else {"rows": 0},
            known[part][1] if part in known else None,
        )
        for part in scope.parts
    }


def _least_known(scope: Scope, part: date | None) -> Rows:
    return first_rows(scope.connection, scope.stored, lowest([*weights(scope.table.schema)]), part, MOST_SHOWN)


def scored_high_enough(scope: Scope) -> Verdicts:
    """Judge whether the score of each part reaches the limit; a part without records has none."""
    names = [name_of(part) for part in scope.parts]
    found = scores_of(scope.connection, scope.asset, site=scope.site, since=min(names, default=None))
    scores = {score.partition: score for score in found}
    verdicts: Verdicts = {}
    for part, name in zip(scope.parts, names, strict=True):
        held = scores.get(name)
        if held is None:
            verdicts[part] = Verdict(True, {"rows": 0})
            continue
        dimensions = {n: getattr(held, n) for n in ("validity", "completeness", "consistency", "uniqueness")}
        figures = {"rows": held.rows, "score": held.score, "level": quality_level(held.score), **dimensions}
        verdicts[part] = Verdict(held.score >= LEAST_SCORE, figures, held.score)
    return verdicts


def plausible_dates(scope: Scope) -> Verdicts:
    """Judge whether no date lies where it can only be a typing error."""
    columns = dated_columns(scope.table.schema)
    if not columns:
        return scope.all_passed_but({}, {"columns": 0})
    wrong = rows_outside(scope.connection, scope.stored, columns, scope.days, YEARS)
    return scope.all_passed_but(
        {part: dict(counts) for part, counts in wrong.items()},
        {"columns": len(columns)},
        {part: sum(counts.values()) for part, counts in wrong.items()},
    )


def _implausible(scope: Scope, part: date | None) -> Rows:
    failing = outside(dated_columns(scope.table.schema), scope.stored.business_date, YEARS)
    return first_rows(scope.connection, scope.stored, failing, part, MOST_SHOWN)


TABLE_CHECKS = (
    Check(
        "rows_match_the_schema",
        "Every stored row obeys the schema of its table.",
        keep_the_schema,
        effect="block",
        kind="schema",
        limit=0,
        examples=rows_that_break_it,
    ),
    Check(
        "every_landed_record_is_accounted_for",
        "Every landed record is a row, rejected with its reasons, or withdrawn: none was lost on the way.",
        accounted,
        effect="block",
        examples=_rejected,
    ),
    Check(
        "amounts_equal_those_landed",
        "The amounts that a dataset's `totals` names are, summed over the rows, what the system gave.",
        amounts_accounted,
        effect="block",
    ),
    Check(
        "rows_are_as_new_as_what_is_landed",
        "What was pulled or changed was brought into the table since.",
        up_to_date,
    ),
    Check(
        "rejected_records_are_below_the_limit",
        "The share of rejected records is at most quality.warn_rejected_share.",
        rejected_within,
        examples=_rejected,
    ),
    Check(
        "fields_that_matter_are_known",
        f"The mean completeness is at least {LEAST_KNOWN}: less is likelier a wrong mapping than missing data.",
        known_enough,
        kind="completeness",
        limit=LEAST_KNOWN,
        examples=_least_known,
    ),
    Check(
        "dates_are_plausible",
        f"No date lies more than {YEARS['before']} years before or {YEARS['after']} years after its business day.",
        plausible_dates,
        kind="range",
        limit=0,
        examples=_implausible,
    ),
    Check(
        "the_quality_score_is_high_enough",
        f"The quality score is at least {LEAST_SCORE:g} of 100.",
        scored_high_enough,
        kind="score",
        limit=LEAST_SCORE,
        examples=_least_known,
    ),
)
"""What is checked of every standard table."""


def table_checks(table: MasterTable) -> tuple[Check, ...]:
    """Return the checks of a standard table: those of all, then its own."""
    return (*TABLE_CHECKS, *map(check_of, table.checks))
