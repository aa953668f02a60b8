"""The assets of ERP records, built from the configuration: `erp/<system>/<dataset>` and `erp/<table>`.

The landed asset holds what a system gave; the standard asset holds all systems' records in the fields of the platform.
Facts are partitioned by business day and work through a whole range of days in one run, one transaction each; master
data is one snapshot a run.
"""

from datetime import date
from typing import Any, TypedDict

import dagster as dg

from gl_assets.erp.bodies import SNAPSHOT, Lander, report_days
from gl_assets.erp.changes import asked_for, land_changes
from gl_assets.erp.columns import LANDED_COLUMNS, column_schema
from gl_assets.erp.days import business_days, last_open_day, standard_zone, work_through_days
from gl_assets.erp.feeds import GROUP, Feed, feeds, feeds_of, standard_key, tables_fed
from gl_assets.erp.judging.pull_checks import bulk_blocks
from gl_assets.erp.progress import Progress
from gl_assets.erp.tables import FactTable, MasterTable
from gl_assets.erp.writing import StandardWriter
from gl_assets.partition_range import told_in_words
from gl_assets.partitions import quiet_beta
from resources.erp.resources import resource_key
from resources.integrations import Integrations

OWNERS = ["team:data-engineering"]


def build_erp_assets(config: Integrations) -> list[dg.AssetsDefinition]:
    """Return the assets of every configured system and dataset; none where no system is configured.

    Raises:
        ConfigError: A dataset without business date names a table that is filled by business day, or the reverse.
    """
    with quiet_beta():
        landed = [
            _landed_master(config, feed) if feed.declared.is_master else _landed_facts(config, feed)
            for feed in feeds(config)
        ]
        standard = [
            _standard_facts(config, table) if isinstance(table, FactTable) else _standard_master(config, table)
            for table in tables_fed(config)
        ]
    return landed + standard


def _landed_facts(config: Integrations, feed: Feed) -> dg.AssetsDefinition:
    zone = feed.settings.time_zone

    @dg.asset(
        **_landed_terms(feed, f", by business day in {zone}"),
        partitions_def=business_days(config, zone),
    )
    def landed(context: dg.AssetExecutionContext) -> None:
        """Replace each day of the run's range by what the system says of it now, or land what changed."""
        with context.resources.timescale.connection() as connection, told_in_words():
            system, limited = resource_key(feed.system), bulk_blocks(feed.key.to_user_string(), config.quality.gates)
            lander = Lander(connection, getattr(context.resources, system), feed, context.run.run_id, limited)
            changed = asked_for(context.run.tags)
            if changed is not None:
                land_changes(context, lander, config, changed)
            else:
                _land_days(context, lander, last_open_day(config, zone))

    return landed


def _land_days(context: dg.AssetExecutionContext, lander: Lander, last: date) -> None:
    days, key = context.partition_keys, lander.feed.key
    progress = Progress(context, key, len(days))
    outcome = work_through_days(
        days,
        last,
        lander.land_day,
        told=lambda day, failed: progress.step(day, records=lander.records(day), failed=failed),
    )
    report_days(context, key, lander.found, outcome)


def _landed_master(config: Integrations, feed: Feed) -> dg.AssetsDefinition:
    @dg.asset(**_landed_terms(feed, ", the latest snapshot"))
    def landed(context: dg.AssetExecutionContext) -> None:
        """Replace the snapshot by what the system says now, or land what changed."""
        with context.resources.timescale.connection() as connection, told_in_words():
            lander = Lander(connection, getattr(context.resources, resource_key(feed.system)), feed, context.run.run_id)
            changed = asked_for(context.run.tags)
            if changed is not None:
                land_changes(context, lander, config, changed)
            else:
                lander.land_snapshot()
                context.add_asset_metadata(lander.found[SNAPSHOT])

    return landed


class _Terms(TypedDict):
    """What all ERP assets say of themselves."""

    key: dg.AssetKey
    group_name: str
    required_resource_keys: set[str]
    pool: str | None
    owners: list[str]
    kinds: set[str]
    description: str
    metadata: dict[str, Any]
    backfill_policy: dg.BackfillPolicy


def _landed_terms(feed: Feed, parts: str) -> _Terms:
    return {
        "key": feed.key,
        "group_name": GROUP,
        "required_resource_keys": {"timescale", resource_key(feed.system)},
        "pool": f"erp_{feed.system}",
        "owners": OWNERS,
        "kinds": {feed.settings.kind, "postgres"},
        "description": f"Records of {feed.dataset} as {feed.system} gave them{parts}: unchanged records keep their "
        "ingested_at, those that vanished have a deleted_at. Read them as `erp.landed_records`.",
        "metadata": {
            "dagster/column_schema": LANDED_COLUMNS,
            "dagster/table_name": "erp.landed_records",
            "system": feed.system,
            "resource": feed.declared.resource,
        },
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }


def _standard_facts(config: Integrations, table: FactTable) -> dg.AssetsDefinition:
    zone = standard_zone(config, table.name)
    sources = feeds_of(config, table.name)
    key = standard_key(table.name)

    @dg.asset(
        **_standard_terms(table, sources),
        partitions_def=business_days(config, zone),
        deps=[_dep(feed, zone) for feed in sources],
    )
    def standard(context: dg.AssetExecutionContext) -> None:
        """Bring the landed records of each day of the run's range into the standard fields."""
        days, last = context.partition_keys, last_open_day(config, zone)
        progress = Progress(context, key, len(days))
        with context.resources.timescale.connection() as connection:
            writer = StandardWriter(connection, table, sources, context.run.run_id, config.site, last)
            outcome = work_through_days(
                days,
                last,
                writer.write,
                told=lambda day, failed: progress.step(day, records=writer.records(day), failed=failed),
            )
            writer.add_charts()
        _tell_held(context, writer)
        report_days(context, key, writer.found, outcome)

    return standard


def _standard_master(config: Integrations, table: MasterTable) -> dg.AssetsDefinition:
    sources = feeds_of(config, table.name)

    @dg.asset(
        **_standard_terms(table, sources),
        deps=[feed.key for feed in sources],
    )
    def standard(context: dg.AssetExecutionContext) -> None:
        """Bring the landed snapshots into the standard fields, and keep the versions they supersede."""
        with context.resources.timescale.connection() as connection, told_in_words():
            writer = StandardWriter(connection, table, sources, context.run.run_id, config.site)
            writer.write(None)
            writer.add_charts()
        _tell_held(context, writer)
        context.add_asset_metadata(writer.found[SNAPSHOT])

    return standard


def _tell_held(context: dg.AssetExecutionContext, writer: StandardWriter) -> None:
    for sentence in writer.held:
        context.log.warning(sentence)


def _standard_terms(table: MasterTable, sources: list[Feed]) -> _Terms:
    return {
        "key": standard_key(table.name),
        "group_name": GROUP,
        "required_resource_keys": {"timescale"},
        "pool": None,
        "owners": OWNERS,
        "kinds": {"postgres", "pandas"},
        "description": table.description,
        "metadata": {
            "dagster/column_schema": column_schema(table.schema),
            "dagster/table_name": f"erp.{table.name}",
            "systems": sorted({feed.system for feed in sources}),
        },
        "backfill_policy": dg.BackfillPolicy.single_run(),
    }


def _dep(feed: Feed, zone: str) -> dg.AssetDep:
    if feed.settings.time_zone == zone:
        return dg.AssetDep(feed.key)
    # a business day is named by its date: the same date of another zone, not the hours they share
    return dg.AssetDep(feed.key, partition_mapping=dg.IdentityPartitionMapping())
