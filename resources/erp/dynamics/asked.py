"""What is asked of Finance & Operations for a part of a dataset: the query, in its dialect of OData V4. Pure.

No `in`, no `has`, no functions: choices are written as `or`, enumerations by their full name, "contains" as an equality
with `*`. `cross-company=true` is what makes other companies than the user's default one visible at all.
Source: learn.microsoft.com, fin-ops-core, data-entities/odata.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from resources.core.errors import ConfigError
from resources.erp.connector import Changed, Day, Part
from resources.erp.declared import Comparison, DatasetConfig
from resources.erp.dynamics.config import DynamicsConfig, DynamicsOptions, enum_member, filter_property
from resources.transport.odata.filters import AllOf, AnyOf, Compare, Filter, OneOf
from resources.transport.odata.v4 import Expand, Query
from resources.transport.text.quoting import EnumMember

_ONE_DAY = timedelta(days=1)


def query_of(system: str, dataset: str, config: DynamicsConfig, part: Part, *, keys_only: bool = False) -> Query:
    """Return the query of a part of a configured dataset; `keys_only` asks for what identifies records alone.

    Raises:
        ConfigError: The dataset cannot be read by such a part.
    """
    declared, options = config.datasets[dataset], config.options_of(dataset)
    terms = [*_part_terms(f"{system}: {dataset}", config, declared, options, part)]
    if config.companies and options.per_company:
        terms.append(OneOf("dataAreaId", config.companies))
    terms += [_condition(comparison) for comparison in declared.where]
    if options.journal_batches:
        # `*` in an equality stands for any text: the dialect's own wildcard
        terms.append(AnyOf([Compare("JournalBatchNumber", "eq", batch) for batch in options.journal_batches]))
    return Query(
        filter=AllOf(terms) if terms else None,
        select=_keys(declared) if keys_only else _select(declared),
        expand=_expansions(declared, options, keys_only=keys_only),
        orderby=options.order_by or declared.key,
        count=True,
        custom={"cross-company": "true"} if config.cross_company else {},
    )


def day_bounds(day: date, config: DynamicsConfig, options: DynamicsOptions) -> tuple[datetime, datetime]:
    """Return the first instant of a business day and that of the next one.

    A date is sent at noon UTC (or midnight, by older entities) and belongs to that day of UTC, whatever the zone.
    """
    zone = ZoneInfo(config.time_zone) if options.business_date == "instant" else UTC
    return tuple(datetime.combine(d, time(), zone).astimezone(UTC) for d in (day, day + _ONE_DAY))  # type: ignore[return-value]


def _part_terms(
    what: str, config: DynamicsConfig, declared: DatasetConfig, options: DynamicsOptions, part: Part
) -> list[Filter]:
    if isinstance(part, Day):
        if declared.business_date is None:
            raise ConfigError(f"{what}: is read as a whole: it has no business_date")
        name = filter_property(declared, declared.business_date)
        start, end = day_bounds(part.day, config, options)
        if options.business_date == "noon":
            return [Compare(name, "eq", start + timedelta(hours=12))]
        return [Compare(name, "ge", start), Compare(name, "lt", end)]
    if isinstance(part, Changed):
        if declared.changed is None:
            raise ConfigError(
                f"{what}: cannot be read by what changed: `changed` names no property with the time of the last "
                "change; many entities have none (gl erp describe lists those that do)"
            )
        name = filter_property(declared, declared.changed)
        return [Compare(name, "ge", part.since), Compare(name, "lt", part.until)]
    return []


def _condition(comparison: Comparison) -> Filter:
    member = enum_member(comparison.value)
    value = EnumMember(*member) if member is not None else comparison.literal()
    return Compare(comparison.property, comparison.operator, value)


def _select(declared: DatasetConfig) -> tuple[str, ...]:
    """Return the properties asked for, what tells a record's day and its last change among them."""
    paths = (path for path in (declared.business_date, declared.changed) if path is not None)
    needed = [filter_property(declared, path) for path in paths]
    return tuple(dict.fromkeys([*declared.select, *needed])) if declared.select else ()


def _keys(declared: DatasetConfig) -> tuple[str, ...]:
    """Return the properties of the entity asked for that identify a record and tell its day."""
    names = [filter_property(declared, path) for path in (*declared.key, declared.business_date or declared.key[0])]
    if declared.explode is not None:
        # what identifies a line and is no property of its header is asked for of the line
        names = [name for name in names if name in declared.select]
    return tuple(dict.fromkeys(names))


def _expansions(declared: DatasetConfig, options: DynamicsOptions, *, keys_only: bool) -> list[Expand]:
    found = []
    for name in declared.expand:
        select = options.expand_select.get(name, ())
        if keys_only and name == declared.explode:
            select = tuple(path for path in declared.key if not path.startswith("parent."))
        elif keys_only and not options.by_journal:
            continue
        found.append(Expand(name, select=select))
    return found
