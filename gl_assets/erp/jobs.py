"""The jobs that pull ERP systems: one a system, and one for standard tables whose zone no system of theirs shares."""

from dagster import AssetSelection, define_asset_job, in_process_executor
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from gl_assets.erp.assets import landed_key, standard_key, systems_with
from gl_assets.erp.datasets import FACTS
from gl_assets.erp.days import standard_zone
from resources.integrations import Integrations


def sync_job_name(system: str) -> str:
    """Return the name of a system's job."""
    return f"erp_{system}_sync_job".replace("-", "_")


def build_erp_jobs(config: Integrations) -> list[UnresolvedAssetJobDefinition]:
    """Return a job per system: its landed assets, and the standard assets that share its business days."""
    jobs = []
    for name, system in config.erp.systems.items():
        keys = [landed_key(name, dataset) for dataset in system.datasets]
        # a run has one set of partitions: standard assets of another zone are asked for by their own job
        keys += [standard_key(d) for d in system.datasets if standard_zone(config, d) == system.time_zone]
        jobs.append(
            define_asset_job(
                sync_job_name(name),
                selection=AssetSelection.assets(*keys),
                executor_def=in_process_executor,
                description=f"Pull business days of {name}; asked for daily by its schedule.",
            )
        )
    for dataset in FACTS:
        systems = systems_with(config, dataset)
        if {system.time_zone for system in systems.values()} - ({standard_zone(config, dataset)} if systems else set()):
            jobs.append(
                define_asset_job(
                    standard_job_name(dataset),
                    selection=AssetSelection.assets(standard_key(dataset)),
                    executor_def=in_process_executor,
                    description=f"Bring landed days of all systems into erp.{dataset}; for systems of other zones.",
                )
            )
    return jobs


def standard_job_name(dataset: str) -> str:
    """Return the name of the job of a standard table whose systems lie in several zones."""
    return f"erp_{dataset}_job"
