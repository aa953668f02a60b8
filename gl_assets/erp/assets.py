"""The assets of ERP records, built from the configuration: `erp/<system>/<dataset>` and `erp/<dataset>`.

The landed asset holds what a system gave, day by day; the standard asset holds all systems' records in the fields of
the platform. Both work through a whole range of days in one run, one transaction each.
"""

import dagster as dg

from gl_assets.erp.bodies import Metadata, StandardWriter, land_one_day, report_days
from gl_assets.erp.columns import LANDED_COLUMNS, column_schema
from gl_assets.erp.datasets import FACTS, OWNERS, FactDataset
from gl_assets.erp.days import business_days, standard_zone, work_through_days
from gl_assets.partitions import quiet_beta
from resources.erp.config import SystemConfig
from resources.erp.landing import Landing
from resources.erp.resources import resource_key
from resources.integrations import Integrations

GROUP = "erp"


def landed_key(system: str, dataset: str) -> dg.AssetKey:
    """Return the key of a system's landed records."""
    return dg.AssetKey([GROUP, system, dataset])


def standard_key(dataset: str) -> dg.AssetKey:
    """Return the key of a dataset in standard fields."""
    return dg.AssetKey([GROUP, dataset])


def systems_with(config: Integrations, dataset: str) -> dict[str, SystemConfig]:
    """Return the configured systems that a dataset is pulled from."""
    return {name: system for name, system in config.erp.systems.items() if dataset in system.datasets}


def build_erp_assets(config: Integrations) -> list[dg.AssetsDefinition]:
    """Return the assets of every configured system and dataset; none where no system is configured."""
    with quiet_beta():
        assets = [
            _landed_asset(config, name, FACTS[dataset])
            for name, system in config.erp.systems.items()
            for dataset in system.datasets
            if dataset in FACTS
        ]
        return assets + [_standard_asset(config, facts) for name, facts in FACTS.items() if systems_with(config, name)]


def _landed_asset(config: Integrations, system: str, dataset: FactDataset) -> dg.AssetsDefinition:
    settings = config.erp.systems[system]
    key = landed_key(system, dataset.name)

    @dg.asset(
        key=key,
        group_name=GROUP,
        partitions_def=business_days(config, settings.time_zone),
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys={"timescale", resource_key(system)},
        pool=f"erp_{system}",
        owners=OWNERS,
        kinds={settings.kind, "postgres"},
        description=f"Records of {dataset.name} as {system} gave them, by business day in {settings.time_zone}: "
        "unchanged records keep their ingested_at, those that vanished have a deleted_at. "
        "Read them as `erp.landed_records`.",
        metadata={
            "dagster/column_schema": LANDED_COLUMNS,
            "dagster/table_name": "erp.landed_records",
            "system": system,
        },
    )
    def landed(context: dg.AssetExecutionContext) -> None:
        """Replace each day of the run's range by what the system says of it now."""
        resource = getattr(context.resources, resource_key(system))
        found: dict[str, Metadata] = {}
        with context.resources.timescale.connection() as connection:
            outcome = work_through_days(
                context.partition_keys,
                settings.time_zone,
                lambda day: land_one_day(
                    context,
                    connection,
                    resource,
                    Landing(system, dataset.name, day, settings.datasets[dataset.name], context.run.run_id),
                    found,
                ),
            )
        report_days(context, key, found, outcome)

    return landed


def _standard_asset(config: Integrations, dataset: FactDataset) -> dg.AssetsDefinition:
    zone = standard_zone(config, dataset.name)
    systems = systems_with(config, dataset.name)
    key = standard_key(dataset.name)

    @dg.asset(
        key=key,
        group_name=GROUP,
        partitions_def=business_days(config, zone),
        backfill_policy=dg.BackfillPolicy.single_run(),
        required_resource_keys={"timescale"},
        deps=[_dep(config, name, dataset.name, zone) for name in systems],
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
        with context.resources.timescale.connection() as connection:
            writer = StandardWriter(connection, dataset, systems, context.run.run_id)
            outcome = work_through_days(context.partition_keys, zone, writer.write)
        writer.add_chart()
        report_days(context, key, writer.found, outcome)

    return standard


def _dep(config: Integrations, system: str, dataset: str, zone: str) -> dg.AssetDep:
    if config.erp.systems[system].time_zone == zone:
        return dg.AssetDep(landed_key(system, dataset))
    # a business day is named by its date: the same date of another zone, not the hours they share
    return dg.AssetDep(landed_key(system, dataset), partition_mapping=dg.IdentityPartitionMapping())
