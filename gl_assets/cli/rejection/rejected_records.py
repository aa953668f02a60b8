"""`gl rejected replay records`: rejected ERP records standardised again, as they are or corrected."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gl_assets.cli.rejection.rejected_options import AGAIN, BECAUSE, CONFIRM, FILE, JSON, new_correction, tell
from gl_assets.cli.state import databases
from gl_assets.transforms.corrections.files import ID, read_rows
from gl_assets.transforms.corrections.records import from_file, parse_settings, with_values
from resources.core.errors import ConfigError, DataError
from resources.core.process.home import gl_home
from resources.databases.timescale.connection import connect
from resources.databases.timescale.rework.rejected_rows import RecordsAskedFor
from resources.erp.standardised.corrections import open_batch
from resources.integrations import Integrations, load_integrations

if TYPE_CHECKING:
    from gl_assets.erp.correcting import Correct


@click.command()
@click.option("--system", default=None, help="Only this ERP system.")
@click.option("--dataset", default=None, help="Only this dataset.")
@click.option("--day", default=None, type=click.DateTime(["%Y-%m-%d"]), help="Only this business day, 2026-11-22.")
@click.option("--reason", default=None, help="Only those with this in a reason, in any case.")
@click.option("--id", "ids", type=int, multiple=True, help="Only this rejected_id; may be given several times.")
@AGAIN
@click.option("--set", "settings", multiple=True, metavar="PATH=VALUE", help="Set a member of every record.")
@FILE
@BECAUSE
@CONFIRM
@JSON
def records(*, file: Path | None, because: str | None, confirm: bool, as_json: bool, **options: Any) -> None:
    """Standardise the business days of rejected ERP records again.

    Which: by the options from --system to --id, or those that --file names. How: by --set, by what the file says of
    each record (a column per path, or `raw`, the whole record), or as they are. A correction holds while the system
    still gives the record that was corrected; what is landed stays as the system gave it.
    """
    from gl_assets.erp.correcting import choose_records, keep_records, rehearse_records, summed

    config = load_integrations()
    asked, correct, how = _meant(file, options)
    # a rehearsal is kept nowhere: its words do not matter
    new = new_correction(config, "records", because if confirm else "rehearsal", how)
    with databases() as found:
        with connect(found.platform) as connection:
            chosen = choose_records(connection, config, asked, correct)
            if not chosen.rows:
                number, why = next(iter(chosen.left_out.items()))
                raise DataError(f"none of {len(chosen.left_out)} rejected records can be replayed: {number}: {why}")
            if confirm:
                correction_id = keep_records(connection, new, chosen)
            else:
                told = summed(rehearse_records(connection, config, new, chosen))
        if confirm:
            told = _run(config, found.platform, correction_id)
    tell({"confirmed": confirm, **told, "left_out": chosen.left_out}, as_json=as_json)


def carry_out_records(config: Integrations, url: str, correction_id: int) -> dict[str, Any]:
    """Replay a batch of records again: those that are not stored are tried once more."""
    with connect(url) as connection:
        open_batch(connection, correction_id)
    return _run(config, url, correction_id)


def _run(config: Integrations, url: str, correction_id: int) -> dict[str, Any]:
    from gl_assets.erp.correcting import run_records

    return run_records(config, gl_home(), url, correction_id)


def _meant(file: Path | None, options: Mapping[str, Any]) -> tuple[RecordsAskedFor, Correct, dict[str, Any]]:
    """Return which records are meant, how each is corrected, and what the record says of both.

    Raises:
        ConfigError: A file and something that it says itself.
        DataError: The file cannot be read.
    """
    chosen = {name: options[name] for name in ("system", "dataset", "day", "reason", "ids", "again") if options[name]}
    values = parse_settings(options["settings"])
    if file is not None:
        if chosen or values:
            raise ConfigError("--file names the records and what they are corrected to: leave the other options out")
        return _of_file(file)
    day = options["day"].date() if options["day"] else None
    asked = RecordsAskedFor(
        system=options["system"],
        dataset=options["dataset"],
        day=day,
        limit=10_001,
        ids=list(options["ids"]) or None,
        reason=options["reason"],
        only_open=not options["again"],
    )
    if day is not None:
        chosen["day"] = day.isoformat()

    def correct(record: Mapping[str, Any], _: int) -> Mapping[str, Any] | None:
        return with_values(record, values) if values else None

    return asked, correct, {"chosen": chosen, "set": values}


def _of_file(file: Path) -> tuple[RecordsAskedFor, Correct, dict[str, Any]]:
    content = file.read_bytes()
    rows: dict[int, Mapping[str, Any]] = {}
    for row in read_rows(content, name=file.name):
        if not str(row[ID]).isdecimal():
            raise DataError(f"{file.name}: {str(row[ID])[:60]!r} is not the number of a rejected record")
        rows[int(row[ID])] = row

    def correct(record: Mapping[str, Any], rejected_id: int) -> Mapping[str, Any]:
        return from_file(rows[rejected_id], record, name=file.name)

    asked = RecordsAskedFor(ids=list(rows), limit=10_001)
    return asked, correct, {"file": file.name, "sha256": hashlib.sha256(content).hexdigest()}
