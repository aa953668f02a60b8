"""What the commands of `gl rejected replay` share: options, who asks for it, and how they end."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gl_assets.cli.rejection.rejected_tables import console, line, show_rows
from resources.core.errors import ConfigError
from resources.core.process.people import host_here, user_here
from resources.databases.timescale.rework.corrections import NewCorrection
from resources.integrations import Integrations

BECAUSE = click.option("--because", default=None, help="Why it is done; kept with it. Needed with --confirm.")
CONFIRM = click.option("--confirm", is_flag=True, help="Do it. Without, what would come of it is shown.")
AGAIN = click.option("--again", is_flag=True, help="Also rows that an earlier batch has corrected.")
FILE = click.option(
    "--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Corrected rows, CSV or JSON."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


def new_correction(config: Integrations, kind: str, because: str | None, how: Mapping[str, Any]) -> NewCorrection:
    """Return a batch as it is kept, in the name of who runs this.

    Raises:
        ConfigError: Nobody says why.
    """
    if because is None or not because.strip():
        raise ConfigError("--confirm needs --because: why rows are corrected is kept with them")
    return NewCorrection(config.site, kind, user_here(), host_here(), because.strip(), how)


def tell(told: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what came of a batch, or would; exit with 1 if nothing was stored or something failed."""
    if as_json:
        click.echo(json.dumps(told, default=str))
    else:
        for name, value in told.items():
            if name not in ("first", "reasons", "confirmed") and value not in ({}, []):
                line(name.replace("_", " "), value)
        for reason, rows in told["reasons"].items():
            line("", f"{rows} x {reason}")
        if told.get("first"):
            show_rows(told["first"], ("rejected_id", "from", "to", "outcome", "why"), as_json=False, nothing="")
        if not told["confirmed"]:
            console.print("nothing was changed: --confirm --because '...' does it", markup=False)
    if told.get("failed") or not (told.get("stored", 0) + told.get("standing", 0) + (told.get("tried") == 0)):
        sys.exit(1)
