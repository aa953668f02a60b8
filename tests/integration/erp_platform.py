"""The ERP definitions of a configuration, run in the test's own process against real services and a real database."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg

from gl_assets.erp.assets import build_erp_assets
from gl_assets.erp.checks import build_erp_checks
from gl_assets.erp.jobs import build_erp_jobs, sync_job_name
from gl_assets.erp.schedules import RANGE_END, RANGE_START, build_erp_schedules
from gl_assets.erp.sweep import build_sweep_jobs, build_sweep_schedules
from resources.erp.resources import build_erp_resources
from resources.integrations import Integrations
from resources.wiring import TimescaleResource


class Platform:
    """One configuration; GL_DATABASE_URL names the database."""

    def __init__(self, config: Integrations, url: str, folder: Path) -> None:
        self.url, self.config = url, config
        self.instance = dg.DagsterInstance.ephemeral(tempdir=str(folder))
        self.defs = dg.Definitions(
            assets=build_erp_assets(config),
            asset_checks=build_erp_checks(config),
            jobs=[*build_erp_jobs(config), *build_sweep_jobs(config)],
            schedules=[*build_erp_schedules(config), *build_sweep_schedules(config)],
            resources={"timescale": TimescaleResource(), **build_erp_resources(config.erp.systems)},
        )

    def pull(
        self,
        first: date,
        last: date | None = None,
        *,
        system: str = "sap",
        only: Collection[str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        """Run a system's job over a range of days; `only` keeps assets by their keys, as `erp/sap/x`."""
        return self.run(sync_job_name(system), first, last, only=only, tags=tags)

    def run(
        self,
        job_name: str,
        first: date | None = None,
        last: date | None = None,
        *,
        only: Collection[str] | None = None,
        tags: dict[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        job = self.defs.resolve_job_def(job_name)
        days = {RANGE_START: first.isoformat(), RANGE_END: (last or first).isoformat()} if first else {}
        selection = [dg.AssetKey(key.split("/")) for key in only] if only is not None else None
        return job.execute_in_process(
            instance=self.instance, tags={**days, **(tags or {})}, raise_on_error=False, asset_selection=selection
        )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(query, values).fetchall()  # type: ignore[arg-type]

    def one(self, query: str, *values: Any) -> Any:
        return self.rows(query, *values)[0][0]


def failure(result: dg.ExecuteInProcessResult) -> str:
    """Return what the first failed step says, and its metadata."""
    event = next(event for event in result.all_events if event.is_step_failure)
    return str(event.event_specific_data)
