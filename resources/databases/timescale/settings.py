"""What is in force for a database beyond the configuration of the moment: the window length its ledger is cut by."""

from __future__ import annotations

from datetime import timedelta

import psycopg
from psycopg.types.json import Jsonb

from resources.core.errors import ConfigError


def window_in_force(connection: psycopg.Connection, *, site: str) -> timedelta | None:
    """Return the window length that this site's ledger is cut by, None before the first collector or run."""
    row = connection.execute("SELECT value FROM platform.settings WHERE name = %s", (f"window:{site}",)).fetchone()
    return None if row is None else timedelta(seconds=row[0])


def ensure_window(connection: psycopg.Connection, *, site: str, window: timedelta) -> None:
    """Put a window length in force where none is; refuse one that differs. The caller commits.

    Raises:
        ConfigError: Another length is in force; the message names the command that changes it.
    """
    connection.execute(
        "INSERT INTO platform.settings (name, value) VALUES (%s, %s) ON CONFLICT (name) DO NOTHING",
        (f"window:{site}", Jsonb(int(window.total_seconds()))),
    )
    found = window_in_force(connection, site=site)
    if found != window:
        assert found is not None
        raise ConfigError(
            f"window is {_minutes(window)} in the configuration, but the database of site {site} is cut into windows "
            f"of {_minutes(found)}: set window back to {_minutes(found)}, or stop the platform and run "
            "`gl window migrate`, which says what it would do (docs/how-to/change-the-window.md)"
        )


def _minutes(window: timedelta) -> str:
    return f"{window // timedelta(minutes=1)}m"
