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
            f"window is {_minutes(window)} in the configuration, but the database of site {site} is cut into windows of "
            f"{_minutes(found)}: set window back to {_minutes(found)}, or stop the collector and run "
            f"`gl config set-window {_minutes(window)}`, which starts a new ledger (stored readings stay)"
        )


def change_window(connection: psycopg.Connection, *, site: str, window: timedelta) -> int:
    """Put another window length in force and return how many entries of the ledger were removed; the caller commits.

    The readings stay as they are. Their ledger goes, since its windows no longer exist: a window that a buffer still
    holds is stored again, and finds its rows there unchanged. The collector must be stopped.
    """
    removed = connection.execute("DELETE FROM scada.window_ledger WHERE site = %s", (site,)).rowcount
    connection.execute(
        "INSERT INTO platform.settings AS s (name, value) VALUES (%s, %s)"
        " ON CONFLICT (name) DO UPDATE SET value = excluded.value, set_at = now()",
        (f"window:{site}", Jsonb(int(window.total_seconds()))),
    )
    return removed


def _minutes(window: timedelta) -> str:
    return f"{window // timedelta(minutes=1)}m"
