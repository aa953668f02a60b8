"""The jobs that pull ERP systems: one a system, and one for standard tables whose zone no system of theirs shares."""

from dagster import AssetKey, AssetSelection, define_asset_job, in_process_executor
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from gl_assets.erp.days import standard_zone
from gl_assets.erp.feeds import Feed, feeds, feeds_of, standard_key, tables_fed
from gl_assets.erp.tables import FactTable
from resources.integrations import Integrations


def sync_job_name(system: str) -> str:
    """Return the name of a system's job."""
    return f"erp_{system}_sync_job".replace("-", "_")


def build_erp_jobs(config: Integrations) -> list[UnresolvedAssetJobDefinition]:
    """Return a job per system: its landed assets, and the standard assets that share its business days."""
    jobs = [
        define_asset_job(
            sync_job_name(name),
            selection=AssetSelection.assets(*_keys_of(config, [feed for feed in feeds(config) if feed.system == name])),
            executor_def=in_process_executor,
            description=f"Pull business days of {name}; asked for daily by its schedule.",
        )
        for name in config.erp.systems
    ]
    jobs += [
        define_asset_job(
            standard_job_name(table),
            selection=AssetSelection.assets(standard_key(table)),
            executor_def=in_process_executor,
            description=f"Bring landed days of all systems into erp.{table}; for systems of other zones.",
        )
        for table in tables_of_several_zones(config)
    ]
    return jobs


def assets_of_jobs(config: Integrations) -> dict[str, frozenset[AssetKey]]:
    """Return job name -> the assets it makes: a run of a whole job does not name them."""
    of_system = {
        sync_job_name(name): frozenset(_keys_of(config, [feed for feed in feeds(config) if feed.system == name]))
        for name in config.erp.systems
    }
    several = {standard_job_name(t): frozenset([standard_key(t)]) for t in tables_of_several_zones(config)}
    return {**of_system, **several}


def _keys_of(config: Integrations, of_system: list[Feed]) -> list[AssetKey]:
    landed = [feed.key for feed in of_system]
    zones = {feed.table: feed.settings.time_zone for feed in of_system}
    # a run has one set of partitions: standard assets of another zone are asked for by their own job
    standard = [
        standard_key(table.name)
        for table in tables_fed(config)
        if table.name in zones
        and (not isinstance(table, FactTable) or standard_zone(config, table.name) == zones[table.name])
    ]
    return landed + standard


def tables_of_several_zones(config: Integrations) -> list[str]:
    """Return the standard tables that are fed by systems of more than one zone."""
    facts = [table.name for table in tables_fed(config) if isinstance(table, FactTable)]
    zones = {table: {feed.settings.time_zone for feed in feeds_of(config, table)} for table in facts}
    return [table for table, found in zones.items() if len(found) > 1]


def standard_job_name(table: str) -> str:
    """Return the name of the job of a standard table whose systems lie in several zones."""
    return f"erp_{table}_job"
