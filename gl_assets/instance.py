"""The Dagster instance of this platform: Dagster's own, refused with a clear sentence when its environment is missing.

`dagster.yaml` names it as `instance_class`, because Dagster asks that class for its configuration before anything else
of the file is read: the one place where a bare `dagster dev` can be told what to do instead.
"""

import os
import sys
from typing import Any

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from gl_assets.run_launcher import WatchedRunLauncher
from resources.core.errors import ConfigError

STORAGE_VARIABLE = "GL_DAGSTER_POSTGRES_URL"
"""Where Dagster keeps runs and events: `postgresql+psycopg2://user:password@host:port/database`."""


BATCH_VARIABLE, BATCH = "DAGSTER_EVENT_BATCH_SIZE", "500"
"""Materialisations of a run are written so many at once: one by one, those of two years of days take minutes."""


class PlatformInstance(dg.DagsterInstance):
    """A Dagster instance that can only be opened where `gl up` has set the stage."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Open the instance; in the daemon, which launches runs, let the process they are forked from warm up."""
        super().__init__(*args, **kwargs)
        os.environ.setdefault(BATCH_VARIABLE, BATCH)
        if "_daemon" in sys.argv[0] or "dagster-daemon" in sys.argv[0]:
            launcher = self.run_launcher
            if isinstance(launcher, WatchedRunLauncher):
                launcher.prepare()

    @classmethod
    def config_schema(cls) -> dict[str, Any]:
        """Return no options of its own, after a look at the environment.

        Raises:
            ConfigError: GL_DAGSTER_POSTGRES_URL is unset, or names the wrong driver.
        """
        url = os.environ.get(STORAGE_VARIABLE, "")
        if not url:
            raise ConfigError(
                f"Dagster was started without {STORAGE_VARIABLE}, so it does not know where to keep its runs: "
                "start the platform with `gl up` (or `gl up --demo`), which starts the database and sets "
                "DAGSTER_HOME and this variable; `dagster dev` alone does neither"
            )
        if not url.startswith("postgresql+psycopg2://"):
            raise ConfigError(
                f"{STORAGE_VARIABLE} must begin with postgresql+psycopg2://: with another driver Dagster starts, "
                "and fails at its first run; `gl up` writes it correctly"
            )
        return {}

    @classmethod
    def config_defaults(cls, base_dir: str) -> Any:
        """Return Dagster's own defaults for what dagster.yaml does not name."""
        return InstanceRef.config_defaults(base_dir)
