"""The assets of ERP records, built from the configuration: `erp/<system>/<dataset>` and `erp/<table>`.

The landed asset holds what a system gave, day by day; the standard asset holds all systems' records in the fields of
the platform. Both work through a whole range of days in one run, one transaction each.
"""

import dagster as dg

from gl_assets.erp.bodies import Lander, report_days
from gl_assets.erp.columns import LANDED_COLUMNS, column_schema
from gl_assets.erp.datasets import FACTS, OWNERS, FactDataset
from gl_assets.erp.days import business_days, last_open_day, standard_zone, work_through_days
from gl_assets.erp.feeds import GROUP, Feed, feeds, feeds_of, standard_key
from gl_assets.erp.progress import Progress
from gl_assets.erp.writing import StandardWriter
from gl_assets.partitions import quiet_beta
from resources.erp.resources import resource_key
from resources.integrations import Integrations


def build_erp_assets(config: Integrations) -> list[dg.AssetsDefinition]:
    """Return the assets of every configured system and dataset; none where no system is configured."""
    with quiet_beta():
        landed = [_landed_facts(config, feed) for feed in feeds(config) if not feed.declared.is_master]
        return landed + [_standard_facts(config, facts) for name, facts in FACTS.items() if feeds_of(config, name)]


def _landed_facts(config: Integrations, feed: Feed) -> dg.AssetsDefinition:
    zone = feed.settings.time_zone

    @dg.asset(
        key=feed.key,
        group_name=GROUP,
        partitions_def=business_days(config, zone),
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys={"timescale", resource_key(feed.system)},
        pool=f"erp_{feed.system}",
        owners=OWNERS,
        kinds={feed.settings.kind, "postgres"},
        description=f"Records of {feed.dataset} as {feed.system} gave them, by business day in {zone}: "
        "unchanged records keep their ingested_at, those that vanished have a deleted_at. "
        "Read them as `erp.landed_records`.",
        metadata=_landed_metadata(feed),
    )
    def landed(context: dg.AssetExecutionContext) -> None:
        """Replace each day of the run's range by what the system says of it now."""
        days = context.partition_keys
        progress = Progress(context, feed.key, len(days))
        with context.resources.timescale.connection() as connection:
            system = getattr(context.resources, resource_key(feed.system))
            lander = Lander(connection, system, feed, context.run.run_id)
            outcome = work_through_days(
                days,
                last_open_day(config, zone),
                lander.land,
                told=lambda day, failed: progress.step(day, records=lander.records(day), failed=failed),
            )
        report_days(context, feed.key, lander.found, outcome)

    return landed


def _landed_metadata(feed: Feed) -> dict[str, object]:
    return {
        "dagster/column_schema": LANDED_COLUMNS,
        "dagster/table_name": "erp.landed_records",
        "system": feed.system,
        "resource": feed.declared.resource,
    }


def _standard_facts(config: Integrations, dataset: FactDataset) -> dg.AssetsDefinition:
    zone = standard_zone(config, dataset.name)
    sources = feeds_of(config, dataset.name)
    systems = {feed.system: feed.settings for feed in sources}
    key = standard_key(dataset.name)

    @dg.asset(
        key=key,
        group_name=GROUP,
        partitions_def=business_days(config, zone),
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys={"timescale"},
        deps=[_dep(feed, zone) for feed in sources],
        owners=OWNERS,
        kinds={"postgres", "pandas"},
        description=dataset.description,
        metadata={
            "dagster/column_schema": column_schema(dataset.schema),
            "dagster/table_name": f"erp.{dataset.name}",
            "systems": sorted(systems),
        },
    )
    def standard(context: dg.AssetExecutionContext) -> None:
        """Bring the landed records of each day of the run's range into the standard fields."""
        days = context.partition_keys
        progress = Progress(context, key, len(days))
        with context.resources.timescale.connection() as connection:
            writer = StandardWriter(connection, dataset, systems, context.run.run_id)
            outcome = work_through_days(
                days,
                last_open_day(config, zone),
                writer.write,
                told=lambda day, failed: progress.step(day, records=writer.records(day), failed=failed),
            )
        writer.add_chart()
        report_days(context, key, writer.found, outcome)

    return standard


def _dep(feed: Feed, zone: str) -> dg.AssetDep:
    if feed.settings.time_zone == zone:
        return dg.AssetDep(feed.key)
    # a business day is named by its date: the same date of another zone, not the hours they share
    return dg.AssetDep(feed.key, partition_mapping=dg.IdentityPartitionMapping())
