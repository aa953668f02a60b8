"""What the checks of a standard table say of a part: a business day, or the snapshot of master data. No Dagster."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import singledispatch
from typing import Any

from gl_assets.erp.feeds import Feed
from gl_assets.erp.judging.pull_checks import Check, Verdict
from gl_assets.erp.tables import FactTable, MasterTable
from gl_assets.schemas.erp_columns import AMOUNT
from gl_assets.transforms.erp.meters import UNKNOWN
from gl_assets.transforms.erp.row_rules import YEARS, dated_columns
from gl_assets.transforms.erp.scoring import weights
from gl_assets.transforms.erp.table_rules import Balanced, InCurrency, Metered, Once, OneValue, TableRule
from gl_assets.transforms.values.currencies import currency_decimals
from resources.erp.audit import Connection, Days, PartAccount, amount_accounts, part_accounts
from resources.erp.audit_tables import (
    absent_values,
    mean_completeness,
    mixed_values,
    places_by_currency,
    repeated_rows,
    rows_outside,
    unbalanced_groups,
)
from resources.erp.incoming import StandardTable

LEAST_KNOWN = 0.3
"""Mean completeness of a part below which a field that matters is likelier mapped wrong than missing."""
MOST_SHOWN = 5
"""Examples that a result shows."""


Verdicts = dict[date | None, Verdict]


@dataclass(frozen=True)
class Scope:
    """What is judged: parts of a standard table, and what fills it."""

    connection: Connection
    table: MasterTable
    feeds: Sequence[Feed]
    days: Days
    """None for master data."""
    warn_rejected_share: float = 0.01

    @property
    def stored(self) -> StandardTable:
        """The table in the database."""
        date_column = self.table.business_date if isinstance(self.table, FactTable) else None
        return StandardTable(self.table.name, self.table.columns, date_column)

    @property
    def parts(self) -> list[date | None]:
        """The parts, in order."""
        return [None] if self.days is None else list(self.days)

    def all_passed_but(self, wrong: Mapping[date | None, dict[str, Any]], fine: dict[str, Any]) -> Verdicts:
        """Return a verdict per part: failed with the figures of `wrong`, passed with `fine`."""
        return {part: Verdict(part not in wrong, wrong.get(part, fine)) for part in self.parts}


def accounted(scope: Scope) -> Verdicts:
    """Judge whether every landed record is a row, rejected or withdrawn."""
    return {
        part.day: Verdict(
            part.landed == part.rows + part.rejected + part.withdrawn,
            {"landed": part.landed, "rows": part.rows, "rejected": part.rejected, "withdrawn": part.withdrawn},
        )
        for part in _accounts(scope)
    }


def up_to_date(scope: Scope) -> Verdicts:
    """Judge whether what was pulled has been standardised since."""
    return {part.day: Verdict(part.behind == 0, {"datasets_behind": part.behind}) for part in _accounts(scope)}


def rejected_within(scope: Scope) -> Verdicts:
    """Judge whether the share of rejected records is within the limit."""
    verdicts: Verdicts = {}
    for part in _accounts(scope):
        share = part.rejected / max(1, part.rows + part.rejected)
        figures = {"rejected": part.rejected, "share": round(share, 6), "limit": scope.warn_rejected_share}
        verdicts[part.day] = Verdict(share <= scope.warn_rejected_share, figures)
    return verdicts


def _accounts(scope: Scope) -> list[PartAccount]:
    named = [(feed.system, feed.dataset) for feed in scope.feeds]
    return part_accounts(scope.connection, scope.stored, named, scope.days)


def amounts_accounted(scope: Scope) -> Verdicts:
    """Judge whether the amounts of the records that became rows are those of the rows, feed by feed."""
    wrong: dict[date | None, dict[str, Any]] = {}
    fine: dict[str, Any] = {}
    for feed in scope.feeds:
        path, column = totals_of(feed, scope.table)
        if path is None or column is None:
            continue
        named = (feed.system, feed.dataset)
        for found in amount_accounts(scope.connection, scope.stored, named, scope.days, path=path, column=column):
            figures = {"landed": str(found.landed), "standard": str(found.standard), "left_out": str(found.left_out)}
            if found.unreadable:
                figures["unreadable"] = str(found.unreadable)
            # each row is rounded at the ninth place
            if abs(found.landed - found.standard) * 1_000_000_000 > found.rows:
                wrong.setdefault(found.day, {})[str(feed)] = figures
            elif scope.days is None or len(scope.days) == 1:
                fine[str(feed)] = figures
    return scope.all_passed_but(wrong, fine)


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
        )
        for part in scope.parts
    }


def plausible_dates(scope: Scope) -> Verdicts:
    """Judge whether no date lies where it can only be a typing error."""
    columns = dated_columns(scope.table.schema)
    if not columns:
        return scope.all_passed_but({}, {"columns": 0})
    wrong = rows_outside(scope.connection, scope.stored, columns, scope.days, YEARS)
    return scope.all_passed_but({part: dict(counts) for part, counts in wrong.items()}, {"columns": len(columns)})


TABLE_CHECKS = (
    Check(
        "every_landed_record_is_accounted_for",
        "Every landed record is a row, rejected with its reasons, or withdrawn: none was lost on the way.",
        accounted,
        blocking=True,
    ),
    Check(
        "amounts_equal_those_landed",
        "The amounts that a dataset's `totals` names are, summed over the rows, what the system gave.",
        amounts_accounted,
        blocking=True,
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
    ),
    Check(
        "fields_that_matter_are_known",
        f"The mean completeness is at least {LEAST_KNOWN}: less is likelier a wrong mapping than missing data.",
        known_enough,
    ),
    Check(
        "dates_are_plausible",
        f"No date lies more than {YEARS['before']} years before or {YEARS['after']} years after its business day.",
        plausible_dates,
    ),
)
"""What is checked of every standard table."""


@singledispatch
def judge_rule(rule: TableRule, scope: Scope) -> Verdicts:
    """Return what a rule of a table says of each part."""
    raise NotImplementedError(type(rule).__name__)


@judge_rule.register
def _once(rule: Once, scope: Scope) -> Verdicts:
    found = repeated_rows(scope.connection, scope.stored, rule.columns, scope.days)
    return scope.all_passed_but({part: {"rows": rows} for part, rows in found.items()}, {"rows": 0})


@judge_rule.register
def _one_value(rule: OneValue, scope: Scope) -> Verdicts:
    found = mixed_values(scope.connection, scope.stored, rule.per, rule.column, scope.days)
    return scope.all_passed_but({part: {"groups": groups} for part, groups in found.items()}, {"groups": 0})


@judge_rule.register
def _balanced(rule: Balanced, scope: Scope) -> Verdicts:
    # who asks for some lines alone sees no whole journal
    whole = sorted({feed.system for feed in scope.feeds} - {f.system for f in scope.feeds if asks_for_a_part(f, rule)})
    found = unbalanced_groups(scope.connection, scope.stored, rule.per, rule.amount, (whole, scope.days))
    wrong = {
        part: {"groups": len(groups), "largest": [[str(held) for held in group] for group in groups[:MOST_SHOWN]]}
        for part, groups in found.items()
    }
    return scope.all_passed_but(wrong, {"groups": 0, "systems": whole})


def asks_for_a_part(feed: Feed, rule: Balanced) -> bool:
    """Return whether a condition of a dataset is on what differs within a group, such as the cost center of a line."""
    same = {*rule.per, "posting_date"}
    within = {path for name, held in feed.declared.fields.items() if name not in same for path in held.properties}
    return any(condition.property in within for condition in feed.declared.where)


@judge_rule.register
def _in_currency(rule: InCurrency, scope: Scope) -> Verdicts:
    decimals = currency_decimals()
    wrong: dict[date | None, dict[str, Any]] = {}
    found = places_by_currency(scope.connection, scope.stored, rule.amount, rule.currency, scope.days)
    for part, counts in found.items():
        for (currency, places), rows in counts.items():
            if places > decimals.get(currency, 0):
                wrong.setdefault(part, {})[f"{currency} with {places} decimals"] = rows
    return scope.all_passed_but(wrong, {"rows": 0})


@judge_rule.register
def _metered(rule: Metered, scope: Scope) -> Verdicts:
    expected = {feed.system: sorted(feed.settings.meters) for feed in scope.feeds if feed.settings.meters}
    if scope.days is None or not expected:
        return scope.all_passed_but({}, {"meters": 0})
    absent = absent_values(scope.connection, scope.stored, rule.meter, expected, scope.days)
    wrong = {part: {"meters": len(names), "absent": names[:MOST_SHOWN]} for part, names in absent.items()}
    return scope.all_passed_but(wrong, {"meters": sum(map(len, expected.values()))})


def table_checks(table: MasterTable) -> tuple[Check, ...]:
    """Return the checks of a standard table: those of all, then its own."""
    own = [
        Check(rule.name, rule.says, lambda scope, rule=rule: judge_rule(rule, scope), getattr(rule, "blocking", False))
        for rule in table.checks
    ]
    return (*TABLE_CHECKS, *own)
