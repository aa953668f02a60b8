"""What the rules of a standard table say of its parts, and the rows that break them. No Dagster."""

from datetime import date
from functools import singledispatch
from typing import Any

from gl_assets.erp.feeds import Feed
from gl_assets.erp.judging.model import Check, Rows, Verdicts
from gl_assets.erp.judging.scope import MOST_SHOWN, Scope
from gl_assets.transforms.erp.table_rules import Balanced, InCurrency, Metered, Once, OneValue, TableRule
from gl_assets.transforms.values.currencies import currency_decimals
from resources.core.configuration.gates import Kind
from resources.erp.auditing.audit_rows import Failing, first_rows, mixed, repeated, too_fine, unbalanced
from resources.erp.auditing.audit_tables import (
    absent_values,
    mixed_values,
    places_by_currency,
    repeated_rows,
    unbalanced_groups,
)

_KINDS: dict[type, Kind] = {Once: "duplicates", InCurrency: "range"}
"""Rules whose limit can be configured: so many rows may break them."""


def check_of(rule: TableRule) -> Check:
    """Return the check of a rule."""
    kind = _KINDS.get(type(rule))
    return Check(
        rule.name,
        rule.says,
        lambda scope: judge_rule(rule, scope),
        effect="block" if getattr(rule, "blocking", False) else "warn",
        kind=kind,
        limit=None if kind is None else 0,
        examples=lambda scope, part: examples_of(rule, scope, part),
    )


@singledispatch
def judge_rule(rule: TableRule, scope: Scope) -> Verdicts:
    """Return what a rule of a table says of each part."""
    raise NotImplementedError(type(rule).__name__)


@judge_rule.register
def _once(rule: Once, scope: Scope) -> Verdicts:
    found = repeated_rows(scope.connection, scope.stored, rule.columns, scope.days)
    return scope.all_passed_but({part: {"rows": rows} for part, rows in found.items()}, {"rows": 0}, found)


@judge_rule.register
def _one_value(rule: OneValue, scope: Scope) -> Verdicts:
    found = mixed_values(scope.connection, scope.stored, rule.per, rule.column, scope.days)
    return scope.all_passed_but({part: {"groups": groups} for part, groups in found.items()}, {"groups": 0}, found)


@judge_rule.register
def _balanced(rule: Balanced, scope: Scope) -> Verdicts:
    whole = read_whole(rule, scope)
    found = unbalanced_groups(scope.connection, scope.stored, rule.per, rule.amount, (whole, scope.days))
    wrong = {
        part: {"groups": len(groups), "largest": [[str(held) for held in group] for group in groups[:MOST_SHOWN]]}
        for part, groups in found.items()
    }
    counts = {part: len(groups) for part, groups in found.items()}
    return scope.all_passed_but(wrong, {"groups": 0, "systems": whole}, counts)


@judge_rule.register
def _in_currency(rule: InCurrency, scope: Scope) -> Verdicts:
    decimals = currency_decimals()
    wrong: dict[date | None, dict[str, Any]] = {}
    found = places_by_currency(scope.connection, scope.stored, rule.amount, rule.currency, scope.days)
    for part, counts in found.items():
        for (currency, places), rows in counts.items():
            if places > decimals.get(currency, 0):
                wrong.setdefault(part, {})[f"{currency} with {places} decimals"] = rows
    return scope.all_passed_but(wrong, {"rows": 0}, {part: sum(counts.values()) for part, counts in wrong.items()})


@judge_rule.register
def _metered(rule: Metered, scope: Scope) -> Verdicts:
    expected = {feed.system: sorted(feed.settings.meters) for feed in scope.feeds if feed.settings.meters}
    if scope.days is None or not expected:
        return scope.all_passed_but({}, {"meters": 0})
    absent = absent_values(scope.connection, scope.stored, rule.meter, expected, scope.days)
    wrong = {part: {"meters": len(names), "absent": names[:MOST_SHOWN]} for part, names in absent.items()}
    counts = {part: len(names) for part, names in absent.items()}
    return scope.all_passed_but(wrong, {"meters": sum(map(len, expected.values()))}, counts)


def examples_of(rule: TableRule, scope: Scope, part: date | None) -> Rows:
    """Return the first rows of a part that break a rule; none where it is not rows that do."""
    failing = _failing(rule, scope)
    return [] if failing is None else first_rows(scope.connection, scope.stored, failing, part, MOST_SHOWN)


def _failing(rule: TableRule, scope: Scope) -> Failing | None:
    if isinstance(rule, Once):
        return repeated(rule.columns)
    if isinstance(rule, OneValue):
        return mixed(rule.per, rule.column)
    if isinstance(rule, Balanced):
        return unbalanced(rule.per, rule.amount, read_whole(rule, scope))
    if isinstance(rule, InCurrency):
        return too_fine(rule.amount, rule.currency, currency_decimals())
    return None


def read_whole(rule: Balanced, scope: Scope) -> list[str]:
    """Return the systems whose groups are read whole: who asks for some lines alone sees no whole journal."""
    return sorted({feed.system for feed in scope.feeds} - {f.system for f in scope.feeds if asks_for_a_part(f, rule)})


def asks_for_a_part(feed: Feed, rule: Balanced) -> bool:
    """Return whether a condition of a dataset is on what differs within a group, such as the cost center of a line."""
    same = {*rule.per, "posting_date"}
    within = {path for name, held in feed.declared.fields.items() if name not in same for path in held.properties}
    return any(condition.property in within for condition in feed.declared.where)
